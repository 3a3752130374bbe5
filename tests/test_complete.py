"""Scans from disk to disk with models of one line: what is tested is the way there and back."""

import json
import os
import pathlib
import re
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest
from backends import tensorflow_only
from click.testing import CliRunner
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

import keras_wcd.complete as completing
from keras_wcd.cli import main
from keras_wcd.complete import NEUTRAL, ArtifactWarning, Settings, complete_file, complete_folder, complete_points
from keras_wcd.data import Cloud, Shapes8, read_cloud, read_points, write_cloud, write_points
from keras_wcd.data.io.formats import WRITERS
from keras_wcd.predictors import open_model
from keras_wcd.record import NAME

FACES = np.array([[x, y, z] for z in (-1, 1) for x, y in ((-1, 1), (-1, -1), (1, -1), (1, 1))]) / 2


def echo(points, normalize):
    """A model that answers with what it is given."""
    return points


@pytest.fixture
def scan():
    rng = np.random.default_rng(0)
    return (rng.uniform(size=(300, 3)) * (2, 1, 0.5) + (10, -3, 4)).astype(np.float32)


def asked(seen):
    def model(points, normalize):
        seen.append((points, normalize))
        return points

    return model


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_the_answer_is_in_the_scans_frame_and_format(tmp_path, scan, suffix):
    write_points(tmp_path / f"s{suffix}", scan)
    done = complete_file(echo, tmp_path / f"s{suffix}", tmp_path / "out")
    assert done.path == tmp_path / f"out{suffix}"
    np.testing.assert_allclose(read_points(done.path), scan, rtol=1e-6, atol=1e-6)
    assert len(done.cloud) == 300


def test_an_explicit_suffix_or_folder_says_where(tmp_path, scan):
    write_points(tmp_path / "s.pcd", scan)
    (tmp_path / "d").mkdir()
    assert complete_file(echo, tmp_path / "s.pcd", tmp_path / "o.npy").path == tmp_path / "o.npy"
    assert complete_file(echo, tmp_path / "s.pcd", tmp_path / "d").path == tmp_path / "d" / "s.pcd"


def test_a_row_of_several_clouds_is_completed(tmp_path, scan):
    np.save(tmp_path / "many.npy", np.stack([scan, scan + 5, scan - 2]))
    done = complete_file(echo, tmp_path / "many.npy", tmp_path / "out.npy", index=1)
    np.testing.assert_allclose(done.completed, scan + 5, rtol=1e-6)
    with pytest.raises(ValueError, match="index"):
        complete_file(echo, tmp_path / "many.npy", tmp_path / "out.npy")


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_whole_numbers_and_doubles_come_back_in_float64(dtype, up):
    points = np.random.default_rng(0).integers(-9000, 9000, (200, 3)).astype(dtype) + np.array(2_000_000_000, dtype)
    done = complete_points(echo, points, Settings(up=up))
    assert done.dtype == np.float64
    np.testing.assert_array_equal(done, points)


def test_the_model_gets_the_scan_once_as_it_is(scan):
    seen = []
    complete_points(asked(seen), scan + np.float64(5e6), Settings())
    np.testing.assert_array_equal(seen[0][0], scan + np.float64(5e6))
    assert seen[0][0].dtype == np.float64


@pytest.mark.parametrize("far", [0, 5e6])
def test_coordinates_far_from_the_origin_keep_their_precision(tmp_path, scan, far):
    points = scan.astype(np.float64) + far
    write_points(tmp_path / "s.npy", points)
    done = complete_file(echo, tmp_path / "s.npy", tmp_path / "o")
    assert done.completed.dtype == np.float64
    np.testing.assert_allclose(done.completed, points, rtol=0, atol=1e-6)


