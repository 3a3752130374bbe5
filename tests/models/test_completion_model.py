"""The base of the networks: supervision of stages, metrics, prediction, draws, export, on two-stage toys."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from networks import SMALL, TinyChamfer, chamfer, clouds, numpy

from keras_wcd.models import PCN, CompletionModel
from keras_wcd.models.layers import draws
from keras_wcd.models.stages import random_points
from keras_wcd.ops import knn

pytestmark = pytest.mark.backend


@keras.saving.register_keras_serializable("tests")
class Toy(CompletionModel):
    """The first 8 and the first `fine` points of the input, moved by a learned vector."""

    def __init__(self, fine=32, **kwargs):
        inputs = keras.Input((None, 3))
        moved = keras.layers.Dense(3, kernel_initializer="identity")(inputs)
        super().__init__(inputs, (moved[:, :8], moved[:, :fine]), **{"num_input": 32, **kwargs})
        self.fine = fine


@keras.saving.register_keras_serializable("tests")
class Noise(keras.layers.Layer):
    """Adds the draw given under `key`, or one of its own in training."""

    def __init__(self, key, **kwargs):
        super().__init__(**kwargs)
        self.key = key
        self.random = keras.random.SeedGenerator(0)

    def call(self, inputs, training=False):
        noise = draws.given(self.key)
        if noise is None:
            noise = keras.random.normal(ops.shape(inputs), seed=self.random) if training else 0.0
        return inputs + noise


class RandomToy(CompletionModel):
    draw_keys = ("shift",)

    def __init__(self, **kwargs):
        inputs = keras.Input((None, 3))
        super().__init__(inputs, (Noise("shift")(inputs),), **kwargs)


def expected_loss(y, outputs, weights=(1, 1)):
    return sum(w * chamfer(y[:, : out.shape[1]], numpy(out)).mean() for w, out in zip(weights, outputs, strict=True))


def evaluated(model, x, y, **kwargs):
    return model.evaluate(x, y, verbose=0, return_dict=True, batch_size=len(x), **kwargs)


def test_every_stage_meets_a_prefix_of_the_ground_truth():
    x, y = clouds(complete=20)
    model = Toy()
    model.compile(loss=TinyChamfer())
    assert evaluated(model, x, y)["loss"] == pytest.approx(expected_loss(y, model(x)), rel=1e-5)


def test_stage_weights_weigh_the_stages():
    x, y = clouds()
    model = Toy(stage_weights=(0.5, 3))
    model.compile(loss=TinyChamfer())
    assert evaluated(model, x, y)["loss"] == pytest.approx(expected_loss(y, model(x), (0.5, 3)), rel=1e-5)


def test_stage_weights_change_while_training_runs():
    x, y = clouds()
    model = Toy(stage_weights=(1, 0))
    model.compile(keras.optimizers.SGD(0.0), loss=TinyChamfer())

    class Raise(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.stage_weights = (1, epoch)

    losses = model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[Raise()]).history["loss"]
    expected = [expected_loss(y, model(x), (1, epoch)) for epoch in range(3)]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_a_list_gives_each_stage_its_own_loss():
    x, y = clouds()
    model = Toy()
    model.compile(loss=[None, TinyChamfer()])
    assert evaluated(model, x, y)["loss"] == pytest.approx(expected_loss(y, model(x), (0, 1)), rel=1e-5)


def test_partial_matching_adds_the_distance_from_the_partial_to_the_last_stage():
    x, y = clouds()
    model = Toy(partial_matching=True)
    model.compile(loss=TinyChamfer(true_weight=2.0))
    outputs = [numpy(out) for out in model(x)]
    expected = sum(chamfer(y[:, : out.shape[1]], out, true_weight=2).mean() for out in outputs)
    expected += chamfer(x, outputs[-1], pred_weight=0).mean()
    assert evaluated(model, x, y)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", lambda y, x: ops.mean(ops.abs(x - y), axis=(1, 2))])
def test_partial_matching_refuses_a_loss_that_has_no_sides(loss):
    with pytest.raises(ValueError, match="partial_matching needs a loss with pred_weight"):
        Toy(partial_matching=True).compile(loss=loss)


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        keras.losses.MeanSquaredError(),
        lambda y, x: ops.mean(ops.square(x - y)),
        lambda y, x: ops.mean(ops.square(x - y), axis=(1, 2)),
    ],
    ids=["name", "keras", "scalar", "per_cloud"],
)
def test_takes_any_keras_loss_or_function_and_sample_weights(loss):
    x, y = clouds()
    model = Toy()
    model.compile(loss=loss)
    outputs = [numpy(out) for out in model(x)]
    per_cloud = sum(np.square(out - y[:, : out.shape[1]]).mean((1, 2)) for out in outputs[:1])
    per_cloud = per_cloud + np.square(outputs[1] - y[:, :32]).mean((1, 2))
    assert evaluated(model, x, y)["loss"] == pytest.approx(per_cloud.mean(), rel=1e-5)
    weights = np.array([1, 1, 1, 1], "float32") * 2
    assert evaluated(model, x, y, sample_weight=weights)["loss"] == pytest.approx(2 * per_cloud.mean(), rel=1e-5)


def test_sample_weights_weigh_clouds():
    x, y = clouds()
    model = Toy()
    model.compile(loss=TinyChamfer())
    weights = np.array([0, 1, 2, 5], "float32")
    per_cloud = sum(chamfer(y[:, : out.shape[1]], numpy(out)) for out in model(x))
    found = evaluated(model, x, y, sample_weight=weights)["loss"]
    assert found == pytest.approx((weights * per_cloud).mean(), rel=1e-5)


@pytest.mark.parametrize("shape", [(), (4,), (4, 1)])
def test_one_weight_for_all_and_a_column_of_weights_are_understood(shape):
    x, y = clouds()
    model = Toy()
    model.compile(loss=TinyChamfer())
    weights = np.full(shape, 3, "float32")
    found = float(model.compute_loss(x, y, model(x), sample_weight=ops.convert_to_tensor(weights)))
    assert found == pytest.approx(3 * expected_loss(y, model(x)), rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 96), (4, 3), (3,), (4, 1, 1), (1, 4), (0,)])
def test_weights_that_are_not_one_per_cloud_are_named(shape):
    x, y = clouds()
    model = Toy()
    model.compile(loss=TinyChamfer())
    with pytest.raises(
        ValueError, match=re.escape(f"sample_weight must have shape (B,), one weight per cloud, here (4,), got {shape}")
    ):
        model.compute_loss(x, y, model(x), sample_weight=np.ones(shape, "float32"))


@pytest.mark.parametrize("run", ["fit", "evaluate"])
def test_weights_of_points_are_named_where_training_runs(run):
    x, y = clouds()
    model = Toy()
    model.compile("sgd", loss=TinyChamfer())
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(B,\), one weight per cloud"):
        getattr(model, run)(x, y, sample_weight=np.ones((4, 96), "float32"), verbose=0)


def test_ragged_truth_is_named():
    if keras.config.backend() != "tensorflow":
        pytest.skip("ragged tensors are TensorFlow's")
    import tensorflow as tf

    x, y = clouds()
    model = Toy()
    model.compile("sgd", loss=TinyChamfer())
    ragged = tf.RaggedTensor.from_row_lengths(y.reshape(-1, 3)[:200], [96, 4, 96, 4])
    with pytest.raises(ValueError, match="y must be a dense tensor .B, M, 3., got a ragged one; pad clouds"):
        model.fit(tf.data.Dataset.from_tensors((x, ragged)), verbose=0)


def test_metrics_see_the_last_stage_and_keep_their_names():
    x, y = clouds(complete=32)
    model = Toy()
    model.compile(loss=TinyChamfer(), metrics=[keras.metrics.MeanAbsoluteError(name="mae")])
    found = evaluated(model, x, y)
    assert set(found) == {"loss", "mae"}
    assert found["mae"] == pytest.approx(np.abs(numpy(model(x)[-1]) - y).mean(), rel=1e-5)


def test_losses_added_by_layers_count_once():
    x, y = clouds()
    model = Toy()
    model.layers[1].kernel_regularizer = keras.regularizers.L2(1.0)
    model.layers[1].kernel.regularizer = model.layers[1].kernel_regularizer
    model.compile(loss=TinyChamfer())
    assert evaluated(model, x, y)["loss"] == pytest.approx(expected_loss(y, model(x)) + 3, rel=1e-5)


def test_training_brings_the_stages_to_the_truth():
    x, _ = clouds()
    y = x + np.float32([0.05, 0, 0])
    model = Toy(fine=128)
    model.compile(keras.optimizers.Adam(0.005), loss=TinyChamfer(), metrics=["mae"])
    history = model.fit(x, y, batch_size=4, epochs=25, verbose=0).history
    assert history["loss"][-1] < 0.4 * history["loss"][0]


def test_saving_keeps_stage_weights_and_partial_matching(tmp_path):
    x, y = clouds()
    model = Toy(stage_weights=(0.5, 3), partial_matching=True)
    model.compile(loss=TinyChamfer(true_weight=2.0), metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "toy.keras")
    again = keras.saving.load_model(tmp_path / "toy.keras")
    assert again.stage_weights == (0.5, 3)
    y = y[:, :32]
    assert evaluated(again, x, y) == pytest.approx(evaluated(model, x, y), rel=1e-6)


def test_a_caller_may_give_the_draws():
    x = clouds()[0]
    model = RandomToy()
    np.testing.assert_array_equal(numpy(model(x)[0]), x)
    np.testing.assert_allclose(numpy(model(x, noise={"shift": np.ones_like(x)})[0]), x + 1)
    first, second = (numpy(model(x, training=True)[0]) for _ in range(2))
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(numpy(model(x)[0]), x)
    with pytest.raises(ValueError, match=r"noise holds \['scale'\].*draws \['shift'\]"):
        model(x, noise={"scale": x})


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3), (1, -1), (1, float("nan"))])
def test_wrong_stage_weights_are_named(weights):
    with pytest.raises(ValueError, match="stage_weights must be 2 finite numbers"):
        Toy(stage_weights=weights)


def test_loss_weights_point_to_stage_weights():
    with pytest.raises(ValueError, match="stage_weights"):
        Toy().compile(loss=TinyChamfer(), loss_weights=[1, 2])


def test_a_list_of_another_length_is_named():
    with pytest.raises(ValueError, match="list of 2, one per stage, got 3"):
        Toy().compile(loss=[TinyChamfer()] * 3)


def test_training_without_truth_or_loss_is_named():
    model = Toy()
    model.compile(loss=TinyChamfer())
    with pytest.raises(ValueError, match="partial, complete"):
        model.compute_loss(clouds()[0], None, model(clouds()[0]))
    model.compile(loss=None)
    with pytest.raises(ValueError, match="no loss to compute"):
        model.compute_loss(*clouds(), model(clouds()[0]))


def test_a_network_made_of_neighbor_searches_exports_without_a_call_into_python(tmp_path):
    if keras.config.backend() != "tensorflow":
        pytest.skip("SavedModel is TensorFlow's")
    import tensorflow as tf

    class Nearest(keras.layers.Layer):
        def call(self, inputs):
            return ops.sum(knn(inputs, inputs, 4)[0], axis=-1, keepdims=True)

    inputs = keras.Input((64, 3))
    model = CompletionModel(inputs, (inputs + Nearest()(inputs),))
    x = clouds(points=64)[0]
    expected = model.predict(x, verbose=0)
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    graph = served.signatures["serving_default"].graph
    functions = [f for f in graph.as_graph_def().library.function]
    kinds = {node.op for f in functions for node in f.node_def} | {node.op for node in graph.as_graph_def().node}
    assert not kinds & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
    np.testing.assert_allclose(served.serve(x)[0], expected, atol=1e-5)


def test_small_sizes_give_a_small_pcn():
    model = PCN(num_coarse=512, grid_size=2, latent=256, encoder=(64, 128, 256), hidden=256, folding=128)
    assert model.outputs[-1].shape == (None, 2048, 3)
    assert 0.7e6 < model.count_params() < 1e6
    assert SMALL["pcn"]["grid_size"] == 2


def test_random_points_of_a_stage_are_drawn_among_those_that_are_no_padding():
    y = np.full((2, 12, 3), np.nan, "float32")
    y[0, 4:] = np.arange(8)[:, None]
    y[1, ::2] = np.arange(6)[:, None]
    seed = keras.random.SeedGenerator(0)
    stage = np.zeros((2, 5, 3), "float32")
    drawn = [keras.ops.convert_to_numpy(random_points(y, stage, seed))[..., 0] for _ in range(40)]
    for cloud, count in ((0, 8), (1, 6)):
        chosen = np.stack([rows[cloud] for rows in drawn])
        assert np.isfinite(chosen).all()
        assert all(len(set(row)) == 5 for row in chosen.tolist())
        # Every point has its turn, in any order.
        assert set(chosen.ravel()) == set(range(count))
        assert len(set(map(tuple, chosen.tolist()))) > 20


def test_padding_is_drawn_where_there_are_too_few_points():
    y = np.full((1, 6, 3), np.nan, "float32")
    y[0, 2:4] = 1.0
    stage = np.zeros((1, 4, 3), "float32")
    found = keras.ops.convert_to_numpy(random_points(y, stage, keras.random.SeedGenerator(1)))[0, :, 0]
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, True])
