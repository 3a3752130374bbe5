"""The published recipes: complete, consistent, and their schedules equal to the formulas they were published as."""

import dataclasses
import json
import math

import numpy as np
import pytest
from shared import recording

from keras_wcd.models import BACKBONES
from keras_wcd.training import RECIPES, Recipe, schedules
from keras_wcd.training.recipes import AUGMENTATIONS, OPTIMIZERS, SHAPENET55_RECIPES, SOURCES, TARGETS
from keras_wcd.training.schedules import (
    SCHEDULES,
    Constant,
    Exponential,
    Piecewise,
    Schedule,
    Staircase,
    Stretched,
    WarmUp,
)

NAMES = [
    *("foldingnet", "pcn", "topnet", "atlasnet", "grnet", "crn", "nsfa", "fbnet"),
    *("pmpnet", "pointr", "snowflakenet", "pointattn", "seedformer"),
]


def pmpnet(e):
    if e <= 100:
        return 1e-3
    if e <= 150:
        return 5e-4
    return 1e-4 if e <= 250 else 5e-4


def seedformer(e, decay=150):
    # Stepped at the start of an epoch, so that the first one has a twentieth.
    return 1e-3 * (e + 1) / 20 if e < 20 else 1e-3 * (0.1 ** (1 / decay)) ** (e - 20)


LEARNING_RATES = {
    "foldingnet": lambda e: 1e-4 * 0.5 ** math.floor(e / 50),
    "pcn": lambda e: 1e-4 * 0.5 ** math.floor(e / 50),
    "topnet": lambda e: 1e-3 * 0.5 ** math.floor(e / 50),
    "atlasnet": lambda e: 1e-3 / 10 ** ((e >= 120) + (e >= 140) + (e >= 145)),
    "grnet": lambda e: 1e-4 if e < 50 else 0.5e-4,
    "crn": lambda e: 1e-4,
    "nsfa": lambda e: 1e-4,
    "fbnet": lambda e: 1e-3 * 0.5 ** math.floor(e / 50),
    "pmpnet": pmpnet,
    "pointr": lambda e: 5e-4 * max(0.9 ** (e / 21), 0.02),
    "snowflakenet": lambda e: 1e-3 * 0.5 ** math.floor(e / 50),
    "pointattn": lambda e: max(1e-4 * 0.7 ** math.floor(e / 40), 1e-6),
    "seedformer": seedformer,
}
"""The formulas as the releases have them, epochs from 0."""
SHAPENET55 = {
    "pointr": lambda e: 5e-4 * max(0.76 ** (e / 21), 0.02),
    "snowflakenet": lambda e: 5e-4 * max(0.9 ** (e / 21), 0.02),
    "seedformer": lambda e: seedformer(e, 100),
}
EPOCHS = [
    0,
    1,
    10,
    19,
    20,
    21,
    39,
    40,
    49,
    50,
    51,
    100,
    101,
    119,
    120,
    140,
    145,
    150,
    151,
    199,
    250,
    251,
    299,
    399,
    900,
]


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_every_network_has_a_recipe_under_its_own_key():
    assert sorted(RECIPES) == sorted(NAMES)
    assert set(BACKBONES) <= set(RECIPES)
    assert all(recipe.backbone == key for key, recipe in {**RECIPES, **SHAPENET55_RECIPES}.items())


def test_says_which_recipes_are_ours():
    assert [key for key in RECIPES if RECIPES[key].source != "official"] == ["fbnet"]


@pytest.mark.parametrize("epoch", EPOCHS)
def test_the_learning_rate_is_the_published_formula(name, epoch):
    assert RECIPES[name].learning_rate(epoch) == pytest.approx(LEARNING_RATES[name](epoch), rel=1e-12)
    if name in SHAPENET55:
        found = SHAPENET55_RECIPES[name].learning_rate(epoch)
        assert found == pytest.approx(SHAPENET55[name](epoch), rel=1e-12)


def test_fields_have_values_from_their_tables(name):
    for recipe in (RECIPES[name], SHAPENET55_RECIPES.get(name, RECIPES[name])):
        assert recipe.optimizer in OPTIMIZERS
        assert recipe.source in SOURCES
        assert recipe.published_loss in ("CD-L1", "CD-L2")
        assert set(recipe.augmentation) <= set(AUGMENTATIONS)
        assert {stage.target for stage in recipe.stages} <= set(TARGETS)
        assert recipe.batch_size >= 1
        assert (recipe.epochs is None) != (recipe.steps is None)
        assert (recipe.weight_decay > 0) == (recipe.optimizer == "AdamW")
        assert all(weight >= 0 for weight in recipe.stage_weights())