def test_the_network_sees_a_z_up_scan_upright(scan):
    seen = []
    complete_points(asked(seen), scan, Settings(up="z", normalize=None))
    np.testing.assert_allclose(seen[0][0], Rotation.from_euler("x", -90, degrees=True).apply(scan), atol=1e-5)
    assert seen[0][1] is None


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_turning_upright_is_a_rotation_and_is_undone(scan, up):
    seen = []
    back = complete_points(asked(seen), scan, Settings(up=up, normalize=None))
    np.testing.assert_allclose(back, scan, rtol=1e-6)
    np.testing.assert_allclose(seen[0][0][:, 1], scan[:, "xyz".index(up)], rtol=1e-6)
    assert np.linalg.det(completing.UPRIGHT[up]) == pytest.approx(1)


def test_a_box_puts_the_scan_into_the_protocols_frame_and_back(tmp_path):
    rng = np.random.default_rng(0)
    turn = Rotation.from_euler("z", 0.8)
    inside = rng.uniform(-0.5, 0.5, (200, 3)) * (1, 0.4, 0.35)
    points = (turn.apply(inside * 4.2) + (30, 5, -1)).astype(np.float32)
    np.savetxt(tmp_path / "car.txt", turn.apply(FACES * 4.2 * (1, 0.4, 0.35)) + (30, 5, -1))
    write_points(tmp_path / "car.pcd", points)
    seen = []
    done = complete_file(asked(seen), tmp_path / "car.pcd", tmp_path / "o", kitti_box=tmp_path / "car.txt")
    np.testing.assert_allclose(seen[0][0], inside[:, [0, 2, 1]], atol=1e-5)
    assert seen[0][1] is None
    np.testing.assert_allclose(done.completed, points, atol=1e-5)
    (tmp_path / "boxes").mkdir()
    (tmp_path / "car.txt").rename(tmp_path / "boxes" / "car.txt")
    complete_file(echo, tmp_path / "car.pcd", tmp_path / "o", kitti_box=tmp_path / "boxes")
    write_points(tmp_path / "van.pcd", points)
    with pytest.raises(FileNotFoundError, match=r"van\.txt"):
        complete_file(echo, tmp_path / "van.pcd", tmp_path / "o", kitti_box=tmp_path / "boxes")


def test_the_former_name_of_the_kitti_box_is_taken_with_a_warning(tmp_path, scan):
    np.savetxt(tmp_path / "b.txt", FACES * (4, 2, 1))
    write_points(tmp_path / "s.ply", scan)
    new = complete_file(echo, tmp_path / "s.ply", tmp_path / "o.ply", kitti_box=tmp_path / "b.txt").completed
    for call in (
        lambda: complete_file(echo, tmp_path / "s.ply", tmp_path / "o.ply", box=tmp_path / "b.txt").completed,
        lambda: complete_folder(echo, tmp_path, tmp_path / "out", box=tmp_path / "b.txt") and new,
    ):
        with pytest.warns(FutureWarning, match="kitti_box") as caught:
            np.testing.assert_array_equal(call(), new)
        assert caught[0].filename == __file__
    with pytest.warns(FutureWarning, match="kitti_box") as caught:
        assert Settings(box="b.txt").kitti_box == "b.txt"
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Settings(kitti_box="b.txt")


@pytest.mark.parametrize("suffix", [".ply", ".pcd", ".npz", ".h5", ".csv"])
def test_kept_points_keep_their_colors_and_completed_ones_are_gray(tmp_path, scan, suffix):
    colors = np.random.default_rng(1).integers(0, 256, scan.shape).astype(np.uint8)
    write_cloud(tmp_path / f"s{suffix}", Cloud(scan, colors, scan))
    complete_file(echo, tmp_path / f"s{suffix}", tmp_path / "o", keep_partial=True)
    found = read_cloud(tmp_path / f"o{suffix}")
    np.testing.assert_array_equal(found.colors[:300], colors)
    np.testing.assert_array_equal(found.colors[300:], np.broadcast_to(NEUTRAL, (300, 3)))
    np.testing.assert_array_equal(found.points[:300].astype(np.float32), scan)
    assert found.normals is None


def test_the_answer_alone_has_no_colors(tmp_path, scan):
    write_cloud(tmp_path / "s.ply", Cloud(scan, np.zeros(scan.shape, np.uint8)))
    assert complete_file(echo, tmp_path / "s.ply", tmp_path / "o").cloud.colors is None


