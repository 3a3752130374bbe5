"""ONNX files: the network's answers by onnxruntime, standard operators, the record, and clear refusals."""

import json

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

import export_models
import onnx
import onnxruntime
from click.testing import CliRunner
from export_models import POINTS
from networks import SMALL

from keras_wcd import export
from keras_wcd.models import BACKBONES


@pytest.fixture(scope="module", params=["little", "grouping"])
def model(request):
    return export_models.little() if request.param == "little" else export_models.Grouping()


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    return export.to_onnx(model, tmp_path_factory.mktemp("onnx") / "m.onnx", POINTS)


def run(path, points):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["cloud"], {"points": points})[0]


def nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def test_answers_as_the_model_does(model, file):
    for cloud in export_models.clouds(3):
        expected = model(cloud[None])[-1]
        np.testing.assert_allclose(run(file, cloud[None]), expected, atol=1e-6)


def test_is_verified_by_its_name(model, file):
    report = export.verify(model, file, export_models.clouds(3), truth=export_models.clouds(3, seed=3))
    assert (report.clouds, report.tolerance) == (3, 1e-4)
    assert report.largest_distance < 1e-6
    assert abs(report.cd_l1_change) < 1e-3


def test_another_model_is_not_verified(file):
    keras.utils.set_random_seed(9)
    with pytest.raises(ValueError, match="differs from the model by|answers with shape"):
        export.verify(export_models.little(), file, export_models.clouds(1) + 5)


def test_holds_standard_operators_and_fixed_shapes_only(model, file):
    loaded = onnx.load(file)
    onnx.checker.check_model(loaded, full_check=True)
    assert [(o.domain, o.version) for o in loaded.opset_import] == [("", 17)]
    found = {(node.domain, node.op_type) for node in nodes(loaded.graph)}
    assert {domain for domain, _ in found} == {""}
    assert (("", "Loop") in found) == (model.name == "grouping")
    (given,), (answer,) = loaded.graph.input, loaded.graph.output
    shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in (given, answer)]
    assert (given.name, answer.name) == ("points", "cloud")
    assert shapes == [[1, POINTS, 3], [1, 32 if model.name == "grouping" else 64, 3]]


def test_carries_the_record_of_a_tflite_file(model, file, tmp_path):
    (found,) = [json.loads(p.value) for p in onnx.load(file).metadata_props if p.key == "keras_wcd"]
    path = export.to_tflite(model, tmp_path / "m.tflite", num_points=POINTS)
    expected = export.runtime.read_metadata(path)
    shared = {*("format", "version", "points_in", "points_out", "normalization", "frame", "backbone", "name", "proof")}
    assert {key: found[key] for key in shared} == {key: expected[key] for key in shared}
    assert found["quantization"] is None


@pytest.mark.parametrize("name", ["crn", "pcn", "pointr"])
def test_networks_are_written_and_verified(tmp_path, name):
    keras.utils.set_random_seed(0)
    network = BACKBONES[name](**SMALL[name])
    x = export_models.clouds(2, network.num_input)
    path = export.to_onnx(network, tmp_path / "m.onnx", network.num_input)
    assert export.verify(network, path, x).largest_distance < 1e-5


def test_the_exact_gelu_is_written_by_erf(tmp_path):
    cloud = keras.Input((POINTS, 3))
    model = keras.Model(cloud, keras.layers.Lambda(lambda x: keras.ops.gelu(8 * x, approximate=False))(cloud))
    path = export.to_onnx(model, tmp_path / "m.onnx", POINTS)
    from scipy.stats import norm

    x = export_models.clouds(1)
    np.testing.assert_allclose(run(path, x), 8 * x * norm.cdf(8 * x.astype(np.float64)), atol=1e-6)


class Digamma(keras.Model):
    """A model of an operator that ONNX does not have, in a loop or not."""

    def __init__(self, looped):
        super().__init__(name="digamma")
        self.looped = looped

    def call(self, points):
        import tensorflow as tf

        if not self.looped:
            return tf.math.digamma(points)
        return tf.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, tf.math.digamma(x)), (0, points))[1]


@pytest.mark.parametrize("looped", [False, True])
def test_names_an_operator_that_onnx_does_not_have(tmp_path, looped):
    with pytest.raises(ValueError, match="operators that ONNX does not have: Digamma; express"):
        export.to_onnx(Digamma(looped), tmp_path / "m.onnx", POINTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": 7}, f"num_points is 7, but model 'little' takes {POINTS}"),
        ({"path": "nowhere/m.onnx"}, "folder that does not exist: 'nowhere'"),
        ({"path": "."}, "is a folder"),
        ({"path": "m.tflite"}, "m.tflite: an ONNX file is called .onnx"),
        ({"model": "weights.h5"}, "model must be a keras.Model, got str"),
    ],
)
def test_refuses_wrong_arguments(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = {"model": export_models.little(), "path": tmp_path / "m.onnx", "num_points": POINTS, **arguments}
    with pytest.raises(ValueError, match=message):
        export.to_onnx(**given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"no model", lambda b: b[: len(b) // 2]])
def test_a_damaged_file_is_refused(tmp_path, damage):
    model = export_models.little()
    path = export.to_onnx(model, tmp_path / "m.onnx", POINTS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"m.onnx.* is not an ONNX model, or it is damaged"):
        export.verify(model, path, export_models.clouds(1))
    path.unlink()
    with pytest.raises(ValueError, match="no such file"):
        export.verify(model, path, export_models.clouds(1))


def test_a_file_that_takes_no_cloud_is_refused(tmp_path):
    value = onnx.helper.make_tensor_value_info
    kinds = [value(name, onnx.TensorProto.FLOAT, [2, 2]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", kinds[:1], kinds[1:])
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=r"must take one cloud \(1, N, 3\)"):
        export.verify(export_models.little(), tmp_path / "m.onnx", export_models.clouds(1))


@pytest.mark.parametrize("package", ["tf2onnx", "onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, file, model, package):
    import importlib

    found = importlib.import_module

    def missing(name, *rest):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    use = {"onnxruntime": lambda: export.verify(model, file, export_models.clouds(1))}
    with pytest.raises(ImportError, match=rf"ONNX files need {package}: pip install 'keras-wcd\[onnx\]'"):
        use.get(package, lambda: export.to_onnx(model, tmp_path / "m.onnx", POINTS))()
    assert not list(tmp_path.iterdir())


def test_converts_in_silence(tmp_path, capfd):
    export.to_onnx(export_models.little(), tmp_path / "m.onnx", POINTS)
    assert capfd.readouterr() == ("", "")


def test_the_command_writes_it_by_the_ending(tmp_path):
    from keras_wcd.cli import main

    keras.utils.set_random_seed(0)
    network = BACKBONES["pcn"](**SMALL["pcn"])
    network.save(tmp_path / "m.keras")
    arguments = ["export", str(tmp_path / "m.keras"), "-o", str(tmp_path / "m.onnx")]
    result = CliRunner().invoke(main, [*arguments, "--points", str(network.num_input)])
    assert result.exit_code == 0, result.output
    assert export.verify(network, tmp_path / "m.onnx", export_models.clouds(1, network.num_input)).clouds == 1
    result = CliRunner().invoke(main, [*arguments, "--quantization", "dynamic"])
    assert result.exit_code == 2
    assert "--quantization goes with a .tflite file" in result.output
