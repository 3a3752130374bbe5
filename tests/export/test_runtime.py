"""The module for devices: a cloud of any size, place and unit, without TensorFlow, Keras and SciPy."""

import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

import export_models
import tensorflow as tf
from export_models import POINTS

from keras_wcd import export, frames
from keras_wcd.export import runtime
from keras_wcd.models import inference
from keras_wcd.ops.sampling import farthest_point_indices

WITHOUT_FRAMEWORKS = (
    "import sys\nfor name in ('tensorflow', 'keras', 'scipy', 'jax', 'torch'): sys.modules[name] = None\n"
)


@pytest.fixture(scope="module")
def model():
    return export_models.little()


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    return export.to_tflite(model, tmp_path_factory.mktemp("runtime") / "little.tflite", num_points=POINTS)


@pytest.fixture(scope="module")
def scan():
    """A cloud of 40 points in millimeters, far from the origin."""
    return 500 * export_models.clouds(1, 40)[0].astype(np.float64) + [1000, -2000, 300]


def naive_answer(model, points, share):
    """Normalized, repeated, completed by the model itself and taken back, step by step."""
    center = (points.max(0) + points.min(0)) / 2
    scale = np.linalg.norm(points.max(0) - points.min(0)) / share
    repeated = np.stack([(points[i * len(points) // POINTS] - center) / scale for i in range(POINTS)])
    return model.predict(repeated[None], verbose=0)[-1][0] * scale + center


@pytest.mark.parametrize(("normalize", "share"), [("partial", 0.98), ("bbox", 1.0)])
def test_completes_in_the_frame_and_units_of_the_scan(model, file, scan, normalize, share):
    found = runtime.complete(file, scan, normalize=normalize)
    assert (found.shape, found.dtype) == ((64, 3), np.float64)
    np.testing.assert_allclose(found, naive_answer(model, scan, share), atol=1e-3)


SIZES = [1, 2, 3, 7, 300, 1500, 2047, 2048, 2049, 5000, 16384, 16385, 40_000, 1_000_000]


class Seen:
    """A model that gives back its input, which it keeps."""

    points_in = 2048

    def __call__(self, points):
        self.points = points
        return points


@pytest.fixture(scope="module")
def completer(file):
    completer = runtime.Completer(file)
    completer.model = Seen()
    return completer


@pytest.mark.parametrize("far", [0, 1e6, 5.4e9])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("size", SIZES)
def test_the_input_is_that_of_the_networks_bit_by_bit(completer, size, dtype, far):
    rng = np.random.default_rng(size)
    scan = (1000 * rng.normal(size=(size, 3)) * [1, 0.4, 0.3] + [far, -far, far / 7]).astype(dtype)
    for normalize in ("partial", "bbox", None) if size <= 40_000 else ("partial",):
        seen = []
        expected = inference.complete(lambda batch: seen.append(batch[0]) or batch, scan, 2048, normalize)  # noqa: B023
        found = completer(scan, normalize=normalize)
        assert completer.model.points.dtype == seen[0].dtype == np.float32
        assert completer.model.points.tobytes() == seen[0].tobytes()
        assert found.dtype == expected.dtype == (np.float32 if dtype == "float32" else np.float64)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [5, 96, 97, 700, 769, 5000])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
def test_resamples_as_the_library_does(size, dtype):
    points = (100 * np.random.default_rng(size).normal(size=(size, 3))).astype(dtype)
    np.testing.assert_array_equal(runtime.resample(points, 96), frames.resample(points, 96))


@pytest.mark.parametrize("far", [0, 4e6, 5.4e9])
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_keeps_coordinates_that_need_more_than_24_bits(file, dtype, far):
    scan = (4000 * export_models.clouds(1, 300)[0].astype(np.float64)).astype(dtype)
    found, near = runtime.complete(file, scan + np.array(far, dtype)), runtime.complete(file, scan)
    assert found.dtype == near.dtype == np.float64
    # float32 has steps of 512 at 5.4e9; the scan spans 1600.
    np.testing.assert_allclose(found - far, near, rtol=0, atol=1e-3)


def test_the_share_that_a_view_spans_is_read_from_the_file(file, scan, monkeypatch):
    completer = runtime.Completer(file)
    at_one = completer(scan, normalize="bbox")
    monkeypatch.setitem(completer.metadata["normalization"], "seen", 1.0)
    np.testing.assert_array_equal(completer(scan), at_one)


def test_opens_the_file_once(file, monkeypatch):
    opened = []

    class Counted(runtime.Interpreter):
        def __init__(self, *arguments, **options):
            opened.append(options)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(runtime, "Interpreter", Counted)
    runtime.Completer(file, threads=1)
    assert len(opened) == 1


def test_an_answer_that_is_not_finite_is_an_error(file, scan):
    completer = runtime.Completer(file)
    completer.model = Seen()
    completer.model.points_in = 8
    with pytest.raises(ValueError, match="do not fit into float32"):
        completer(scan * 1e300, normalize=None)
    monkey = type("Broken", (Seen,), {"__call__": lambda self, points: points * np.float32(np.nan)})
    completer.model = monkey()
    with pytest.raises(ValueError, match="answer is not finite"):
        completer(scan)


def test_moves_and_scales_with_the_scan(file, scan):
    moved = runtime.complete(file, 3 * scan + [5, 6, 7])
    np.testing.assert_allclose(moved, 3 * runtime.complete(file, scan) + [5, 6, 7], atol=1e-2)


def test_leaves_the_frame_alone_on_request(model, file):
    points = export_models.clouds(1)[0]
    expected = model.predict(points[None], verbose=0)[-1][0]
    np.testing.assert_allclose(runtime.complete(file, points, normalize=None), expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, POINTS - 1, POINTS, POINTS + 1, 40 * POINTS])
def test_takes_a_cloud_of_any_size_and_answers_the_same_again(file, count):
    points = export_models.clouds(1, count)[0]
    found = runtime.complete(file, points, threads=2)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, runtime.complete(file, points, threads=2))


def test_coincident_points_keep_the_size_of_the_frame(file):
    found = runtime.complete(file, np.tile([[10.0, 20, 30]], (50, 1)))
    np.testing.assert_allclose(found, runtime.complete(file, [[0.0, 0, 0]]) + [10, 20, 30], atol=1e-5)


def test_repeats_each_point_equally_often_where_there_are_few():
    found = runtime.resample(np.arange(21.0).reshape(7, 3), 24)
    assert sorted(np.unique(found[:, 0], return_counts=True)[1]) == [3, 3, 3, 3, 4, 4, 4]


def test_thins_by_farthest_points_where_there_are_many():
    points = export_models.clouds(1, 400)[0]
    np.testing.assert_array_equal(runtime.farthest_points(points, 60), farthest_point_indices(points, 60))
    np.testing.assert_array_equal(runtime.resample(points, 60)[:30], runtime.resample(points, 70)[:30])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((0, 3)), "points is empty"),
        (np.zeros((3, 8)), r"shape \(N, 3\), got \(3, 8\); transpose it"),
        (np.zeros((1, 8, 3)), r"shape \(N, 3\), got \(1, 8, 3\)"),
        ([[0, 0, 0], [0, np.nan, 0]], "1 of 2 are not .first: row 1."),
        ([["a", "b", "c"]], "points must be numbers"),
    ],
)
def test_refuses_what_is_no_cloud(file, points, message):
    with pytest.raises(ValueError, match=message):
        runtime.complete(file, points)