@pytest.mark.parametrize("key", [name for name in NAMES if name != "nsfa"] + ["nsfa_rfa", "nsfa_glfa"])
def test_stages_are_outputs_of_the_official_network(key):
    with np.load(recording(f"{key}.npz")) as data:
        keys = [k.removeprefix("out/").removesuffix("_final") for k in data.files if k.startswith("out/")]
    # FBNet's last output is recorded twice, AtlasNet's in both of its modes; NSFA's selected points stand after the
    # dense cloud that they are selected from, and before it among the outputs of the network.
    keys = ["points"] if key == "atlasnet" else keys
    keys = ["coarse", "coarse_highres", "fine"] if key.startswith("nsfa") and len(keys) == 3 else keys
    stages = [stage.name for stage in RECIPES[key.partition("_")[0]].stages]
    assert [k for k in keys if k in stages] == stages


def test_there_is_one_stage_weight_for_every_output_of_the_network(name):
    # At full size: small configurations have fewer stages.
    model = BACKBONES[name]()
    model.stage_weights = RECIPES[name].stage_weights()
    assert model.stage_weights == RECIPES[name].stage_weights()


def test_half_the_weight_of_nsfa_is_that_of_its_dense_cloud():
    model = BACKBONES["nsfa"]()
    by_size = {outputs.shape[1]: w for outputs, w in zip(model.outputs, RECIPES["nsfa"].stage_weights(), strict=True)}
    # The dense cloud has 8 points for each of the 2048 of the input, and so has the answer: it comes last.
    assert [w for size, w in by_size.items() if size == 4096] == [1.0]
    assert [outputs.shape[1] for outputs in model.outputs] == [4096, 16384, 16384]
    assert RECIPES["nsfa"].stage_weights()[1] == 0.5


@pytest.mark.parametrize(
    ("name", "stage", "weights"),
    [
        ("crn", "fine_16384", {0: 2, 4999: 2, 5000: 20, 10000: 100, 24999: 100, 25000: 200}),
        ("nsfa", "fine", {0: 0.01, 9999: 0.01, 10000: 0.1, 20000: 0.5, 50000: 1, 900000: 1}),
    ],
)
def test_a_stage_that_comes_in_late_has_the_published_weights(name, stage, weights):
    place = [s.name for s in RECIPES[name].stages].index(stage)
    for step, weight in weights.items():
        assert RECIPES[name].stage_weights(step)[place] == pytest.approx(weight)


@pytest.mark.parametrize("epoch", EPOCHS)
def test_batch_normalization_keeps_what_pytorch_does_not_take(name, epoch):
    share = max(0.9 * 0.5 ** (epoch / 21), 0.01) if name == "pointr" else 0.1
    assert RECIPES[name].batch_norm_momentum(epoch) == pytest.approx(1 - share)


def test_only_seedformer_and_snowflakenet_match_the_partial_cloud():
    assert {key for key, recipe in RECIPES.items() if recipe.partial_matching} == {"seedformer", "snowflakenet"}


def test_a_recipe_is_frozen_plain_data(name):
    recipe = RECIPES[name]
    assert isinstance(recipe, Recipe)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.epochs = 1
    assert isinstance(recipe.network, dict)
    changed = dataclasses.replace(recipe, batch_size=2)
    assert (changed.batch_size, changed.schedule) == (2, recipe.schedule)
    assert json.loads(json.dumps(dataclasses.asdict(recipe)))["backbone"] == name


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(0.5),
        Staircase(1.0, 0.5, 3, 0.2),
        Exponential(1.0, 0.5, 3, 0.2),
        Piecewise((1.0, 0.5, 0.25), (3, 7)),
        WarmUp(4, Staircase(1.0, 0.5, 3)),
        Stretched(2.5, Staircase(1.0, 0.5, 3)),
    ],
)
def test_a_schedule_is_positive_and_falls_once_it_is_warm(schedule):
    values = [schedule(epoch) for epoch in range(40)]
    assert isinstance(schedule, Schedule)
    assert min(values) > 0
    assert np.all(np.diff(values[getattr(schedule, "epochs", 0) :]) <= 0)
    assert min(values) >= getattr(schedule, "floor", 0)


@pytest.mark.parametrize("starts", [(3,), (7, 3), (3, 3)])
def test_piecewise_values_need_rising_starts(starts):
    with pytest.raises(ValueError, match="starts must be 2 rising numbers"):
        Piecewise((1.0, 0.5, 0.25), starts)


def test_a_stretched_schedule_passes_its_epochs_sooner():
    slow = Piecewise((1.0, 0.5), (10,))
    assert [Stretched(4.0, slow)(epoch) for epoch in range(5)] == [slow(4 * epoch) for epoch in range(5)]


def test_every_schedule_is_in_the_table():
    kinds = {kind for kind in vars(schedules).values() if isinstance(kind, type) and issubclass(kind, Schedule)}
    assert set(SCHEDULES.values()) == kinds - {Schedule}
