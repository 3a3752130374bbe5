"""What each stage of a network is compared with, and the scale of the whole loss."""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from networks import SMALL, TinyChamfer, chamfer, clouds, numpy

from keras_wcd.models import PCN, PMPNet
from keras_wcd.models.stages import TARGETS, checked_targets, random_points, target


def stages(batch=3, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, count, 3)).astype("float32") for count in (16, 64)]


def network(**arguments):
    model = PCN(**SMALL["pcn"], **arguments)
    model.compile(loss=TinyChamfer())
    return model


def loss_of(model, partial, complete, answers, **options):
    return float(numpy(model.compute_loss(partial, complete, [*map(keras.ops.convert_to_tensor, answers)], **options)))


@pytest.fixture
def pairs():
    return clouds(batch=3)


@pytest.mark.parametrize("targets", [None, "prefix", "whole", ("whole", "prefix"), ("prefix", "whole")])
def test_the_loss_compares_every_stage_with_its_target(targets, pairs):
    partial, complete = pairs
    answers, weights = stages(), (0.25, 2.0)
    model = network(stage_targets=targets, stage_weights=weights, partial_matching=True, loss_scale=3.0)
    kinds = targets if isinstance(targets, tuple) else (targets or "prefix",) * 2
    cut = [complete if kind == "whole" else complete[:, : x.shape[1]] for kind, x in zip(kinds, answers, strict=True)]
    rows = zip(weights, cut, answers, strict=True)
    expected = sum(w * chamfer(y, x).mean() for w, y, x in rows) + chamfer(partial, answers[-1], pred_weight=0).mean()
    assert loss_of(model, partial, complete, answers) == pytest.approx(3 * expected, rel=1e-5)


def test_without_targets_the_numbers_are_those_of_prefixes(pairs):
    partial, complete = pairs
    values = [loss_of(network(**given), partial, complete, stages()) for given in ({}, {"stage_targets": "prefix"})]
    assert values[0] == values[1]


def test_random_points_are_rows_of_the_cloud_drawn_once_each_and_anew(pairs):
    complete = pairs[1]
    seed = keras.random.SeedGenerator(0)
    draws = [numpy(random_points(keras.ops.convert_to_tensor(complete), stages()[0], seed)) for _ in range(2)]
    for drawn in draws:
        assert drawn.shape == (3, 16, 3)
        for rows, cloud in zip(drawn, complete, strict=True):
            assert len(np.unique(rows, axis=0)) == 16
            assert {tuple(row) for row in rows} <= {tuple(row) for row in cloud}
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(np.argsort(draws[0][0, :, 0]), np.argsort(draws[0][1, :, 0]))


def test_every_point_is_drawn_as_often():
    cloud = np.arange(30, dtype="float32").reshape(1, 10, 3)
    seed, counts = keras.random.SeedGenerator(3), np.zeros(10)
    many = np.tile(cloud, (500, 1, 1))
    drawn = numpy(random_points(keras.ops.convert_to_tensor(many), np.zeros((500, 4, 3), "float32"), seed))
    counts = np.bincount((drawn[..., 0] / 3).astype(int).ravel(), minlength=10)
    # 200 expected, of deviation 11.
    assert counts.sum() == 2000
    assert np.abs(counts - 200).max() < 55


def test_padding_is_drawn_only_where_nothing_else_is_left(pairs):
    complete = pairs[1].copy()
    complete[0, 20:], complete[1, 5:] = np.nan, np.nan
    seed = keras.random.SeedGenerator(0)
    drawn = numpy(random_points(keras.ops.convert_to_tensor(complete), stages()[0], seed))
    assert [int(np.isfinite(cloud[:, 0]).sum()) for cloud in drawn] == [16, 5, 16]


def test_random_targets_are_the_first_points_outside_training(pairs):
    partial, complete = pairs
    model, plain = network(stage_targets="random"), network()
    values = [loss_of(model, partial, complete, stages(), training=False) for _ in range(2)]
    assert values == [loss_of(plain, partial, complete, stages(), training=False)] * 2
    assert loss_of(model, partial, complete, stages()) != values[0]


def test_a_stage_larger_than_the_truth_is_compared_with_all_of_it(pairs):
    complete = keras.ops.convert_to_tensor(pairs[1][:, :10])
    for kind in TARGETS:
        found = numpy(target(complete, stages()[0], kind, keras.random.SeedGenerator(0)))
        np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(pairs[1][:, :10], axis=1))


@tensorflow_only
def test_a_step_with_random_targets_moves_the_weights_and_is_saved(pairs, tmp_path):
    model = PMPNet(**SMALL["pmpnet"], stage_targets="random", loss_scale=2.0)
    model.compile("adam", TinyChamfer())
    before = [v.numpy() for v in model.trainable_variables]
    assert np.isfinite(model.train_on_batch(*pairs))
    assert not all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.trainable_variables, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.stage_targets, loaded.loss_scale) == (("random",) * 2, 2.0)
    np.testing.assert_array_equal(loaded.predict(pairs[0], verbose=0), model.predict(pairs[0], verbose=0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("prefixes", "unknown target of a stage 'prefixes'; did you mean prefix"),
        (("whole",), "stage_targets must be one name or 2, one per stage"),
        (("whole", 3), "unknown target of a stage 3"),
    ],
)
def test_targets_that_are_none_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        PCN(**SMALL["pcn"], stage_targets=given)
    assert checked_targets(None, 2) == ("prefix", "prefix")


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_named(scale):
    with pytest.raises(ValueError, match="loss_scale must be a finite number above 0"):
        PCN(**SMALL["pcn"], loss_scale=scale)
