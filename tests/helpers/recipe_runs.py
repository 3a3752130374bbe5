"""Recipes at the sizes of the tests, and small data to run them on."""

import dataclasses

import numpy as np
from networks import SMALL
from small_datasets import Memory

from keras_wcd.training.recipes import RECIPES, SHAPENET55_RECIPES

KEPT = {"crn": 3, "fbnet": 5, "pmpnet": 2, "pointattn": 3, "seedformer": 3, "snowflakenet": 3}
"""Stages of the small networks that have fewer than those published."""


def reduced(name, table="RECIPES", **changes):
    """A published recipe for the network of `SMALL`, in batches of 4; of its stages the first and the last stay."""
    recipe = {"RECIPES": RECIPES, "SHAPENET55_RECIPES": SHAPENET55_RECIPES}[table][name]
    stages = recipe.stages
    count = KEPT.get(name, len(stages))
    stages = (*stages[: count - 1], stages[-1])
    network = {**recipe.network, **SMALL[name]}
    return dataclasses.replace(recipe, **{"stages": stages, "network": network, "batch_size": 4, **changes})


class Pairs(Memory):
    """Ten pairs of points on a sphere, in PCN's size; the first 5 are those of validation."""

    def __init__(self, size=10):
        super().__init__(size=size, points=96)
        self.complete = [(0.3 * y / np.linalg.norm(y, axis=1, keepdims=True)).astype("float32") for y in self.complete]
        self.partial = [y[:40] for y in self.complete]

    def size(self, split):
        return len(self.complete) if split == "train" else 5
