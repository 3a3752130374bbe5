"""Recipes by name, from files and changed value by value, with an error for every key that there is none of."""

import json

import pytest

from keras_wcd.models import NETWORKS
from keras_wcd.training import RECIPES, changed, recipe_of, small
from keras_wcd.training.recipe_files import from_plain, plain, settings
from keras_wcd.training.recipes import SHAPENET55_RECIPES
from keras_wcd.training.schedules import Constant, Exponential, WarmUp
from keras_wcd.training.small_recipes import NETWORKS as SMALL_NETWORKS


class Shapes:
    """As much of a data set as is asked for its frame."""

    def __init__(self, frame):
        self.frame = frame


@pytest.fixture(params=sorted(RECIPES))
def name(request):
    return request.param


def test_a_recipe_is_the_same_after_json(name):
    for recipe in (RECIPES[name], small(name), SHAPENET55_RECIPES.get(name, RECIPES[name])):
        assert from_plain(json.loads(json.dumps(plain(recipe)))) == recipe


def test_every_network_with_a_recipe_has_a_small_one(name):
    recipe = small(name)
    assert set(SMALL_NETWORKS) == set(RECIPES)
    assert (recipe.epochs, recipe.batch_size, recipe.steps, recipe.source) == (20, 16, None, "ours")
    full = RECIPES[name]
    assert [s.name for s in recipe.stages] == [s.name for s in full.stages]
    assert [s.target for s in recipe.stages] == [s.target for s in full.stages]
    for share in (0, 0.25, 0.5, 0.95):
        whole = full.epochs or 20
        assert recipe.learning_rate(20 * share) == pytest.approx(full.learning_rate(whole * share))
    # A weight that rises has risen in half of 2000 steps.
    assert recipe.stage_weights(1000) == full.stage_weights(10**7)


def test_every_small_network_has_the_stages_of_its_recipe(name):
    recipe = small(name)
    network = NETWORKS[name](**recipe.network, stage_weights=recipe.stage_weights())
    assert network.count_params() < 1_500_000
    assert network.num_input == 512


def test_shapes_in_the_frame_of_shapenet55_take_its_recipes(name):
    assert recipe_of("published", name) is RECIPES[name]
    assert recipe_of("published", name, Shapes("box")) is RECIPES[name]
    assert recipe_of("published", name, Shapes("sphere")) == SHAPENET55_RECIPES.get(name, RECIPES[name])


def test_a_file_changes_values_of_its_base(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "base: small\nbatch_size: 8\nclip_norm: 1e-1\nnetwork: {num_coarse: 64}\n"
        "schedule: {kind: WarmUp, epochs: 2, after: {kind: Exponential, value: 1e-3, factor: 0.5, every: 4}}\n"
    )
    recipe = recipe_of(path, "pcn")
    assert (recipe.batch_size, recipe.clip_norm) == (8, 0.1)
    assert recipe.schedule == WarmUp(2, Exponential(1e-3, 0.5, 4))
    assert dict(recipe.network) == {**small("pcn").network, "num_coarse": 64}
    assert recipe.stages == small("pcn").stages


def test_a_file_may_give_all_of_a_network_that_none_was_published_of(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("schedule: 0.001\nstages: [{name: points, target: whole}]\nbatch_size: 4\nepochs: 3\n")
    recipe = recipe_of(path, "mirrornet")
    assert (recipe.backbone, recipe.schedule, recipe.epochs) == ("mirrornet", Constant(0.001), 3)


def test_values_are_changed_one_by_one():
    pairs = ("batch_size=8", "schedule.after.value=1e-4", "stages.P1.weight=0.5", "stages.P2.target=whole")
    recipe = changed(RECIPES["seedformer"], settings((*pairs, "network.up_factors=[1, 4, 4]", "optimizer=AdamW")))
    assert (recipe.batch_size, recipe.optimizer) == (8, "AdamW")
    assert recipe.schedule == WarmUp(20, Exponential(1e-4, 0.1, 150))
    assert [s.weight for s in recipe.stages] == [1.0, 0.5, 1.0, 1.0]
    assert [s.target for s in recipe.stages] == ["prefix", "prefix", "whole", "prefix"]
    assert recipe.network["up_factors"] == (1, 4, 4)
    assert RECIPES["seedformer"].batch_size == 48


WRONG = {
    "a key that is none": ("batch_sise=8", "batch_sise: a recipe has no 'batch_sise'; did you mean batch_size?"),
    "a part that is none": ("schedule.valu=8", "schedule.valu: did you mean value?"),
    "a part of a part": ("schedule.of.value=8", "schedule.of.value: there is no 'of'; known are kind, value"),
    "a stage that is none": ("stages.fin.weight=1", "stages.fin.weight: there is no 'fin'; did you mean fine?"),
    "a stage as a whole": ("stages.fine=1", "name a field of a stage, such as stages.coarse.weight"),
    "a field of a stage": ("stages.fine.wait=1", "stages.fine.wait: did you mean weight?"),
    "no whole number": ("batch_size=2.5", "batch_size must be at least 1 and whole, got 2.5"),
    "no number": ("epochs=many", "epochs must be at least 1 and whole|epochs must be a finite number"),
    "a number that is not finite": ("loss_scale=Infinity", "loss_scale must be a finite number above 0, got inf"),
    "a number below its least": ("weight_decay=-1", "weight_decay must be a finite number >= 0, got -1"),
    "a share of 1": ("ema=1", "ema must be a finite number >= 0 and below 1, got 1"),
    "a truth value": ("partial_matching=1", "partial_matching must be true or false, got 1"),
    "an optimizer": ("optimizer=adamw", "optimizer: 'adamw' is none; did you mean AdamW?"),
    "an augmentation": ('augmentation=["miror"]', "augmentation: 'miror' is none; did you mean mirror?"),
    "a target": ("stages.fine.target=al", "stages.fine.target: 'al' is none; known are prefix, whole, random"),
    "a schedule": ('schedule={"kind": "Exponental"}', "schedule.kind: 'Exponental' is none; did you mean Exponential?"),
    "a schedule's argument": ('schedule={"kind": "Constant"}', r"schedule \(Constant\) needs value"),
    "a factor of 0": ("schedule.factor=0", "schedule.factor must be a finite number above 0, got 0"),
    "no stages": ("stages=[]", "stages must be a list"),
    "no end": ("epochs=null", "a recipe needs epochs or steps"),
    "arguments of the network": ("network=8", "network must hold arguments by name, got 8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_recipe_cannot_hold_is_named(case):
    pair, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        changed(RECIPES["pcn"], settings((pair,)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_sise: 8", "mine.yaml: batch_sise: a recipe has no 'batch_sise'; did you mean batch_size?"),
        ("base: publshed", "mine.yaml: base must be one of published, small"),
        ("- 3", "holds no recipe; write KEY: VALUE lines"),
        ("a: [", "not a file of YAML"),
        ("stages: [{nam: fine}]", "stages must be a list of name, weight and target"),
        ("schedule: {kind: Constant, value: x}", "schedule.value must be a finite number >= 0, got 'x'"),
    ],
)
def test_a_file_that_holds_none_is_named(text, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        recipe_of(path, "pcn")


def test_names_that_are_none_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such recipe; name a file of YAML, or one of published, small"):
        recipe_of("publshed", "pcn")
    with pytest.raises(ValueError, match="unknown recipe 'pnc'"):
        recipe_of("published", "pnc")
    with pytest.raises(ValueError, match="a change is KEY=VALUE, such as batch_size=8, got 'x'"):
        settings(("x",))
