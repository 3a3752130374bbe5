"""Small models that the export tests write: dense layers, a sampling loop, and what must be refused."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

POINTS = 96


def little(points: int | None = POINTS, name: str = "little") -> keras.Model:
    """A cloud to 16 and 64 points by dense layers, its normalization already moved by some data."""
    cloud = keras.Input((points, 3))
    features = layers.BatchNormalization()(layers.Dense(32, activation="relu")(cloud))
    code = layers.GlobalMaxPooling1D()(layers.Dense(64)(features))
    coarse = layers.Reshape((16, 3))(layers.Dense(48)(code))
    joined = layers.Concatenate()([code, layers.Flatten()(coarse)])
    fine = layers.Reshape((64, 3))(layers.Dense(192)(joined))
    return keras.Model(cloud, (coarse, fine), name=name)


@keras.saving.register_keras_serializable("keras_wcd_tests")
class Farthest(layers.Layer):
    """`count` farthest points `(B, count, 3)`, the first of them point 0, in a `tf.while_loop`."""

    def __init__(self, count: int, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def call(self, points):
        def step(i, chosen, distance):
            last = chosen[:, i - 1][:, None]
            distance = tf.minimum(distance, tf.reduce_sum(tf.square(points - last), -1))
            new = tf.gather(points, tf.argmax(distance, -1, output_type=tf.int32), batch_dims=1)
            here = tf.range(self.count)[None, :, None] == i
            return i + 1, tf.where(here, new[:, None], chosen), distance

        chosen = tf.tile(points[:, :1], (1, self.count, 1))
        start = (tf.constant(1), chosen, tf.fill(tf.shape(points)[:2], 1e9))
        return tf.while_loop(lambda i, *_: i < self.count, step, start)[1]


class Grouping(keras.Model):
    """Farthest points moved by what the library's own neighbor search finds around them."""

    def __init__(self):
        super().__init__(name="grouping")
        self.farthest, self.dense, self.move = Farthest(32), layers.Dense(16, activation="gelu"), layers.Dense(3)

    def call(self, points):
        from keras_wcd import ops

        seeds = self.farthest(points)
        around = ops.gather_points(points, ops.knn(seeds, points, 8)[1])
        return seeds, seeds + 0.1 * self.move(keras.ops.max(self.dense(around - seeds[:, :, None]), axis=2))


class OnTheHost(keras.Model):
    """A model that no export can hold: it calls NumPy."""

    def call(self, points):
        result = tf.numpy_function(np.negative, [points], tf.float32)
        result.set_shape(points.shape)
        return result


class Pooling3D(keras.Model):
    """A model of an operator that LiteRT does not have."""

    def call(self, points):
        return tf.reshape(tf.nn.max_pool3d(tf.reshape(points, (1, 8, 4, 3, 3)), 2, 1, "SAME"), (1, POINTS, 3))


def clouds(count: int, points: int = POINTS, seed: int = 0) -> np.ndarray:
    """Clouds `(count, points, 3)` on ellipsoids in the unit frame."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, points, 3))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return (x * rng.uniform(0.1, 0.3, (count, 1, 3))).astype(np.float32)
