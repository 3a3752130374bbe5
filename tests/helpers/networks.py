"""What the tests of the networks share: recorded fixtures, small configurations, a loss, gradients."""

import sys

import keras
import numpy as np
import pytest
from keras import ops
from shared import ORACLES

FIXTURES = {
    "atlasnet": ("atlasnet", {}),
    "crn": ("crn", {}),
    "foldingnet": ("foldingnet", {}),
    "foldingnet_s55": ("foldingnet", {"num_points": 8192}),
    "pcn": ("pcn", {}),
    "pcn_s55": ("pcn", {"num_coarse": 512}),
    "pmpnet": ("pmpnet", {}),
    "pmpnetplus": ("pmpnet", {"plus": True}),
    "pointattn": ("pointattn", {}),
    "pointr": ("pointr", {}),
    "pointr_s55": ("pointr", {"num_query": 96}),
    "seedformer": ("seedformer", {}),
    "seedformer_s55": ("seedformer", {"up_factors": (1, 4, 4)}),
    "snowflakenet": ("snowflakenet", {}),
    "snowflakenet_s55": ("snowflakenet", {"up_factors": (1, 4, 4)}),
    "topnet": ("topnet", {}),
    "topnet_s55": ("topnet", {"tree": (2, 2, 2, 4, 4, 4, 4, 4)}),
    "grnet": ("grnet", {}),
    "grnet_s55": ("grnet", {"num_sparse": 1024, "scale": 0.5}),
    "fbnet": ("fbnet", {}),
    "nsfa_glfa": ("nsfa", {"variant": "glfa"}),
    "nsfa_rfa": ("nsfa", {}),
}
"""Recorded outputs of the official networks: file -> key in BACKBONES, arguments."""

PARITY_APART = {
    "atlasnet",
    "fbnet",
    "crn",
    "grnet",
    "grnet_s55",
    "nsfa_glfa",
    "nsfa_rfa",
    "pmpnet",
    "pmpnetplus",
    "pointattn",
    "pointr",
    "pointr_s55",
    "seedformer",
    "seedformer_s55",
    "snowflakenet",
    "snowflakenet_s55",
}
"""Fixtures that tests of their own network compare: it takes draws, picks points by comparisons that rounding
turns, or puts out coordinates so large that the tolerance is its own."""

PARAMETERS = {
    "atlasnet": 19_203_888,
    "crn": 5_100_995,
    "foldingnet": 2_407_430,
    "foldingnet_s55": 2_407_430,
    "pcn": 6_864_387,
    "pcn_s55": 5_289_987,
    # Less 18 of a normalization that the network stores and never uses.
    "pmpnet": 5_435_739 - 18,
    "pmpnetplus": 5_888_475 - 18,
    "pointattn": 36_662_793,
    # Less those of the neighbors' branches that every block but the first stores and never uses.
    "pointr": 42_498_054 - 11_221_248,
    "pointr_s55": 42_104_454 - 11_221_248,
    # Less 3200 of the encoder's normalizations that both networks store and never use.
    "seedformer": 3_311_820 - 3200,
    "seedformer_s55": 3_246_284 - 3200,
    "snowflakenet": 19_320_812 - 3200,
    "snowflakenet_s55": 19_304_428 - 3200,
    "topnet": 6_039_169,
    "topnet_s55": 6_037_089,
    "grnet": 76_707_626,
    "grnet_s55": 76_707_626,
    "fbnet": 3_799_375,
    # Less those of the scores, which get no gradient.
    "nsfa_glfa": 5_076_240 - 1185,
    "nsfa_rfa": 5_600_528 - 1185,
}
"""Trainable parameters of the official networks."""

IDLE = {"crn": {"mean/kernel", "mean/bias"}}
"""Weights that wait for an input which the caller may leave out."""

