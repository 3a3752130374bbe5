import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tasks
import trimesh
from click.testing import CliRunner
from meshes import export, shape, tree, write_meshes
from scipy.spatial import cKDTree
from shared import DATA

from keras_wcd import parallel
from keras_wcd.cli import Commands
from keras_wcd.commands.data_make import make
from keras_wcd.data.datasets.mesh_folder import MeshFolder
from keras_wcd.data.datasets.pcn import PCN
from keras_wcd.data.from_meshes import make as make_module
from keras_wcd.data.from_meshes.catalog import Entry, assign_splits, find, fingerprint, same_shape, titles
from keras_wcd.data.from_meshes.make import make_dataset
from keras_wcd.data.io.formats import read_points
from keras_wcd.data.io.mesh import Mesh, sample_surface
from keras_wcd.data.pipeline.batches import Batches, to_arrays
from keras_wcd.data.procedural.primitives import ellipsoid
from keras_wcd.data.resampling import Frame
from keras_wcd.data.scanner.pairs import Scanning

SHARED = DATA / "meshes"
SMALL = {"views": 2, "points": 512, "progress": False, "workers": 1}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def meshes(tmp_path):
    root = tmp_path / "meshes"
    write_meshes(root)
    return root


def test_categories_are_folders_and_names_are_unique(tmp_path):
    for path in ("a/x.obj", "a/x.stl", "a/sub/x.obj", "b/x.obj", "top.ply", ".hid/y.obj", "a/.z.obj", "a/notes.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    names = {entry.path: entry.name for entry in find(tmp_path)}
    assert names == {
        "a/sub/x.obj": "a/sub_x",
        "a/x.obj": "a/x",
        "a/x.stl": "a/x_stl",
        "b/x.obj": "b/x",
        "top.ply": "object/top",
    }


def test_folders_named_by_a_synset_get_its_name():
    assert titles(["02691156", "mine"]) == {"02691156": "airplane", "mine": "mine"}
    assert titles(["02691156", "airplane"]) == {"02691156": "02691156", "airplane": "airplane"}


def test_a_fingerprint_holds_the_moments_of_random_points_of_the_surface():
    mesh = shape(1)
    found, points = fingerprint(mesh), sample_surface(mesh, 400_000, np.random.default_rng(0))
    np.testing.assert_allclose(found[3:6], points.mean(axis=0), atol=2e-3)
    second = (points.T @ points / len(points))[np.triu_indices(3)]
    np.testing.assert_allclose(found[6:12], second, atol=2e-3)
    np.testing.assert_allclose(found[12], (points[:, 0] ** 3).mean(), atol=2e-3)
    np.testing.assert_allclose(found[16], (points[:, 0] * points[:, 1] * points[:, 2]).mean(), atol=2e-3)


def test_a_fingerprint_does_not_depend_on_how_triangles_are_cut_listed_or_doubled():
    mesh, rng = shape(2), np.random.default_rng(0)
    order = rng.permutation(len(mesh.vertices))
    listed = Mesh(mesh.vertices[order], np.argsort(order)[rng.permutation(mesh.faces)][:, [1, 2, 0]])
    cut = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).subdivide()
    apart = Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(mesh.faces.size).reshape(-1, 3))
    doubled = Mesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::-1]]))
    for same in (listed, Mesh(cut.vertices, cut.faces), apart, doubled):
        np.testing.assert_allclose(fingerprint(same), fingerprint(mesh), atol=1e-9)


