"""Memory of a search by blocks: no block is larger than it may be, whichever sizes are known while tracing."""

import keras
import numpy as np
import point_oracles as naive
import pytest

from keras_wcd.ops import ball_query, device_only, knn, nearest
from keras_wcd.ops import neighbors as searches
from keras_wcd.ops import points as samplings

if keras.config.backend() != "tensorflow":
    pytest.skip("sizes are unknown in TensorFlow's graphs alone", allow_module_level=True)

import tensorflow as tf

SEARCHES = {
    "nearest": lambda x, y: nearest(x, y, method="brute")[1],
    "lowest": lambda x, y: nearest(x, y, method="brute", lowest=True)[1],
    "knn": lambda x, y: knn(x, y, 4, method="brute")[1],
    "ball_query": lambda x, y: ball_query(x, y, 0.7, 5, method="brute"),
}
SIZES = [(3, 29, 18), (None, 29, 18), (3, None, 18), (3, 29, None), (None, None, 18), (None, None, None)]
X, Y = naive.clouds(batch=3, n=29, m=18)


@pytest.fixture
def blocks(monkeypatch):
    """Shapes of the blocks that are compared, as the graph meets them."""
    met = []

    def watched(function):
        def look(x, y, *rest):
            def note(x_shape, y_shape):
                met.append((*x_shape[:2], y_shape[1]))
                return np.int32(0)

            with tf.control_dependencies([tf.numpy_function(note, [tf.shape(x), tf.shape(y)], tf.int32)]):
                return function(tf.identity(x), y, *rest)

        return look

    for module, name in ((searches, "_closest"), (samplings, "_hits")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    return met


@pytest.mark.parametrize("exporting", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", SEARCHES)
def test_no_block_is_larger_than_allowed(name, sizes, exporting, blocks, monkeypatch):
    monkeypatch.setattr(searches, "BLOCK", 200)
    expected = SEARCHES[name](X, Y)
    blocks.clear()
    batch, n, m = sizes
    function = tf.function(SEARCHES[name], input_signature=[tf.TensorSpec((batch, k, 3)) for k in (n, m)])
    if exporting:
        with device_only():
            found = function(X, Y)
    else:
        found = function(X, Y)
    np.testing.assert_array_equal(found, expected)
    assert max(np.prod(block) for block in blocks) <= 200
    # Some rows fill the last block up, and each of Keras's maps calls its function once more.
    assert 3 * 29 <= sum(b * n for b, n, _ in blocks) <= 3 * 3 * 29


@pytest.mark.parametrize("sizes", [(3, None, 18), (None, None, None)])
def test_few_queries_are_not_filled_up_to_a_block(sizes, blocks):
    batch, n, m = sizes
    function = tf.function(SEARCHES["nearest"], input_signature=[tf.TensorSpec((batch, k, 3)) for k in (n, m)])
    function(X[:, :5], Y)
    assert set(blocks) == {(3, 5, 18)}