SMALL = {
    "crn": {
        "step_ratio": 4,
        "num_coarse": 16,
        "num_extract": 16,
        "mean_size": 8,
        "latent": 16,
        "encoder": (8, 8, 16),
        "lifting": (16, 8),
        "folding": 8,
        "num_input": 128,
    },
    "atlasnet": {
        "num_points": 32,
        "patches": 2,
        "template": "square",
        "latent": 16,
        "hidden": 8,
        "depth": 1,
        "encoder": (8, 8),
        "num_input": 128,
    },
    "foldingnet": {"num_points": 64, "latent": 16, "encoder": (8, 8, 16), "folding": 8, "num_input": 128},
    "pcn": {
        "num_coarse": 16,
        "grid_size": 2,
        "latent": 16,
        "encoder": (8, 8, 16),
        "hidden": 16,
        "folding": 8,
        "num_input": 128,
    },
    "pmpnet": {"num_input": 128, "samples": (32, 16), "width": 8, "steps": 2},
    "pointattn": {
        "num_input": 128,
        "num_coarse": 16,
        "num_merged": 32,
        "up_factors": (1, 2),
        "width": 8,
        "heads": 2,
        "hidden": 16,
    },
    "pointr": {
        "num_query": 8,
        "grid_size": 2,
        "centers": (32, 16),
        "width": 12,
        "heads": 2,
        "depth": (1, 1),
        "latent": 16,
        "folding": 8,
        "num_input": 128,
    },
    "seedformer": {
        "up_factors": (1, 2),
        "latent": 16,
        "width": 16,
        "attention": 4,
        "num_coarse": 32,
        "patches": (32, 16),
        "neighbors": 4,
        "num_input": 128,
    },
    "snowflakenet": {
        "up_factors": (1, 2),
        "latent": 16,
        "width": 16,
        "attention": 4,
        "num_seeds": 16,
        "num_coarse": 32,
        "patches": (32, 16),
        "neighbors": 4,
        "num_input": 128,
    },
    "topnet": {
        "tree": (2, 4, 8),
        "node": 4,
        "latent": 16,
        "encoder": (8, 8, 16),
        "root": (16, 8),
        "num_input": 128,
    },
    "grnet": {
        "num_sparse": 64,
        "resolution": 16,
        "channels": (16, 16, 16, 16),
        "latent": 64,
        "hidden": (64, 64, 32),
        "num_input": 128,
    },
    "fbnet": {
        "num_coarse": 32,
        "num_seeds": 64,
        "up_factors": (1, 2),
        "steps": 2,
        "samples": (64, 32),
        "width": 16,
        "latent": 32,
        "neighbors": 8,
        "num_input": 128,
    },
    "nsfa": {
        "num_input": 128,
        "num_coarse": 256,
        "grid_size": 2,
        "samples": (64, 32, 16),
        "neighbors": 8,
        "width": 16,
    },
}
"""Arguments that make each network quick."""


def fixture(name):
    """Arrays, meta and weights of a fixture, and the reader itself."""
    if not (ORACLES / f"{name}.npz").is_file():
        pytest.skip(f"the recorded outputs of the official networks are not at {ORACLES}")
    sys.path.insert(0, str(ORACLES))
    try:
        import oracle_util
    finally:
        sys.path.remove(str(ORACLES))
    arrays, meta = oracle_util.load(name)
    return arrays, meta, oracle_util.weights(meta)


def clouds(batch=4, points=128, complete=96, seed=0):
    """Partial and complete clouds on a sphere of diagonal about 1, float32."""
    rng = np.random.default_rng(seed)
    whole = rng.normal(size=(batch, points + complete, 3))
    whole *= 0.3 / np.linalg.norm(whole, axis=-1, keepdims=True)
    return whole[:, :points].astype("float32"), whole[:, points:].astype("float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@keras.saving.register_keras_serializable("tests")
class TinyChamfer(keras.losses.Loss):
    """The plain Chamfer distance in six lines, with the weights of the library's losses."""

    def __init__(self, pred_weight=1.0, true_weight=1.0, reduction="sum_over_batch_size", name="tiny"):
        super().__init__(name=name, reduction=reduction)
        self.pred_weight, self.true_weight = pred_weight, true_weight

    def call(self, y_true, y_pred):
        square = ops.sum(ops.square(ops.expand_dims(y_pred, 2) - ops.expand_dims(y_true, 1)), -1)
        there = ops.mean(ops.sqrt(ops.min(square, 2) + 1e-12), 1)
        back = ops.mean(ops.sqrt(ops.min(square, 1) + 1e-12), 1)
        return self.pred_weight * there + self.true_weight * back

    def get_config(self):
        return {**super().get_config(), "pred_weight": self.pred_weight, "true_weight": self.true_weight}


def chamfer(true, pred, pred_weight=1.0, true_weight=1.0):
    """The same by a loop in float64, one value per cloud."""
    values = []
    for y, x in zip(np.asarray(true, np.float64), np.asarray(pred, np.float64), strict=True):
        distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
        values.append(pred_weight * distance.min(1).mean() + true_weight * distance.min(0).mean())
    return np.array(values)


def gradients(model, x, weight):
    """d sum(last stage * weight) / d (trainable variables, input), in inference mode."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(model(x, training=False)[-1] * weight)
        found = tape.gradient(value, [*(v.value for v in model.trainable_variables), x])
    elif keras.config.backend() == "jax":
        import jax

        fixed = [v.value for v in model.non_trainable_variables]

        def value(trainable, x):
            outputs, _ = model.stateless_call(trainable, fixed, x, training=False)
            return (outputs[-1] * weight).sum()

        trainable, at_input = jax.grad(value, (0, 1))([v.value for v in model.trainable_variables], x)
        found = [*trainable, at_input]
    else:
        import torch

        x = torch.tensor(x, requires_grad=True)
        (model(x, training=False)[-1] * torch.tensor(weight)).sum().backward()
        found = [*(v.value.grad for v in model.trainable_variables), x.grad]
    by_path = {v.path: numpy(g) for v, g in zip(model.trainable_variables, found, strict=False)}
    return by_path, numpy(found[-1])