def test_one_shape_in_every_format_place_and_size_is_one_shape(tmp_path):
    mesh = shape(3)
    moved = Mesh(mesh.vertices * 250 + (3, 1, 2), mesh.faces)
    paths = [tmp_path / f"x.{extension}" for extension in ("obj", "stl", "off", "glb", "ply")]
    for path, form in zip(paths, (mesh, moved, mesh, moved, moved), strict=True):
        export(form, path)
    prints = [fingerprint(Scanning().mesh(path)) for path in paths]
    others = [fingerprint(Scanning().mesh(paths[0])) + 0.01, fingerprint(shape(4))]
    assert same_shape(np.array(prints + others)).tolist() == [0] * 5 + [1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_splits_keep_shapes_together_and_their_shares(seed):
    entries = [Entry(f"{c}/{i}.obj", c, str(i)) for c in "abcd" for i in range(25)]
    shapes = np.array([i // 2 for i in range(100)])
    splits = np.array(assign_splits(entries, shapes, (0.8, 0.1, 0.1), seed))
    assert all(len(set(splits[shapes == s])) == 1 for s in range(50))
    assert [(splits == name).sum() for name in ("train", "val", "test")] == [80, 10, 10]
    for category in "abcd":
        inside = splits[[entry.category == category for entry in entries]]
        assert 16 <= (inside == "train").sum() <= 23


def test_few_meshes_fill_every_split_and_another_seed_deals_anew():
    entries = [Entry(f"a/{i}.obj", "a", str(i)) for i in range(12)]
    dealt = [assign_splits(entries, np.arange(12), (0.8, 0.1, 0.1), seed) for seed in range(4)]
    assert all(sorted(splits) == ["test", "train"] + ["train"] * 9 + ["val"] or len(splits) == 12 for splits in dealt)
    assert all((splits.count("val"), splits.count("test")) == (1, 1) for splits in dealt)
    assert len({tuple(splits) for splits in dealt}) > 1
    assert assign_splits(entries, np.arange(12), (1, 0, 0), 0) == ["train"] * 12


def test_a_data_set_lies_in_the_published_layout(meshes, tmp_path):
    made = make_dataset(meshes, tmp_path / "out", **SMALL)
    assert made.counts == {"train": 4, "val": 1, "test": 1}
    rows = json.loads((tmp_path / "out" / "PCN.json").read_text())
    assert [row["taxonomy_id"] for row in rows] == ["chair", "table"]
    seen = 0
    for row in rows:
        for split in ("train", "val", "test"):
            for id in row[split]:
                place = tmp_path / "out" / split
                complete = read_points(place / "complete" / row["taxonomy_id"] / f"{id}.pcd")
                assert complete.shape == (512, 3)
                assert sorted(os.listdir(place / "partial" / row["taxonomy_id"] / id)) == ["00.pcd", "01.pcd"]
                seen += 1
    assert seen == 6


def test_the_reader_of_pcn_reads_it_back(meshes, tmp_path):
    make_dataset(meshes, tmp_path / "out", **SMALL)
    data, folder = PCN(tmp_path / "out", views="all"), MeshFolder(meshes, views=2, points=512, workers=1)
    for split in data.splits:
        assert data.size(split) == folder.size(split)
        ours = {sample.name: sample for sample in (folder.load(split, i) for i in range(folder.size(split)))}
        for index in range(data.size(split)):
            sample = data.load(split, index)
            np.testing.assert_array_equal(sample.partial, ours[sample.name].partial)
            np.testing.assert_array_equal(sample.complete, ours[sample.name].complete)


def test_shapes_stand_in_the_canonical_frame_and_scans_lie_on_them(meshes):
    folder = MeshFolder(meshes, views=2, points=8192, workers=1)
    assert folder.categories == ("chair", "table")
    for index in range(folder.size("train")):
        sample = folder.load("train", index)
        frame = Frame.of(sample.complete)
        np.testing.assert_allclose(frame.center, 0, atol=0.02)
        np.testing.assert_allclose(frame.scale, 1, atol=0.03)
        assert 64 <= len(sample.partial) < 8000
        assert cKDTree(sample.complete).query(sample.partial)[0].max() < 0.06


def test_up_may_be_z(tmp_path):
    tall = ellipsoid((0.1, 0.2, 0.9))
    export(tall, tmp_path / "a" / "x.obj")
    extents = [np.ptp(Scanning(up=up).mesh(tmp_path / "a" / "x.obj").vertices, axis=0) for up in ("y", "z")]
    np.testing.assert_allclose(extents[1], extents[0][[0, 2, 1]], atol=1e-6)
    corner = Mesh(np.array([[1.0, 2, 3], [0, 0, 0], [1, 0, 0], [0, 0, 3]]), np.array([[0, 1, 2], [1, 2, 3]]))
    export(corner, tmp_path / "a" / "y.off")
    turned = Scanning(up="z").mesh(tmp_path / "a" / "y.off").vertices
    step = (turned[0] - turned[1]) * np.sqrt(14)
    np.testing.assert_allclose(step, (1, 3, -2), atol=1e-6)  # A rotation about x: up to y, left to the back.


def test_the_bytes_do_not_depend_on_the_number_of_processes(meshes, tmp_path):
    for workers in (1, 3):
        make_dataset(meshes, tmp_path / str(workers), **{**SMALL, "workers": workers})
    assert tree(tmp_path / "1") == tree(tmp_path / "3")
    make_dataset(meshes, tmp_path / "other", **{**SMALL, "seed": 1})
    assert tree(tmp_path / "other") != tree(tmp_path / "1")


def test_a_run_goes_on_where_it_stopped(meshes, tmp_path):
    out = tmp_path / "out"
    make_dataset(meshes, out, **SMALL)
    whole = tree(out)
    files = sorted(path for path in out.rglob("*.pcd"))
    for path in files[::3]:
        path.unlink()
    kept = files[1]
    kept_time = kept.stat().st_mtime_ns
    (out / "PCN.json").unlink()
    (out / "train" / "complete" / "chair" / ".m0.0123abcd.pcd").write_bytes(b"half")
    make_dataset(meshes, out, **SMALL)
    assert tree(out) == whole
    assert kept.stat().st_mtime_ns == kept_time


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes here")
def test_interrupting_leaves_no_half_written_file(meshes, tmp_path):
    out = tmp_path / "out"
    words = ["make", str(meshes), "-o", str(out), "--views", "2000", "--workers", "2"]
    code = f"from keras_wcd.cli import main; main({['data', *words]})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 60
    while not any(out.rglob("00.pcd")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # What a terminal sends: to the helpers too.
    assert b"Stopped." in process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert not (out / "PCN.json").exists()
    files = list(out.rglob("*.pcd"))
    assert files
    assert all(not path.name.startswith(".") and len(read_points(path)) for path in files)


def test_broken_meshes_are_skipped_with_a_reason(meshes, tmp_path):
    (meshes / "chair" / "empty.obj").touch()
    (meshes / "chair" / "noise.glb").write_bytes(b"not a mesh at all, whatever its name says")
    export(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), meshes / "chair" / "flat.off")
    (meshes / "chair" / "cloud.obj").write_text("v 0 0 0\nv 1 1 1\n")
    made = make_dataset(meshes, tmp_path / "out", **SMALL)
    assert set(made.skipped) == {f"chair/{name}" for name in ("empty.obj", "noise.glb", "flat.off", "cloud.obj")}
    assert all(reason and "\n" not in reason for reason in made.skipped.values())
    assert sum(made.counts.values()) == 6
    assert MeshFolder(meshes, workers=1).skipped == made.skipped


def test_the_same_shape_in_two_files_is_counted_and_lies_in_one_split(meshes, tmp_path):
    for number in range(6):
        export(shape(number, 3.0), meshes / "copies" / f"c{number}.stl")
    made = make_dataset(meshes, tmp_path / "out", **SMALL)
    assert made.repeated == 6
    assert made.counts == {"train": 8, "val": 2, "test": 2}
    rows = json.loads((tmp_path / "out" / "PCN.json").read_text())
    home = {id: split for row in rows for split in ("train", "val", "test") for id in row[split]}
    assert all(home[f"m{number}"] == home[f"c{number}"] for number in range(6))


def test_a_folder_of_something_else_is_refused(meshes, tmp_path):
    out = tmp_path / "out"
    make_dataset(meshes, out, **SMALL)
    with pytest.raises(ValueError, match="views = 2, now it is 3"):
        make_dataset(meshes, out, **{**SMALL, "views": 3})
    export(shape(9), meshes / "chair" / "new.obj")
    with pytest.raises(ValueError, match="meshes have changed"):
        make_dataset(meshes, out, **SMALL)
    with pytest.raises(ValueError, match="not empty"):
        make_dataset(meshes, meshes / "chair", **SMALL)
    with pytest.raises(ValueError, match="of its own"):
        make_dataset(meshes, meshes, **SMALL)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"views": 0}, "views"), ({"points": 0}, "points"), ({"up": "x"}, "up"), ({"splits": (1, 1, 0)}, "splits")],
)
def test_refuses_other_arguments(options, named, meshes, tmp_path):
    with pytest.raises(ValueError, match=named):
        make_dataset(meshes, tmp_path / "out", **options)
    with pytest.raises(ValueError, match=named):
        MeshFolder(meshes, **options)
    assert not (tmp_path / "out").exists()