def test_refuses_an_unknown_normalization(file, scan):
    with pytest.raises(ValueError, match="normalize must be one of .*'sphere'"):
        runtime.complete(file, scan, normalize="sphere")


def test_refuses_a_missing_file(tmp_path, scan):
    with pytest.raises(ValueError, match="no such file: .*m.tflite"):
        runtime.complete(tmp_path / "m.tflite", scan)


@pytest.mark.parametrize("part", [0, 6, 100, 5000, -100])
def test_refuses_a_truncated_file(file, tmp_path, scan, part):
    (tmp_path / "m.tflite").write_bytes(file.read_bytes()[:part])
    with pytest.raises(ValueError, match="m.tflite' is not a LiteRT model, or it is damaged"):
        runtime.complete(tmp_path / "m.tflite", scan)


def test_refuses_a_file_without_metadata(tmp_path, scan):
    double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((1, 8, 3))]).get_concrete_function()
    (tmp_path / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([double]).convert())
    with pytest.raises(ValueError, match="carries no keras-wcd metadata"):
        runtime.complete(tmp_path / "m.tflite", scan)


def test_runs_inside_the_package_without_any_framework(file, scan, tmp_path):
    np.save(tmp_path / "scan.npy", scan)
    program = WITHOUT_FRAMEWORKS + (
        "import numpy, keras_wcd.export.runtime as runtime\n"
        f"numpy.save({str(tmp_path / 'out.npy')!r}, runtime.complete({str(file)!r},"
        f" numpy.load({str(tmp_path / 'scan.npy')!r})))\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), runtime.complete(file, scan), atol=1e-3)


@pytest.fixture
def shell(tmp_path):
    """The module copied alone to a folder, run there as a device would, with nothing of the library in reach."""
    shutil.copy(runtime.__file__, tmp_path / "runtime.py")
    program = WITHOUT_FRAMEWORKS.replace("'scipy'", "'scipy', 'keras_wcd'") + (
        "import runpy; sys.argv = ['runtime.py', *sys.argv[1:]]; runpy.run_path('runtime.py', run_name='__main__')"
    )

    def run(*arguments):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("name", ["scan.npy", "scan.xyz", "scan.csv"])
def test_runs_from_a_shell_copied_alone(shell, file, scan, tmp_path, name):
    if name.endswith(".npy"):
        np.save(tmp_path / name, scan)
    else:
        np.savetxt(tmp_path / name, scan, delimiter="," if name.endswith(".csv") else " ")
    assert shell(file, name, "out.npy").returncode == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), runtime.complete(file, scan), atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("out", ["out.npy", "out.ply", "OUT.PLY"])