@pytest.mark.parametrize("count", [1, 5])
def test_a_scan_without_extent_is_refused_by_name(tmp_path, count):
    write_points(tmp_path / "s.ply", np.ones((count, 3)))
    with pytest.raises(ValueError, match=r"s\.ply: (it holds a single point|all its 5 points)"):
        complete_file(echo, tmp_path / "s.ply", tmp_path / "o.ply")
    assert not (tmp_path / "o.ply").exists()


def test_the_scan_is_never_overwritten(tmp_path, scan):
    write_points(tmp_path / "s.ply", scan)
    with pytest.raises(ValueError, match="is the scan itself"):
        complete_file(echo, tmp_path / "s.ply", tmp_path / "s.ply")
    with pytest.raises(ValueError, match="is the scan itself"):
        complete_file(echo, tmp_path / "s.ply", tmp_path)


def test_a_wrong_setting_is_named(tmp_path, scan):
    with pytest.raises(ValueError, match="up must be"):
        Settings(up="w")
    write_points(tmp_path / "s.ply", scan)
    with pytest.raises(ValueError, match=r"\.obj"):
        complete_file(echo, tmp_path / "s.ply", tmp_path / "o.obj")


@pytest.fixture
def folder(tmp_path, scan):
    """Three scans in two formats, one of them in a sub-folder; a broken one; what is no scan."""
    for name in ("a.ply", "b.npy", "sub/a.ply"):
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        write_points(tmp_path / "scans" / name, scan)
    (tmp_path / "scans" / "broken.pcd").write_text("no such thing")
    (tmp_path / "scans" / "notes.md").write_text("# notes")
    write_points(tmp_path / "scans" / ".hidden.npy", scan)
    return tmp_path / "scans"


def test_a_folder_is_completed_past_a_broken_scan(folder, tmp_path):
    names = []
    batch = complete_folder(echo, folder, tmp_path / "out", each=lambda name, done: names.append(str(name)))
    assert names == ["a.ply", "b.npy", "sub/a.ply"]
    assert batch.written == [tmp_path / "out" / name for name in names]
    assert list(batch.failed) == [folder / "broken.pcd"]
    assert "no PCD header" in batch.failed[folder / "broken.pcd"]
    assert sorted(p.name for p in (tmp_path / "out").rglob("[!.]*") if p.is_file()) == ["a.ply", "a.ply", "b.npy"]
    assert batch.passed_over == {folder / "notes.md": "unknown extension .md"}


def test_what_is_there_already_is_left_unless_asked(folder, tmp_path):
    complete_folder(echo, folder, tmp_path / "out")
    (tmp_path / "out" / "b.npy").write_text("mine")
    batch = complete_folder(echo, folder, tmp_path / "out")
    assert len(batch.skipped) == 3
    assert not batch.written
    assert (tmp_path / "out" / "b.npy").read_text() == "mine"
    assert len(complete_folder(echo, folder, tmp_path / "out", overwrite=True).written) == 3


def test_results_may_lie_in_the_folder_of_the_scans(folder):
    complete_folder(echo, folder, folder / "done")
    assert len(complete_folder(echo, folder, folder / "done").skipped) == 3
    assert not (folder / "done" / "done").exists()


def test_two_scans_with_one_result_are_told_apart(folder, tmp_path, scan):
    write_points(folder / "a.npy", scan)
    batch = complete_folder(echo, folder, tmp_path / "out", suffix=".xyz")
    assert len(batch.written) == 3
    assert "rename one" in batch.failed[folder / "a.ply"]


def test_a_folder_without_a_scan_is_named_and_what_lies_in_it(tmp_path):
    with pytest.raises(ValueError, match="holds no scan; known are"):
        complete_folder(echo, tmp_path, tmp_path / "out")
    (tmp_path / "a.e57x").write_bytes(b"x")
    (tmp_path / "b.e57x").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"holds no scan, but files of unknown extension \.e57x .2.; known are"):
        complete_folder(echo, tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="no such folder"):
        complete_folder(echo, tmp_path / "none", tmp_path / "out")


