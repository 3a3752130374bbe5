"""One step by every recipe against a statement of it in NumPy: loss, gradient clipped, decay, learning rate, Adam."""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from networks import TinyChamfer, chamfer, clouds, numpy
from recipe_runs import reduced

from keras_wcd.models import stages as model_stages
from keras_wcd.training import RECIPES
from keras_wcd.training.beside import FollowRecipe
from keras_wcd.training.by_recipe import compiled
from keras_wcd.training.loop import Position
from keras_wcd.training.recipes import SHAPENET55_RECIPES

pytestmark = tensorflow_only

ALL = [*((name, "RECIPES") for name in RECIPES), *((name, "SHAPENET55_RECIPES") for name in SHAPENET55_RECIPES)]
VECTORS_STAY = {"pointr"}
"""Networks of which biases and other vectors do not decay."""
EPOCH, STEP = 3, 7


def repulsion(cloud):
    """NSFA's, one cloud after the other, one point after the other."""
    values = []
    for points in cloud.astype(np.float64):
        for point in points:
            distance = np.linalg.norm(points - point, axis=1)
            found = np.flatnonzero(distance**2 < 0.07**2)[:20]
            found = np.concatenate([found, np.full(20 - len(found), found[0])])
            near = np.maximum(np.sort(distance[found])[1:5], 1e-6)
            values.append((0.07 - near * np.exp(-(near**2) / 0.03**2)).mean())
    return np.mean(values)


def adam(recipe, rate, before, gradients):
    """Variables after the first step: the gradient clipped as a whole, decay apart from it, Adam's step."""
    norm = np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients if g is not None))
    factor = 1.0 if recipe.clip_norm is None else min(1.0, recipe.clip_norm / norm)
    after = []
    for (name, value), gradient in zip(before, gradients, strict=True):
        value = value.astype(np.float64)
        if gradient is None:
            after.append(value)
            continue
        small = value.ndim < 2 or name.endswith("bias")
        if recipe.optimizer == "AdamW" and not (recipe.backbone in VECTORS_STAY and small):
            value = value - rate * recipe.weight_decay * value
        gradient = factor * gradient.astype(np.float64)
        first, second = (1 - recipe.beta_1) * gradient, (1 - recipe.beta_2) * gradient**2
        step = rate * np.sqrt(1 - recipe.beta_2) / (1 - recipe.beta_1)
        after.append(value - step * first / (np.sqrt(second) + recipe.epsilon))
    return after, norm


class Spy:
    """What a step sees: the stages, random targets, scores of the discriminator, gradients."""

    def __init__(self, model, monkeypatch):
        network = getattr(model, "generator", model)
        compute, draw, apply = network.compute_loss, model_stages.random_points, model.optimizer.apply
        self.drawn, self.scores = [], None

        def computed(x, y, y_pred, *args, **kwargs):
            self.stages = [numpy(stage) for stage in y_pred]
            if network is not model:
                self.scores = numpy(model.discriminator(y_pred[-1]))
            return compute(x, y, y_pred, *args, **kwargs)

        def drew(*arguments):
            self.drawn.append(draw(*arguments))
            return self.drawn[-1]

        def applied(gradients, variables):
            self.gradients = [None if g is None else numpy(keras.ops.convert_to_tensor(g)) for g in gradients]
            return apply(gradients, variables)

        monkeypatch.setattr(network, "compute_loss", computed)
        monkeypatch.setattr(model_stages, "random_points", drew)
        monkeypatch.setattr(model.optimizer, "apply", applied)


def expected_loss(recipe, spy, partial, complete):
    """The recipe's whole loss of the stages that the network answered with."""
    total, drawn = 0.0, iter(spy.drawn)
    for stage, answer in zip(recipe.stages, spy.stages, strict=True):
        weight = stage.weight if isinstance(stage.weight, float) else stage.weight(STEP)
        if not weight:
            continue
        targets = {"whole": complete, "prefix": complete[:, : answer.shape[1]]}
        target = numpy(next(drawn)) if stage.target == "random" else targets[stage.target]
        value = chamfer(target, answer).mean()
        if recipe.backbone == "nsfa" and stage.name == "coarse":
            value += 0.2 * repulsion(answer)
        total += weight * value
    if recipe.backbone in ("seedformer", "snowflakenet"):
        total += chamfer(partial, spy.stages[-1], pred_weight=0).mean()
    if recipe.backbone == "pmpnet":
        places = [partial, *spy.stages]
        moves = [
            np.sum((b - a).astype(np.float64) ** 2, axis=-1).mean() for a, b in zip(places, places[1:], strict=False)
        ]
        total += 0.01 / 3 * 16 * 2048 * sum(moves)
    total *= 1000 if recipe.backbone == "seedformer" else 1
    return total if spy.scores is None else total + np.mean((spy.scores.astype(np.float64) - 1) ** 2)


@pytest.mark.parametrize(("name", "table"), ALL)
def test_one_step_is_what_the_recipe_says(name, table, monkeypatch):
    keras.utils.set_random_seed(0)
    recipe = reduced(name, table)
    model = compiled(recipe, TinyChamfer())
    network = getattr(model, "generator", model)
    model.run_eagerly = True
    follow = FollowRecipe(recipe, network, Position(epoch=EPOCH, batch=1, step=STEP))
    follow.set_model(model)
    follow.on_epoch_begin(EPOCH)
    follow.on_train_batch_begin(1)
    weights = tuple(s.weight if isinstance(s.weight, float) else s.weight(STEP) for s in recipe.stages)
    assert network.stage_weights == pytest.approx(weights)
    spy = Spy(model, monkeypatch)
    before = [(v.path, numpy(v.value).copy()) for v in network.trainable_variables]
    partial, complete = clouds(batch=4, complete=300)
    found = model.train_on_batch(partial, complete, return_dict=True)["loss"]
    assert found == pytest.approx(expected_loss(recipe, spy, partial, complete), rel=2e-4)
    assert (len(spy.drawn) > 0) == (name == "pmpnet")
    rate = {"RECIPES": RECIPES, "SHAPENET55_RECIPES": SHAPENET55_RECIPES}[table][name].learning_rate(EPOCH)
    assert float(model.optimizer.learning_rate) == pytest.approx(rate, rel=1e-6)
    after, norm = adam(recipe, rate, before, spy.gradients)
    assert float(model.optimizer.gradient_norm) == pytest.approx(norm, rel=1e-4)
    assert float(model.optimizer.skipped) == 0
    for variable, (path, old), wanted in zip(network.trainable_variables, before, after, strict=True):
        moved = numpy(variable.value).astype(np.float64) - old
        np.testing.assert_allclose(moved, wanted - old, rtol=2e-3, atol=2e-3 * rate, err_msg=path)


def test_vectors_of_a_decoupled_decay_stay_where_the_recipe_says_so():
    model = compiled(reduced("pointr", weight_decay=0.5), TinyChamfer())
    decayed = {v.path for v in model.trainable_variables if model.optimizer._use_weight_decay(v)}
    assert decayed == {v.path for v in model.trainable_variables if v.name != "bias" and len(v.shape) > 1}
    assert 0 < len(decayed) < len(model.trainable_variables)
