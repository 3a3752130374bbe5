"""Recipes for two processor cores: every published recipe, its network and its run made small."""

from dataclasses import replace
from typing import Any

from keras_wcd.names import find
from keras_wcd.training.recipes import RECIPES, Recipe, Stage
from keras_wcd.training.schedules import Schedule, Stretched

EPOCHS = 20
BATCH_SIZE = 16
STEPS = 2000
"""Training steps of a small run on 1600 shapes: what weights that follow the steps are stretched to."""
_POINTS = {"num_input": 512}

NETWORKS: dict[str, dict[str, Any]] = {
    "atlasnet": {"num_points": 1024, "patches": 4, "latent": 128, "hidden": 64, "encoder": (32, 64)},
    "crn": {
        **{"num_coarse": 64, "num_extract": 64, "mean_size": 128, "latent": 128},
        **{"encoder": (32, 64, 128), "lifting": (64, 32), "folding": 32},
    },
    "fbnet": {
        **{"num_coarse": 64, "num_seeds": 128, "up_factors": (1, 2, 2), "samples": (128, 64)},
        **{"width": 16, "latent": 64, "neighbors": 8},
    },
    "foldingnet": {"num_points": 1024, "latent": 128, "encoder": (32, 64, 128), "folding": 64},
    "grnet": {
        **{"num_sparse": 256, "resolution": 32, "channels": (8, 16, 32, 32)},
        **{"latent": 256, "hidden": (112, 56, 28)},
    },
    "nsfa": {"num_coarse": 512, "samples": (256, 128, 64), "neighbors": 16, "width": 16},
    "pcn": {"num_coarse": 256, "grid_size": 2, "latent": 256, "encoder": (32, 64, 128), "hidden": 256, "folding": 64},
    "pmpnet": {"samples": (128, 32), "width": 16},
    "pointattn": {"num_coarse": 64, "num_merged": 128, "up_factors": (2, 4), "width": 16, "hidden": 128},
    "pointr": {
        **{"num_query": 64, "grid_size": 4, "centers": (128, 64), "width": 96, "heads": 4, "depth": (2, 2)},
        **{"latent": 256, "folding": 64},
    },
    "seedformer": {
        **{"up_factors": (1, 2, 4), "latent": 128, "width": 32, "attention": 16, "num_coarse": 128},
        **{"patches": (128, 32), "neighbors": 8},
    },
    "snowflakenet": {
        **{"up_factors": (1, 2, 4), "latent": 128, "width": 32, "attention": 16, "num_seeds": 64},
        **{"num_coarse": 128, "patches": (128, 32), "neighbors": 8},
    },
    "topnet": {"tree": (2, 2, 4, 4, 4, 4), "latent": 128, "encoder": (32, 64, 128), "root": (64, 32)},
}
"""Arguments of the small networks; all take 512 points."""


def small(backbone: str) -> Recipe:
    """The published recipe of a network in 20 epochs of batches of 16, its schedules run through whole.

    Raises:
        ValueError: for a network that none was published of.
    """
    recipe = find(RECIPES, backbone, "recipe")
    epochs = recipe.epochs or EPOCHS
    return replace(
        recipe,
        network={**recipe.network, **_POINTS, **NETWORKS[recipe.backbone]},
        schedule=Stretched(epochs / EPOCHS, recipe.schedule),
        stages=tuple(_quick(stage) for stage in recipe.stages),
        batch_norm=None if recipe.batch_norm is None else Stretched(epochs / EPOCHS, recipe.batch_norm),
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        steps=None,
        source="ours",
    )


def _quick(stage: Stage) -> Stage:
    """A stage whose weight has risen to its last value in half of a small run."""
    if not isinstance(stage.weight, Schedule):
        return stage
    last = max(getattr(stage.weight, "starts", (STEPS,)))
    return replace(stage, weight=Stretched(2 * last / STEPS, stage.weight))