def test_what_is_no_scan_is_counted_by_its_reason_and_fails_nothing(folder, tmp_path):
    (folder / "broken.pcd").unlink()
    (folder / "README.txt").write_text("# Scans\n\nTaken on 3 May 2021 with two scanners, 1 m apart.\n")
    (folder / "LICENSE").write_text("free")
    (folder / "sub" / "more.md").write_text("more")
    (folder / "list.csv").write_text("name;date\na;2021\n")
    (folder / "points.txt").write_text("0 0 0\n1 0 0\n0 1 1\n")
    batch = complete_folder(echo, folder, tmp_path / "out")
    assert not batch.failed
    assert [path.name for path in batch.written] == ["a.ply", "b.npy", "points.txt", "a.ply"]
    assert batch.reasons() == {"unknown extension .md": 2, "no extension": 1, "no line of three numbers": 2}
    assert not (tmp_path / "out" / "README.txt").exists()


def test_a_text_of_numbers_that_cannot_be_read_is_a_failure(folder, tmp_path):
    (folder / "half.txt").write_text("0 0 0\n1 0 0\n0 1\n0 1 1\n")
    (folder / "empty.txt").write_text("")
    (folder / "words.xyz").write_text("no such thing\n")
    (folder / "nothing.csv").write_text("x,y,z\nnan,nan,nan\n")
    failed = complete_folder(echo, folder, tmp_path / "out").failed
    assert {"half.txt", "empty.txt", "words.xyz", "nothing.csv"} <= {path.name for path in failed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"normalize": None}, "normalize was 'partial' and is None"),
        ({"up": "z"}, "up was 'y' and is 'z'"),
        ({"keep_partial": True}, "keep_partial was False and is True"),
        ({"model": lambda points, normalize: points + 1}, "by another model"),
    ],
)
def test_results_of_other_settings_are_not_taken_for_done(folder, tmp_path, changed, message):
    complete_folder(echo, folder, tmp_path / "out")
    before = read_points(tmp_path / "out" / "b.npy")
    arguments = {"model": echo, "folder": folder, "output": tmp_path / "out", **changed}
    with pytest.raises(ValueError, match=f"3 of the results there were made otherwise .{message}.*--overwrite"):
        complete_folder(**arguments)
    np.testing.assert_array_equal(read_points(tmp_path / "out" / "b.npy"), before)
    assert len(complete_folder(**arguments, overwrite=True).written) == 3
    assert len(complete_folder(**arguments).skipped) == 3
    with pytest.raises(ValueError, match="made otherwise"):
        complete_folder(echo, folder, tmp_path / "out")


def test_results_that_an_interruption_left_old_are_not_taken_for_done(folder, tmp_path):
    def interrupted(name, done):
        raise KeyboardInterrupt

    complete_folder(echo, folder, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        complete_folder(echo, folder, tmp_path / "out", up="z", overwrite=True, each=interrupted)
    with pytest.raises(ValueError, match="2 of the results there were made otherwise"):
        complete_folder(echo, folder, tmp_path / "out", up="z")
    # Results of an unknown origin, too, once they are being made again.
    (tmp_path / "out" / NAME).unlink()
    with pytest.raises(KeyboardInterrupt):
        complete_folder(echo, folder, tmp_path / "out", up="z", overwrite=True, each=interrupted)
    with pytest.raises(ValueError, match="nothing says how"):
        complete_folder(echo, folder, tmp_path / "out", up="z")


def test_an_interrupted_run_goes_on_where_it_ended(folder, tmp_path):
    done = []

    def interrupted(name, completion):
        done.append(name)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete_folder(echo, folder, tmp_path / "out", each=interrupted)
    batch = complete_folder(echo, folder, tmp_path / "out")
    assert (len(batch.skipped), len(batch.written)) == (2, 1)


def test_a_damaged_record_is_named(folder, tmp_path):
    complete_folder(echo, folder, tmp_path / "out")
    assert len(json.loads((tmp_path / "out" / NAME).read_text())["results"]) == 3
    (tmp_path / "out" / NAME).write_text("[]")
    with pytest.raises(ValueError, match=f"{NAME}: the record of the results beside it is damaged"):
        complete_folder(echo, folder, tmp_path / "out")


def test_an_unknown_suffix_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match="suffix must be"):
        complete_folder(echo, folder, tmp_path / "out", suffix=".obj")