def test_a_mesh_changed_later_is_read_again(meshes):
    before = MeshFolder(meshes, views=1, workers=1)
    assert not before.skipped
    shutil.copy(Path(__file__), meshes / "chair" / "m0.obj")
    assert set(MeshFolder(meshes, views=1, workers=1).skipped) == {"chair/m0.obj"}


def test_the_pipeline_serves_meshes(meshes, tmp_path):
    folder = MeshFolder(meshes, views=2, points=512, workers=1)
    partial, complete = to_arrays(folder, "train", num_points=256, cache_dir=tmp_path)
    assert partial.shape == (8, 256, 3)
    assert complete.shape == (8, 512, 3)
    sample = folder.load("train", 3)
    assert {*map(tuple, complete[3].tolist())} == {*map(tuple, sample.complete.tolist())}
    assert {*map(tuple, partial[3].tolist())} <= {*map(tuple, sample.partial.tolist())}


def test_the_pipeline_draws_the_views_that_the_reader_of_pcn_draws(meshes, tmp_path):
    make_dataset(meshes, tmp_path / "out", **{**SMALL, "views": 4})
    data = PCN(tmp_path / "out", views="random")
    batches = Batches(data, "train", 4, num_points=100, cache_dir=tmp_path / "cache")
    drawn = set()
    for epoch in range(4):
        order, ((partial, complete),) = batches.order(epoch), batches
        for row, index in enumerate(map(int, order)):
            sample = data.load("train", index, epoch=epoch)
            drawn.add(sample.name)
            assert {*map(tuple, partial[row].tolist())} <= {*map(tuple, sample.partial.tolist())}
            assert {*map(tuple, complete[row].tolist())} == {*map(tuple, sample.complete.tolist())}
    assert len(drawn) > 4