def test_writes_what_the_name_of_the_result_says(shell, file, scan, tmp_path, out, dtype):
    from keras_wcd.data import read_points

    np.save(tmp_path / "scan.npy", scan.astype(dtype))
    assert shell(file, "scan.npy", out).returncode == 0
    assert (tmp_path / out).read_bytes()[:3] == (b"ply" if out.lower().endswith("ply") else b"\x93NU")
    found = read_points(tmp_path / out)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, runtime.complete(file, scan.astype(dtype)), rtol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["runtime.py", "scan.npy", out])


@pytest.mark.parametrize("out", ["out.pcd", "out", "out.npz", "-"])
def test_a_result_of_another_name_is_refused_before_anything_is_read(shell, tmp_path, out):
    done = shell("no such model", "no such scan", out)
    assert done.returncode == 2
    assert f"error: {out!r}: the result must be called *.npy or *.ply" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["runtime.py"]


def test_a_missing_folder_is_named_before_anything_is_read(shell, tmp_path):
    done = shell("no such model", "no such scan", "none/out.npy")
    assert done.returncode == 2
    assert "there is no folder 'none'" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file: 'scan.npy'"), (b"nonsense", "'scan.npy' cannot be read as points")],
)
def test_a_users_mistake_is_one_line_in_the_shell(shell, file, tmp_path, content, message):
    if content is not None:
        (tmp_path / "scan.npy").write_bytes(content)
    done = shell(file, "scan.npy", "out.npy")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: " + message)]
    assert not (tmp_path / "out.npy").exists()
