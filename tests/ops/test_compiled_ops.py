"""The same results eager, in a graph, under XLA, with unknown sizes and in LiteRT; no host call in an export."""

import keras
import numpy as np
import point_oracles as naive
import pytest

from keras_wcd import ops

if keras.config.backend() != "tensorflow":
    pytest.skip("graphs, XLA by jit_compile and LiteRT are TensorFlow's", allow_module_level=True)

import tensorflow as tf

HOST_CALLS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}
X, Y = naive.clouds(n=29, m=18)
Y[0, [0, 4]] = np.nan  # padding


def features(y):
    y = tf.where(tf.abs(y) < 9, y, 0.0)
    return tf.concat([y, tf.sin(9 * y)], axis=-1)


CASES = {
    "nearest": lambda x, y: ops.nearest(x, y),
    # Without the padding: what a padded row finds is left open.
    "nearest_both": lambda x, y: ops.nearest_both(x, y[:, 5:]),
    "knn": lambda x, y: ops.knn(x, y, 4),
    "gather_points": lambda x, y: (ops.gather_points(x, tf.cast(x[:, :7, 0] * 9 + 9, tf.int32)),),
    "farthest_point_sampling": lambda x, y: (
        ops.farthest_point_sampling(x, 11),
        ops.farthest_point_sampling(y / 8, 9, rule="pointnet2"),
    ),
    "ball_query": lambda x, y: (ops.ball_query(x, y, 0.7, 5), ops.ball_query(y, x, 0.3, 40)),
    "three_interpolate": lambda x, y: (ops.three_interpolate(x, y, features(y)),),
}


@pytest.fixture(params=sorted(CASES))
def case(request):
    return CASES[request.param]


def test_every_operation_has_a_case():
    # Grids have a file of their own.
    grids = {"gridding", "gridding_reverse", "cubic_feature_sampling"}
    assert set(CASES) == set(ops.__all__) - grids - {"device_only"}


def check(case, results):
    expected = case(tf.constant(X), tf.constant(Y))
    assert len(expected) == len(results)
    for want, got in zip(expected, results, strict=True):
        assert want.dtype == tf.as_dtype(np.asarray(got).dtype)
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5, atol=1e-6)


def test_a_graph_gives_the_eager_results(case):
    check(case, tf.function(case)(X, Y))


def test_xla_gives_the_eager_results(case):
    check(case, tf.function(case, jit_compile=True)(X, Y))


def test_a_graph_without_host_calls_gives_the_eager_results(case):
    with ops.device_only():
        check(case, tf.function(case)(X, Y))
        check(case, case(tf.constant(X), tf.constant(Y)))


def signature(batch, n, m):
    return [tf.TensorSpec((batch, n, 3), tf.float32), tf.TensorSpec((batch, m, 3), tf.float32)]


@pytest.mark.parametrize("sizes", [(None, 29, 18), (2, None, None), (None, None, None)])
@pytest.mark.parametrize("device_only", [False, True])
def test_unknown_sizes_give_the_eager_results(case, sizes, device_only, monkeypatch):
    monkeypatch.setattr("keras_wcd.ops.neighbors.BLOCK", 300)
    function = tf.function(case, input_signature=signature(*sizes))
    if device_only:
        with ops.device_only():
            check(case, function(X, Y))
    else:
        check(case, function(X, Y))


def operators(function):
    graph = function.graph.as_graph_def()
    nodes = list(graph.node) + [node for inner in graph.library.function for node in inner.node_def]
    return {node.op for node in nodes}


@pytest.mark.parametrize("batch", [1, None])
def test_a_graph_for_export_holds_no_host_call(case, batch):
    with ops.device_only():
        function = tf.function(case).get_concrete_function(*signature(batch, 29, 18))
    assert not operators(function) & HOST_CALLS


@pytest.mark.parametrize("name", sorted(set(CASES) - {"gather_points"}))
def test_a_graph_for_training_on_the_host_calls_it(name):
    function = tf.function(CASES[name]).get_concrete_function(*signature(2, 29, 18))
    assert operators(function) & HOST_CALLS


@pytest.mark.parametrize("batch", [2, None])
def test_lite_rt_gives_the_eager_results_with_builtin_operators(case, batch):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT has no wheel here")
    with ops.device_only():
        function = tf.function(case).get_concrete_function(*signature(batch, 29, 18))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    runner = interpreter.Interpreter(model_content=converter.convert())
    for detail in runner.get_input_details():
        runner.resize_tensor_input(detail["index"], X.shape if detail["shape"][1] == 29 else Y.shape)
    runner.allocate_tensors()
    for detail in runner.get_input_details():
        runner.set_tensor(detail["index"], X if detail["shape"][1] == 29 else Y)
    runner.invoke()
    outputs = sorted(runner.get_output_details(), key=lambda detail: detail["name"])
    check(case, [runner.get_tensor(detail["index"]) for detail in outputs])