def test_the_command_answers_in_one_line_and_exits_with_2_where_nothing_is_usable(meshes, tmp_path):
    group = Commands("keras-wcd")
    group.add_command(make)
    arguments = ["make", str(meshes), "-o", str(tmp_path / "out"), "--views", "1", "--points", "64", "--workers", "1"]
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 0, result.output
    assert "4 train, 1 val, 1 test" in result.output
    (tmp_path / "none" / "a").mkdir(parents=True)
    (tmp_path / "none" / "a" / "x.obj").write_text("nothing")
    result = CliRunner().invoke(group, ["make", str(tmp_path / "none"), "-o", str(tmp_path / "out2")])
    assert result.exit_code == 2
    assert "none of its 1 meshes" in result.output
    assert not (tmp_path / "out2").exists()


def test_a_process_killed_while_it_scans_leaves_the_same_files(meshes, tmp_path, monkeypatch):
    make_dataset(meshes, tmp_path / "whole", **SMALL)
    todo = parallel.run

    def killing(function, given, **options):
        """Kill a process as soon as it has written a file."""
        running = todo(tasks.killed_once, [{**task, "marker": str(tmp_path / "died")} for task in given], **options)
        return running if function is make_module.make_shape else todo(function, given, **options)

    monkeypatch.setattr(parallel, "run", killing)
    made = make_dataset(meshes, tmp_path / "out", **{**SMALL, "workers": 2})
    assert (tmp_path / "died").exists()
    assert not made.skipped
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_mesh_whose_reading_died_is_tried_again_by_the_next_run(meshes, monkeypatch):
    todo = parallel.run
    monkeypatch.setattr(parallel, "run", lambda function, given, **options: todo(tasks.gone, given, workers=1))
    with pytest.raises(ValueError, match="the disk is away"):
        MeshFolder(meshes, workers=1)
    monkeypatch.undo()
    assert not MeshFolder(meshes, workers=1).skipped


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/data/meshes is not there")
def test_real_meshes_of_every_format_become_a_data_set(tmp_path):
    made = make_dataset(SHARED, tmp_path / "out", views=1, points=2048, progress=False)
    assert made.counts == {"train": 10, "val": 1, "test": 1}
    assert not made.skipped
    for path in tmp_path.rglob("*/partial/*/*/00.pcd"):
        assert 300 < len(read_points(path)) < 8000
