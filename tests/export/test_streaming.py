"""The device runtime reads what the library reads, and completes folders, lists and arriving scans."""

import io
import os
import signal
import subprocess
import sys
import time

import export_models
import numpy as np
import pytest
from backends import tensorflow_only
from export_models import POINTS

from keras_wcd import export
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import read_points, write_cloud
from keras_wcd.export import runtime

pytestmark = tensorflow_only


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return export.to_tflite(export_models.little(), tmp_path_factory.mktemp("s") / "little.tflite", num_points=POINTS)


@pytest.fixture
def scans(tmp_path):
    """A folder of three scans of several kinds, and one that is damaged."""
    folder, clouds = tmp_path / "scans", export_models.clouds(3, 40)
    folder.mkdir()
    for name, cloud in zip(("a.ply", "b.pcd", "c.npy"), clouds, strict=True):
        write_cloud(folder / name, Cloud(cloud))
    (folder / "d.ply").write_bytes(b"ply\nnonsense")
    (folder / "notes.md").write_text("no scan")
    return folder


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("suffix", "encoding"),
    [
        *((".ply", encoding) for encoding in ("binary", "ascii")),
        *((".pcd", encoding) for encoding in ("binary", "ascii", "binary_compressed")),
        *((suffix, None) for suffix in (".npy", ".xyz", ".csv")),
    ],
)
def test_a_scan_is_read_as_the_library_reads_it(suffix, encoding, dtype, tmp_path):
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(50, 3)) + (1e6 if dtype == "float64" else 0)).astype(dtype)
    fields = {} if suffix in (".npy", ".xyz") else {"colors": rng.integers(0, 256, (50, 3)).astype("uint8")}
    fields |= {} if suffix in (".npy", ".xyz") else {"normals": rng.normal(size=(50, 3)).astype("float32")}
    path = tmp_path / f"scan{suffix}"
    write_cloud(path, Cloud(points, **fields), encoding=encoding)
    found, expected = runtime._read(str(path)), read_points(path)
    np.testing.assert_array_equal(found, expected)
    if suffix in (".ply", ".pcd", ".npy"):
        assert found.dtype == expected.dtype == dtype


def test_a_folder_is_completed_by_one_interpreter_past_a_damaged_scan(file, scans, tmp_path, monkeypatch, capsys):
    opened, plain = [], runtime.open_model
    monkeypatch.setattr(runtime, "open_model", lambda *a: opened.append(a) or plain(*a))
    assert runtime.main([str(file), str(scans), "-o", str(tmp_path / "out")]) == 2
    assert len(opened) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert len(said.err.splitlines()) == 1
    assert "d.ply" in said.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.ply", "b.ply", "c.ply"]
    for name in ("a.ply", "b.pcd", "c.npy"):
        expected = runtime.complete(file, runtime._read(str(scans / name)))
        np.testing.assert_array_equal(read_points(tmp_path / "out" / f"{name[0]}.ply"), expected)


def test_names_are_taken_from_a_pipe(file, scans, tmp_path, monkeypatch):
    names = f"{scans / 'c.npy'}\n\n{scans / 'a.ply'}\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(names))
    assert runtime.main([str(file), "-", str(tmp_path / "out"), "--format", "npy"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.npy", "c.npy"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_scans_are_completed_as_they_arrive_until_ctrl_c(file, scans, tmp_path):
    watched, out = tmp_path / "watched", tmp_path / "out"
    watched.mkdir()
    command = [sys.executable, runtime.__file__, str(file), "--watch", str(watched), "-o", str(out)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        os.replace(scans / "a.ply", watched / "a.ply")
        assert "a.ply" in process.stdout.readline()
        whole = (scans / "c.npy").read_bytes()
        with open(watched / "late.npy", "wb") as late:
            # Written in two parts, a while apart: it is taken when it is whole.
            late.write(whole[: len(whole) // 2])
            late.flush()
            time.sleep(0.1)
            late.write(whole[len(whole) // 2 :])
        assert "late.ply" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.communicate()
    assert sorted(path.name for path in out.iterdir()) == ["a.ply", "late.ply"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{empty}", "-o", "out"], "holds no scan"),
        (["{scans}", "-o", "{scans}"], "holds the scans; give another folder for the results"),
        (["--watch", "none", "-o", "out"], "'none' is no folder"),
    ],
)
def test_folders_that_do_not_serve_are_named(arguments, message, file, scans, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "scans": scans}
    assert runtime.main([str(file), *(word.format(**places) for word in arguments)]) == 2
    assert message in capsys.readouterr().err
