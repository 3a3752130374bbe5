"""4-bit weights and 8-bit activations: which layers they reach, networks with loops, and what they cost."""

import builtins

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)
pytest.importorskip("litert_quantizer")

import export_models
from ai_edge_litert import schema_py_generated as schema
from export_models import POINTS
from networks import SMALL

from keras_wcd import export
from keras_wcd.export.coordinates import layers
from keras_wcd.models import BACKBONES

FLOAT32, INT8, INT4 = schema.TensorType.FLOAT32, schema.TensorType.INT8, schema.TensorType.INT4
LOOPED = (("pointr", "int8"), ("snowflakenet", "dynamic4"))


class Deep(keras.Model):
    """A loop, a layer on coordinates, two between features, one to offsets."""

    def __init__(self):
        super().__init__(name="deep")
        self.farthest = export_models.Farthest(32)
        self.read, self.write = keras.layers.Dense(32, "relu"), keras.layers.Dense(6)
        self.first, self.second = keras.layers.Dense(64, "relu"), keras.layers.Dense(48)

    def call(self, points):
        seeds = self.farthest(points)
        offsets = keras.ops.tanh(self.write(self.second(self.first(self.read(seeds)))))
        return keras.ops.reshape(seeds[:, :, None] + 0.1 * keras.ops.reshape(offsets, (-1, 32, 2, 3)), (-1, 64, 3))


def opened(content):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))


def dense_layers(path):
    """For each dense layer of a file: columns of its weights, and types of activations in, weights, activations out."""
    graph = opened(path.read_bytes()).subgraphs[0]
    model, found = opened(path.read_bytes()), {}
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.FULLY_CONNECTED:
            tensors = [graph.tensors[i] for i in (op.inputs[0], op.inputs[1], op.outputs[0])]
            found[tuple(map(int, tensors[1].shape[::-1]))] = tuple(t.type for t in tensors)
    return found


@pytest.fixture(scope="module")
def deep():
    keras.utils.set_random_seed(0)
    return Deep()


@pytest.fixture(scope="module")
def files(deep, tmp_path_factory):
    folder, calibration = tmp_path_factory.mktemp("deep"), export_models.clouds(20, seed=1)
    return {
        q: export.to_tflite(deep, folder / f"{q}.tflite", q, calibration, POINTS) for q in (None, "dynamic4", "int8")
    }


def test_8_bits_fix_activations_between_features_alone(files):
    assert dense_layers(files["int8"]) == {
        (3, 32): (FLOAT32, INT8, FLOAT32),
        (32, 64): (INT8, INT8, INT8),
        (64, 48): (INT8, INT8, INT8),
        (48, 6): (FLOAT32, INT8, FLOAT32),
    }


def test_4_bits_leave_8_to_the_layers_on_coordinates(files):
    assert {shape: types[1] for shape, types in dense_layers(files["dynamic4"]).items()} == {
        (3, 32): INT8,
        (32, 64): INT4,
        (64, 48): INT4,
        (48, 6): INT8,
    }


@pytest.mark.parametrize("quantization", ["dynamic4", "int8"])
def test_a_loop_is_no_hindrance_and_its_points_stay_exact(files, deep, quantization):
    path, x = files[quantization], export_models.clouds(4)
    assert "WHILE" in export.operators(path)
    assert {"CUSTOM", "DELEGATE"}.isdisjoint(export.operators(path))
    report = export.verify(deep, path, x)
    assert report.clouds == 4
    # Offsets are a tenth of tanh: 8 bits of the features move them by less, coordinates in 8 bits move them by more.
    assert report.largest_difference < {"dynamic4": 2e-2, "int8": 2e-3}[quantization]
    assert report.largest_difference > 0


def test_ranges_are_those_of_the_calibration_clouds(files, deep):
    model = opened(files["int8"].read_bytes())
    graph = model.subgraphs[0]
    ranges = []
    for tensor in graph.tensors:
        if tensor.type == INT8 and tuple(tensor.shape) == (1, 32, 64) and tensor.quantization.scale is not None:
            (scale,), (zero,) = tensor.quantization.scale, tensor.quantization.zeroPoint
            ranges.append(((-128 - zero) * scale, (127 - zero) * scale))
    features = [deep.first(deep.read(deep.farthest(cloud[None]))).numpy() for cloud in export_models.clouds(20, seed=1)]
    assert len(ranges) == 1
    np.testing.assert_allclose(ranges[0], (0, np.max(features)), rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module", params=LOOPED, ids=lambda row: f"{row[0]}-{row[1]}")
def looped(request, tmp_path_factory):
    """A network of the library whose graph has loops, its quantization and the file."""
    name, quantization = request.param
    keras.utils.set_random_seed(0)
    network = BACKBONES[name](**SMALL[name])
    path, points = tmp_path_factory.mktemp("looped") / "m.tflite", network.num_input
    calibration = export_models.clouds(5, points, seed=1)
    return network, quantization, export.to_tflite(network, path, quantization, calibration, points)


def test_networks_with_loops_are_quantized_and_verified(looped):
    network, quantization, path = looped
    report = export.verify(network, path, export_models.clouds(2, network.num_input))
    assert 0 < report.largest_distance <= report.tolerance
    assert "WHILE" in export.operators(path)
    assert export.runtime.read_metadata(path)["quantization"] == quantization
    column = {"int8": 0, "dynamic4": 1}[quantization]
    assert {"int8": INT8, "dynamic4": INT4}[quantization] in {types[column] for types in dense_layers(path).values()}


def test_products_of_activations_stay_in_float32(looped):
    model = opened(looped[2].read_bytes())
    products = [tensor for name, tensor in layers(model) if name == "BATCH_MATMUL"]
    assert {model.subgraphs[0].tensors[i].type for i in products} <= {FLOAT32}
    assert products or looped[0].name != "poin_tr"


def test_features_joined_with_coordinates_count_as_coordinates(tmp_path):
    cloud = keras.Input((POINTS, 3))
    features = keras.layers.Dense(16, "relu")(cloud)
    joined = keras.layers.Dense(20, "relu")(keras.layers.Concatenate()([features, cloud]))
    model = keras.Model(cloud, keras.layers.Dense(3)(keras.layers.Dense(24, "relu")(joined)))
    path = export.to_tflite(model, tmp_path / "m.tflite", "int8", export_models.clouds(3), POINTS)
    assert {shape for shape, types in dense_layers(path).items() if types[0] == INT8} == {(20, 24)}


@pytest.mark.parametrize("quantization", ["dynamic4", "int8"])
def test_a_missing_quantizer_is_named_with_its_extra(tmp_path, monkeypatch, quantization):
    found = builtins.__import__

    def missing(name, *rest):
        if name.partition(".")[0] == "litert_quantizer":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"pip install 'keras-wcd\[quantize\]'"):
        export.to_tflite(export_models.little(), tmp_path / "m.tflite", quantization, export_models.clouds(1), POINTS)
    assert not list(tmp_path.iterdir())
    export.to_tflite(export_models.little(), tmp_path / "m.tflite", "dynamic", num_points=POINTS)


