"""Scans from disk to disk with models of one line: what is tested is the way there and back."""

import pathlib

import h5py
import numpy as np
import pytest
from backends import tensorflow_only
from click.testing import CliRunner
from scipy.spatial.transform import Rotation

import keras_wcd.complete as completing
from keras_wcd.cli import main
from keras_wcd.complete import NEUTRAL, Settings, complete_file, complete_folder, complete_points
from keras_wcd.data import Cloud, read_cloud, read_points, write_cloud, write_points
from keras_wcd.data.io.formats import WRITERS

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
    done = complete_file(asked(seen), tmp_path / "car.pcd", tmp_path / "o", box=tmp_path / "car.txt")
    np.testing.assert_allclose(seen[0][0], inside[:, [0, 2, 1]], atol=1e-5)
    assert seen[0][1] is None
    np.testing.assert_allclose(done.completed, points, atol=1e-5)
    (tmp_path / "boxes").mkdir()
    (tmp_path / "car.txt").rename(tmp_path / "boxes" / "car.txt")
    complete_file(echo, tmp_path / "car.pcd", tmp_path / "o", box=tmp_path / "boxes")
    write_points(tmp_path / "van.pcd", points)
    with pytest.raises(FileNotFoundError, match=r"van\.txt"):
        complete_file(echo, tmp_path / "van.pcd", tmp_path / "o", box=tmp_path / "boxes")


@pytest.mark.parametrize("suffix", [".ply", ".pcd", ".npz", ".h5", ".csv"])
def test_kept_points_keep_their_colours_and_completed_ones_are_grey(tmp_path, scan, suffix):
    colors = np.random.default_rng(1).integers(0, 256, scan.shape).astype(np.uint8)
    write_cloud(tmp_path / f"s{suffix}", Cloud(scan, colors, scan))
    complete_file(echo, tmp_path / f"s{suffix}", tmp_path / "o", keep_partial=True)
    found = read_cloud(tmp_path / f"o{suffix}")
    np.testing.assert_array_equal(found.colors[:300], colors)
    np.testing.assert_array_equal(found.colors[300:], np.broadcast_to(NEUTRAL, (300, 3)))
    np.testing.assert_array_equal(found.points[:300].astype(np.float32), scan)
    assert found.normals is None


def test_the_answer_alone_has_no_colours(tmp_path, scan):
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
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == ["a.ply", "a.ply", "b.npy"]


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


@pytest.mark.parametrize(("suffix", "message"), [(None, "holds no scan"), (".obj", "holds no scan")])
def test_an_empty_folder_is_named(tmp_path, suffix, message):
    with pytest.raises(ValueError, match=message):
        complete_folder(echo, tmp_path, tmp_path / "out", suffix=suffix)


def test_an_unknown_suffix_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match="suffix must be"):
        complete_folder(echo, folder, tmp_path / "out", suffix=".obj")


def test_a_mesh_gives_a_ply(tmp_path):
    import trimesh

    from keras_wcd.data.procedural.primitives import box

    trimesh.Trimesh(*box((1, 2, 3)), process=False).export(tmp_path / "m.stl")
    assert complete_file(echo, tmp_path / "m.stl", tmp_path / "out").path == tmp_path / "out.ply"


@tensorflow_only
def test_the_shipped_preset_comes_before_the_demos_model(tmp_path, monkeypatch):
    from keras_wcd.models import presets

    monkeypatch.setattr(presets, "PRESETS", {})
    monkeypatch.setattr(completing, "DEMO_MODEL", tmp_path / "model.keras")
    with pytest.raises(FileNotFoundError, match="there is no model"):
        completing.find_model()
    (tmp_path / "model.keras").touch()
    assert completing.find_model() == tmp_path / "model.keras"
    monkeypatch.setattr(presets, "PRESETS", {"default": "weights"})
    assert completing.find_model() == completing.find_model("default") == presets.locate("default")


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
        (["a.ply", "-o", "out", "--box", "none.txt"], "none.txt"),
        (["a.ply", "-o", "out", "--box", "notes.md"], "not a box"),
        (["a.ply", "-o", "a.ply"], "is the scan itself"),
        (["a.ply", "-o", "out", "--dataset", "x"], "dataset"),
        (["a.ply", "-o", "out", "--overwrite"], "go with a folder"),
        (["one.xyz", "-o", "out"], "single point"),
        (["broken.pcd", "-o", "out"], "no PCD header"),
        (["a.ply", "-o", "none/out.ply"], "does not exist"),
        ([".", "-o", "out", "--html", "page.html"], "give a folder"),
        (["a.ply", "-o", "out", "--html", "none/page.html"], "does not exist"),
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
def test_the_commands_of_the_page_run(tmp_path, scan, monkeypatch):
    page = (pathlib.Path(__file__).parent.parent / "docs" / "completing.md").read_text()
    commands = [line.split("#")[0].split() for line in page.splitlines() if line.startswith("keras-wcd ")]
    assert len(commands) == 8
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
