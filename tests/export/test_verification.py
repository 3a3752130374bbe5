"""Verification finds what differs, and a benchmark measures the file alone."""

import keras
import numpy as np
import pytest
from scipy.spatial.distance import cdist

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

import export_models
from ai_edge_litert.interpreter import Interpreter
from export_models import POINTS

from keras_wcd import export


@pytest.fixture(scope="module")
def model():
    return export_models.little()


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    return export.to_tflite(model, tmp_path_factory.mktemp("verify") / "little.tflite", "float16", num_points=POINTS)


def cd_l1(x, y):
    distance = cdist(x, y)
    return 500 * (distance.min(0).mean() + distance.min(1).mean())


def test_reports_what_a_direct_comparison_finds(model, file):
    x, truth = export_models.clouds(3), export_models.clouds(3, 50, seed=2)
    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    expected, found = model.predict(x, verbose=0)[-1], []
    for cloud in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], cloud[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    nearest = [max(d.min(0).max(), d.min(1).max()) for d in map(cdist, expected, found)]
    change = np.mean([cd_l1(f, t) - cd_l1(e, t) for e, f, t in zip(expected, found, truth, strict=True)])
    report = export.verify(model, file, x, truth=truth)
    assert report.clouds == 3
    assert report.largest_difference == pytest.approx(np.abs(expected - found).max(), abs=1e-6)
    assert report.mean_difference == pytest.approx(np.abs(expected - found).mean(), abs=1e-6)
    assert report.largest_distance == pytest.approx(max(nearest), abs=1e-6)
    assert report.cd_l1 == pytest.approx(np.mean([*map(cd_l1, expected, found)]), abs=1e-3)
    assert report.cd_l1_change == pytest.approx(change, abs=1e-3)


def test_a_changed_order_of_points_is_no_difference(tmp_path):
    cloud = keras.Input((POINTS, 3))
    forward, backward = keras.Model(cloud, cloud), keras.Model(cloud, keras.layers.Lambda(lambda x: x[:, ::-1])(cloud))
    path = export.to_tflite(backward, tmp_path / "m.tflite", num_points=POINTS)
    report = export.verify(forward, path, export_models.clouds(1))
    assert report.largest_distance == 0
    assert report.largest_difference > 0.1


def test_says_by_how_much_another_model_differs(file):
    keras.utils.set_random_seed(7)
    with pytest.raises(ValueError, match=r"differs from the model by .* beyond the tolerance 0.01"):
        export.verify(export_models.little(), file, export_models.clouds(1))


def test_holds_a_tolerance_that_is_given(model, file):
    assert export.verify(model, file, export_models.clouds(1), tolerance=0.5).tolerance == 0.5
    with pytest.raises(ValueError, match="beyond the tolerance 1e-09"):
        export.verify(model, file, export_models.clouds(1), tolerance=1e-9)


def test_an_answer_that_is_not_finite_is_an_error(tmp_path):
    model = export_models.little()
    path = export.to_tflite(model, tmp_path / "m.tflite", num_points=POINTS)
    model.layers[-2].bias.assign(np.full(192, np.nan))
    with pytest.raises(ValueError, match="answer of the model is not finite"):
        export.verify(model, path, export_models.clouds(1))


@pytest.mark.parametrize(
    ("clouds", "truth", "message"),
    [
        ([], None, "clouds must hold clouds"),
        (np.zeros((2, 5, 4)), None, r"clouds, cloud 1: points must have shape \(N, 3\)"),
        (export_models.clouds(2), export_models.clouds(1), "one cloud for each of clouds"),
        (export_models.clouds(1), export_models.clouds(2), "one cloud for each of clouds"),
    ],
)
def test_refuses_clouds_that_are_none(model, file, clouds, truth, message):
    with pytest.raises(ValueError, match=message):
        export.verify(model, file, clouds, truth=truth)


def test_refuses_a_missing_file(model, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        export.verify(model, tmp_path / "m.tflite", export_models.clouds(1))


def test_benchmark_measures_the_file_alone(file):
    ballast = np.ones(2**25)
    report = export.benchmark(file, runs=5, threads=1)
    assert report.size == file.stat().st_size
    assert 0 < report.latency_min <= report.latency_median <= report.latency_max
    assert 0 < report.model_memory < report.peak_memory < ballast.nbytes
    assert (report.runs, report.threads) == (5, 1)


@pytest.mark.parametrize("arguments", [{"runs": 0}, {"threads": 0}])
def test_benchmark_refuses_wrong_counts(file, arguments):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        export.benchmark(file, **arguments)


def test_benchmark_refuses_what_does_not_run(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        export.benchmark(tmp_path / "m.tflite")
    (tmp_path / "m.tflite").write_bytes(b"no model")
    with pytest.raises(ValueError, match="does not run: .*is not a LiteRT model"):
        export.benchmark(tmp_path / "m.tflite")


def test_every_public_name_resolves_and_is_listed():
    for name in export.__all__:
        assert getattr(export, name) is not None
    assert set(export.__all__) <= set(dir(export))
    with pytest.raises(AttributeError, match="onnx"):
        export.onnx  # noqa: B018


def waves(factor):
    """A model whose answer a disturbance of 1e-6 moves by a tenth."""
    cloud = keras.Input((POINTS, 3))
    return keras.Model(cloud, keras.layers.Lambda(lambda x: keras.ops.sin(factor * x))(cloud))


def test_accepts_what_rounding_does_to_the_model_itself(tmp_path):
    path = export.to_tflite(waves(1e5 * (1 + 2e-7)), tmp_path / "m.tflite", num_points=POINTS)
    report = export.verify(waves(1e5), path, export_models.clouds(2))
    assert report.tolerance < report.largest_distance <= report.rounding_distance
    assert report.cd_l1 <= report.rounding_cd_l1
    with pytest.raises(ValueError, match="beyond the tolerance 0.0001"):
        export.verify(waves(1e5), path, export_models.clouds(2), tolerance=1e-4)


def test_refuses_more_than_rounding_does(tmp_path):
    path = export.to_tflite(waves(1e5 * (1 + 1e-4)), tmp_path / "m.tflite", num_points=POINTS)
    with pytest.raises(ValueError, match="rounding of the input alone moves the model's answer by"):
        export.verify(waves(1e5), path, export_models.clouds(2))


def test_a_smooth_model_gains_nothing_from_rounding(tmp_path):
    path = export.to_tflite(waves(1 + 1e-3), tmp_path / "m.tflite", num_points=POINTS)
    with pytest.raises(ValueError, match=r"moves the model's answer by [1-9](\.\d+)?e-06"):
        export.verify(waves(1), path, export_models.clouds(2))