def test_tensors_of_one_name_are_told_apart(files):
    from keras_wcd.export.packing import packed
    from keras_wcd.export.quantized import quantized

    model = opened(files[None].read_bytes())
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"same"
    content = quantized(packed(model), "int8", [c[None] for c in export_models.clouds(3)])
    names = [tensor.name for graph in opened(content).subgraphs for tensor in graph.tensors]
    assert len(names) == len(set(names))
    assert INT8 in {tensor.type for tensor in opened(content).subgraphs[0].tensors}


class Bounds(keras.Model):
    """What float16 cannot hold: a bound beyond 65504 and a summand below its least number."""

    def __init__(self):
        super().__init__(name="bounds")
        self.dense = keras.layers.Dense(96 * 3)

    def call(self, points):
        shift = keras.ops.reshape(self.dense(keras.ops.max(points, axis=1)), (-1, 96, 3))
        capped = keras.ops.where(points < 3e38, points, 0 * points)
        zero = keras.ops.relu(-1 - keras.ops.abs(points))
        return capped + shift + zero / (zero + 1e-10)


def test_float16_keeps_bounds_and_small_summands(tmp_path):
    keras.utils.set_random_seed(0)
    model, sizes = Bounds(), {}
    for quantization in (None, "float16"):
        path = export.to_tflite(model, tmp_path / "m.tflite", quantization, num_points=POINTS)
        sizes[quantization] = opened(path.read_bytes())
        assert export.verify(model, path, export_models.clouds(3)).largest_difference < 1e-3
    kinds = {q: {tensor.type for tensor in m.subgraphs[0].tensors} for q, m in sizes.items()}
    assert schema.TensorType.FLOAT16 in kinds["float16"] - kinds[None]


def test_a_weight_beyond_float16_stays_float32(tmp_path):
    model = export_models.little()
    kernel = model.layers[-2].kernel
    kernel.assign(kernel * 1e6)
    path = export.to_tflite(model, tmp_path / "m.tflite", "float16", num_points=POINTS)
    x = export_models.clouds(1)
    expected = model.predict(x, verbose=0)[-1][0]
    np.testing.assert_allclose(
        export.runtime.Model(path)(x[0]), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
    )


def test_a_layer_that_is_dead_on_the_calibration_is_left_alone(tmp_path):
    cloud = keras.Input((POINTS, 3))
    features = keras.layers.Dense(16, "relu")(cloud)
    dead = keras.layers.Dense(20, "relu", bias_initializer=keras.initializers.Constant(-9))(features)
    joined = keras.layers.Concatenate()([features, keras.layers.Dense(24, "relu")(dead)])
    model = keras.Model(cloud, keras.layers.Dense(3)(keras.layers.Dense(28)(joined)))
    path = export.to_tflite(model, tmp_path / "m.tflite", "int8", export_models.clouds(3), POINTS)
    types = dense_layers(path)
    assert [types[shape][0] for shape in ((16, 20), (20, 24), (40, 28))] == [FLOAT32, FLOAT32, INT8]
    assert export.verify(model, path, export_models.clouds(3)).clouds == 3


def test_the_command_calibrates_on_a_folder_of_scans(tmp_path):
    from click.testing import CliRunner

    from keras_wcd.cli import main

    keras.utils.set_random_seed(0)
    network = BACKBONES["pcn"](**SMALL["pcn"])
    network.save(tmp_path / "m.keras")
    (tmp_path / "scans").mkdir()
    for i, cloud in enumerate(export_models.clouds(3, 200)):
        np.save(tmp_path / "scans" / f"{i}.npy", 50 * cloud + 1000)
    path = tmp_path / "m.tflite"
    arguments = ["export", tmp_path / "m.keras", "-o", path, "--points", network.num_input, "--quantization", "int8"]
    result = CliRunner().invoke(main, [*map(str, arguments), "--calibration", str(tmp_path / "scans")])
    assert result.exit_code == 0, result.output
    # Ranges of scans that were not brought into the frame would be hundreds of times too wide.
    assert export.verify(network, path, export_models.clouds(2, network.num_input)).largest_distance < 2e-2
    empty = CliRunner().invoke(main, [*map(str, arguments), "--calibration", str(tmp_path / "none")])
    assert empty.exit_code == 2
    assert "calibration must hold clouds" in empty.output