def test_a_mesh_gives_a_ply(tmp_path):
    import trimesh

    from keras_wcd.data.procedural.primitives import box

    trimesh.Trimesh(*box((1, 2, 3)), process=False).export(tmp_path / "m.stl")
    assert complete_file(echo, tmp_path / "m.stl", tmp_path / "out").path == tmp_path / "out.ply"


def never(points, normalize):
    raise AssertionError("the model is asked before the output is known to be writable")


def test_an_output_that_cannot_be_written_is_named_before_any_work(tmp_path, scan, monkeypatch):
    write_points(tmp_path / "scans.ply", scan)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="does not exist"):
        complete_file(never, tmp_path / "scans.ply", tmp_path / "none" / "o.ply")
    with pytest.raises(ValueError, match="standard output"):
        complete_file(never, tmp_path / "scans.ply", "-")
    with pytest.raises(ValueError, match="file is a file; name a folder"):
        complete_folder(never, tmp_path, tmp_path / "file" / "out")
    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(PermissionError, match=r"o\.ply: the folder .* takes no new file .Read-only file system."):
        complete_file(never, tmp_path / "scans.ply", tmp_path / "o.ply")
    with pytest.raises(PermissionError, match="takes no new file"):
        complete_folder(never, tmp_path, tmp_path / "out" / "deep")
    assert not (tmp_path / "out").exists()


def refused(dir):
    raise OSError(30, os.strerror(30), dir)


@tensorflow_only
def test_a_litert_file_completes_from_the_shell_without_a_framework(tmp_path, scan):
    from export_models import little

    from keras_wcd.export import runtime, to_tflite

    write_points(tmp_path / "s.ply", scan)
    model = to_tflite(little(), tmp_path / "m.tflite", num_points=96)
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras'])); "
        "from keras_wcd.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "complete", "s.ply", "-o", "o.ply", "--model", str(model)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_points(tmp_path / "o.ply"), runtime.complete(model, scan))


def run(monkeypatch, *arguments):
    monkeypatch.setattr(completing, "open_model", lambda model: model if callable(model) else echo)
    return CliRunner().invoke(main, [str(a) for a in arguments])


@tensorflow_only
def test_the_command_writes_the_views_of_one_scan(folder, tmp_path, monkeypatch):
    page, picture = tmp_path / "v.html", tmp_path / "p.png"
    options = ("--html", page, "--picture", picture, "--up", "z", "--keep-partial")
    result = run(monkeypatch, "complete", folder / "a.ply", "-o", tmp_path / "o", *options)
    assert result.exit_code == 0, result.output
    assert result.output == f"{tmp_path / 'o.ply'}: 600 points\n"
    assert "<title>a.ply</title>" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


@tensorflow_only
def test_the_command_on_a_folder_ends_with_2_where_a_scan_failed(folder, tmp_path, monkeypatch):
    arguments = ("complete", folder, "-o", tmp_path / "out", "--html", tmp_path / "pages", "--format", "xyz")
    result = run(monkeypatch, *arguments)
    assert result.exit_code == 2
    assert f"Error: {folder / 'broken.pcd'}: no PCD header" in result.output
    assert "3 completed, 1 failed" in result.output
    assert "Passed over, being no scans: unknown extension .md (1)" in result.output
    assert "Traceback" not in result.output
    pages = {p.relative_to(tmp_path / "pages").as_posix() for p in (tmp_path / "pages").rglob("*.html")}
    assert pages == {"a.ply.html", "b.npy.html", "sub/a.ply.html"}
    assert (tmp_path / "out" / "sub" / "a.xyz").exists()
    (folder / "broken.pcd").unlink()
    result = run(monkeypatch, *arguments)
    assert result.exit_code == 0
    assert "0 completed, 3 there already" in result.output


