"""Terms that recipes add to the loss of a stage."""

import keras
import numpy as np
import pytest
from networks import TinyChamfer, chamfer, numpy

from keras_wcd.losses import LandauCD
from keras_wcd.training.terms import WithRepulsion, repulsion


def clouds(seed=0, points=40, size=0.12):
    rng = np.random.default_rng(seed)
    return (size * rng.random((3, points, 3))).astype("float32")


def by_loops(cloud, radius=0.07, width=0.03, count=20, nearest=4):
    values = []
    for point in cloud.astype(np.float64):
        distance = np.linalg.norm(cloud - point, axis=1)
        found = list(np.flatnonzero(distance < radius)[:count])
        found += [found[0]] * (count - len(found))
        near = sorted(distance[found])[1 : nearest + 1]
        values += [radius - d * np.exp(-((d / width) ** 2)) for d in near]
    return np.mean(values)


@pytest.mark.parametrize("size", [0.01, 0.12, 0.6])
def test_is_that_of_loops_over_points(size):
    made = clouds(size=size)
    found = numpy(repulsion(keras.ops.convert_to_tensor(made)))
    np.testing.assert_allclose(found, [by_loops(cloud) for cloud in made], rtol=1e-4)


def test_falls_while_points_move_apart_within_their_width():
    near, apart = (numpy(repulsion(keras.ops.convert_to_tensor(clouds(size=size)))) for size in (0.002, 0.02))
    assert (near > apart).all()


def test_a_loss_with_it_is_the_loss_and_it():
    true, pred = clouds(1), clouds(2)
    both = WithRepulsion(TinyChamfer(reduction=None), 0.2)
    expected = chamfer(true, pred) + 0.2 * np.array([by_loops(cloud) for cloud in pred])
    np.testing.assert_allclose(numpy(both(true, pred)), expected, rtol=1e-4)
    assert (both.name, both.reduction) == ("tiny", None)


def test_its_config_holds_the_loss():
    loss = WithRepulsion(LandauCD(scale=0.5), 0.3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    true, pred = clouds(1), clouds(2)
    assert (again.weight, again.loss.scale) == (0.3, 0.5)
    assert float(again(true, pred)) == float(loss(true, pred))
