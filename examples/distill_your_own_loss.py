"""Distil a loss of your own into a weighted Chamfer distance: python examples/distill_your_own_loss.py

Any differentiable cost of a distance can be the teacher. Here it is Geman and McClure's robust cost, which outliers
beyond `KNEE` hardly move.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from keras import ops

from keras_wcd.distill import DistanceDistribution, DistillationResult, distill

KNEE = 0.05


def geman_mcclure(distance):
    squared = ops.square(distance / KNEE)
    return squared / (1 + squared)


def main(folder="runs/my_loss"):
    # In earnest: DistanceDistribution.from_model(model, validation_data) or .from_samples(measured_distances).
    distances = DistanceDistribution.simulated(seed=0)
    result = distill(geman_mcclure, distances=distances, shift=None, rescale="fit", distance_scale="fit")
    print(result.table())

    result.to_json(f"{folder}/distillation.json")
    print("plots:", *result.plot(f"{folder}/gradients"), *result.plot_weightings(f"{folder}/weightings"))

    # The loss is an ordinary Keras loss: model.compile(loss=loss).
    best = DistillationResult.from_json(f"{folder}/distillation.json").best
    loss = result.loss(pred_weight=best.factor, true_weight=best.factor)
    rng = np.random.default_rng(0)
    true = rng.normal(0, 0.2, (2, 512, 3)).astype("float32")
    pred = true + rng.normal(0, 0.02, true.shape).astype("float32")
    print(f"{best.family} between a cloud and its noisy copy: {float(loss(true, pred)):.5f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