@tensorflow_only
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.ply", "-o", "out", "--kitti-box", "none.txt"], "none.txt"),
        (["a.ply", "-o", "out", "--kitti-box", "notes.md"], "not a box"),
        (["a.ply", "-o", "-"], "standard output"),
        (["a.ply", "-o", "out", "--html", "-"], "standard output"),
        ([".", "-o", "-"], "standard output"),
        ([".", "-o", "a.ply"], "is a file"),
        (["a.ply", "-o", "a.ply"], "is the scan itself"),
        (["a.ply", "-o", "out", "--dataset", "x"], "dataset"),
        (["a.ply", "-o", "out", "--overwrite"], "go with a folder"),
        (["one.xyz", "-o", "out"], "single point"),
        (["broken.pcd", "-o", "out"], "no PCD header"),
        (["a.ply", "-o", "none/out.ply"], "does not exist"),
        ([".", "-o", "out", "--html", "page.html"], "give a folder"),
        (["a.ply", "-o", "out", "--html", "none/page.html"], "does not exist"),
        (["a.ply", "-o", "out", "--html", "page.txt"], "ends in .html"),
        (["a.ply", "-o", "out", "--picture", "p.jpg"], "ends in .png"),
        (["a.ply", "-o", "out", "--picture", "none/p.png"], "does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(folder, monkeypatch, arguments, message):
    (folder / "one.xyz").write_text("1 2 3\n")
    monkeypatch.chdir(folder)
    result = run(monkeypatch, "complete", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not list(folder.glob("out*"))


@tensorflow_only
def test_the_command_takes_the_former_name_of_the_kitti_box(folder, tmp_path, monkeypatch):
    np.savetxt(tmp_path / "b.txt", FACES * (4, 2, 1))
    result = run(monkeypatch, "complete", folder / "a.ply", "-o", tmp_path / "o.ply", "--box", tmp_path / "b.txt")
    assert result.exit_code == 0, result.output
    assert "--kitti-box" in result.output
    assert "--box " not in run(monkeypatch, "complete", "--help").output


@tensorflow_only
def test_the_command_asks_for_overwrite_where_results_were_made_otherwise(folder, tmp_path, monkeypatch):
    (folder / "broken.pcd").unlink()
    arguments = ("complete", folder, "-o", tmp_path / "out")
    assert run(monkeypatch, *arguments).exit_code == 0
    result = run(monkeypatch, *arguments, "--normalize", "bbox")
    assert result.exit_code == 2
    assert "normalize was 'partial' and is 'bbox'" in result.output
    assert "--overwrite" in result.output
    assert run(monkeypatch, *arguments, "--normalize", "bbox", "--overwrite").exit_code == 0


@tensorflow_only
def test_the_commands_of_the_page_run(tmp_path, scan, monkeypatch):
    page = (pathlib.Path(__file__).parent.parent / "docs" / "completing.md").read_text()
    commands = [line.split("#")[0].split() for line in page.splitlines() if line.startswith("keras-wcd ")]
    assert len(commands) == 9
    for name in ("scan.ply", "scans/a.ply", "cars/b.pcd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_points(tmp_path / name, scan)
    (tmp_path / "bboxes").mkdir()
    np.savetxt(tmp_path / "bboxes" / "b.txt", FACES * (4, 2, 1))
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"], file["more"] = scan, scan
    monkeypatch.chdir(tmp_path)
    for _, *arguments in commands:
        result = run(monkeypatch, *arguments)
        assert result.exit_code == 0, (arguments, result.output)
    assert {p.name for p in tmp_path.iterdir()} >= {"completed.ply", "completed.h5", "view.html", "view.png", "pages"}


@tensorflow_only
def test_the_python_of_the_page_runs(tmp_path, scan, monkeypatch):
    page = (pathlib.Path(__file__).parent.parent / "docs" / "completing.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "scans").mkdir()
    for name in ("scan.ply", "scans/a.ply"):
        write_points(tmp_path / name, scan)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        names = {}
        exec(compile(block, "completing.md", "exec"), names)
    assert (tmp_path / "completed" / "a.ply").exists()
    assert (tmp_path / "scan.pcd").exists()


@pytest.mark.parametrize("extension", [".npz", ".h5"])
def test_of_a_pair_in_one_file_the_scan_is_completed(tmp_path, extension):
    scan = np.random.default_rng(0).normal(size=(50, 3))
    if extension == ".npz":
        np.savez(tmp_path / "pair.npz", complete=scan + 9, partial=scan)
    else:
        with h5py.File(tmp_path / "pair.h5", "w") as file:
            file["complete"], file["partial"] = scan + 9, scan
    done = complete_file(echo, tmp_path / f"pair{extension}", tmp_path / "done.npy")
    np.testing.assert_array_equal(done.scan.points, scan)


def stray(rng):
    directions = rng.normal(size=(20, 3))
    return 3 * directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(0.4, 1, (20, 1))


def floor(rng, angle=0.0):
    square = np.stack([rng.uniform(-3, 3, 2000), rng.normal(-0.6, 0.002, 2000), rng.uniform(-3, 3, 2000)], axis=1)
    return square @ Rotation.from_euler("x", angle, degrees=True).as_matrix()


BESIDE = {
    "zeros": (lambda rng: np.full((2000, 3), -7.0), "2000 points at exactly (0, 0, 0)"),
    "another place": (lambda rng: np.full((700, 3), 9.0), "700 points at exactly (16, 16, 16)"),
    "an outlier": (lambda rng: np.array([[1000.0, 0, 0]]), "1 point far from the rest"),
    "stray points": (stray, "20 points far from the rest"),
    "floor": (floor, "2000 points on a plane"),
    "wall": (lambda rng: floor(rng)[:, [0, 2, 1]], "2000 points on a plane"),
    "tilted": (lambda rng: floor(rng, 12.0), "2000 points on a plane"),
}
"""Points beside an object of diagonal 1 in (7, 7, 7), less that place, and what is said of them."""


def chamfer(one, other):
    return 1000 * (KDTree(one).query(other)[0].mean() + KDTree(other).query(one)[0].mean()) / 2


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A scan and its truth, in a scanner's place."""
    made = Shapes8(train=1, val=1, test=4, seed=5, cache_dir=tmp_path_factory.mktemp("shapes"), workers=1)
    sample = made.load("test", 3)
    return sample.partial + np.float32(7), sample.complete + np.float32(7)


@pytest.fixture(scope="module")
def network():
    return open_model()


@tensorflow_only
@pytest.mark.parametrize("name", BESIDE)
def test_what_lies_beside_the_object_is_reported_and_cleaning_gives_the_answer_without_it(
    tmp_path, pair, network, name
):
    scan, truth = pair
    extra, message = BESIDE[name]
    write_points(tmp_path / "alone.npy", scan)
    both = np.concatenate([scan, 7 + extra(np.random.default_rng(2))]).astype(np.float32)
    write_points(tmp_path / "s.npy", both)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = complete_file(network, tmp_path / "alone.npy", tmp_path / "a.npy").completed
        cleaned = complete_file(network, tmp_path / "s.npy", tmp_path / "c.npy", clean=True, keep_partial=True)
    with pytest.warns(ArtifactWarning, match=re.escape(message)) as caught:
        spoiled = complete_file(network, tmp_path / "s.npy", tmp_path / "o.npy")
    assert len(caught) == 1
    assert str(tmp_path / "s.npy") in str(caught[0].message)
    assert "--clean (clean=True)" in str(caught[0].message)
    assert list(map(str, cleaned.artifacts)) == list(map(str, spoiled.artifacts))
    assert chamfer(cleaned.completed, truth) < 1.05 * chamfer(alone, truth)
    assert chamfer(spoiled.completed, truth) > 3 * chamfer(alone, truth)
    assert np.abs(cleaned.cloud.points - 7).max() < 1
    assert len(cleaned.scan) == len(scan)


def test_dropped_points_take_their_colors_along(tmp_path, scan):
    colors = np.random.default_rng(0).integers(0, 255, (350, 3)).astype(np.uint8)
    write_cloud(tmp_path / "s.ply", Cloud(np.concatenate([np.zeros((50, 3), np.float32), scan]), colors))
    done = complete_file(echo, tmp_path / "s.ply", tmp_path / "o.ply", clean=True, keep_partial=True)
    np.testing.assert_array_equal(done.cloud.colors[:300], colors[50:])
    np.testing.assert_array_equal(done.cloud.points[:300], scan)


def test_a_scan_of_the_object_alone_is_completed_without_a_word(tmp_path, scan):
    write_points(tmp_path / "s.ply", scan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = complete_file(echo, tmp_path / "s.ply", tmp_path / "o.ply")
    assert done.artifacts == ()


@pytest.fixture
def spoiled(tmp_path, scan):
    """A folder of a good scan, one with zeros, and one with zeros and an outlier."""
    zeros, outlier = np.zeros((90, 3), np.float32), np.array([[4000, 0, 0]], np.float32)
    (tmp_path / "scans").mkdir()
    for name, parts in {"good": [scan], "zeros": [scan, zeros], "both": [scan, zeros, outlier]}.items():
        write_points(tmp_path / "scans" / f"{name}.ply", np.concatenate(parts))
    return tmp_path / "scans"


def test_a_folder_counts_what_its_scans_hold_beside_their_objects(spoiled, tmp_path):
    with pytest.warns(ArtifactWarning) as caught:
        result = complete_folder(echo, spoiled, tmp_path / "out")
    starts = [str(spoiled / f"{name}.ply") + ": 90 points at exactly" for name in ("both", "zeros")]
    assert [str(w.message).startswith(start) for w, start in zip(caught, starts, strict=True)] == [True, True]
    assert {path.stem: list(map(len, found)) for path, found in result.artifacts.items()} == {
        "both": [90, 1],
        "zeros": [90],
    }
    assert result.kinds() == {"no-returns": 2, "stray points": 1}


def test_cleaned_results_are_not_taken_for_those_of_whole_scans(spoiled, tmp_path):
    complete_folder(echo, spoiled, tmp_path / "out", clean=True)
    assert len(read_points(tmp_path / "out" / "both.ply")) == 300
    with pytest.raises(ValueError, match="clean was True and is None"):
        complete_folder(echo, spoiled, tmp_path / "out")


def test_a_record_of_before_cleaning_was_there_is_still_good(folder, tmp_path):
    complete_folder(echo, folder, tmp_path / "out")
    record = json.loads((tmp_path / "out" / NAME).read_text())
    assert all("clean" not in made for made in record["made_with"].values())


def stderr_of(result):
    """The lines on stderr; with those on stdout where click 8.1 keeps them together."""
    return (result.output if result.stderr_bytes is None else result.stderr).splitlines()


@tensorflow_only
@pytest.mark.parametrize("clean", [False, True])
def test_the_command_says_on_stderr_what_was_found_in_every_scan(spoiled, tmp_path, monkeypatch, clean):
    options = ["--clean"] if clean else []
    result = run(monkeypatch, "complete", spoiled, "-o", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    both, zeros, summary = (line for line in stderr_of(result) if " points" in line)
    start = "" if clean else "Warning: "
    dropped = "dropped " if clean else ""
    assert both.startswith(f"{start}{spoiled / 'both.ply'}: {dropped}90 points at exactly (0, 0, 0)")
    assert "1 point far from the rest" in both
    assert zeros.startswith(f"{start}{spoiled / 'zeros.ply'}: {dropped}90 points")
    assert summary.startswith("2 of the scans " + ("were cleaned" if clean else "hold more than the object"))
    assert summary.endswith("no-returns (2), stray points (1)")
    result = run(monkeypatch, "complete", spoiled / "zeros.ply", "-o", tmp_path / "o.ply", *options)
    line = stderr_of(result)[0]
    assert line.startswith(f"{start}{spoiled / 'zeros.ply'}: {dropped}90 points")
