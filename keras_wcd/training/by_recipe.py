"""Training by a recipe, into a folder from which it goes on after any end."""

import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_wcd import losses, models
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.pipeline.batches import Batches
from keras_wcd.metrics import CDL1
from keras_wcd.names import find
from keras_wcd.training import run_folder
from keras_wcd.training.adversarial import AdversarialTraining
from keras_wcd.training.augmentation import NamedAugmentations
from keras_wcd.training.beside import FollowRecipe, KeepRun, best_so_far, stopping
from keras_wcd.training.callbacks import AveragedCheckpoint, BestCheckpoint, Progress, save_model
from keras_wcd.training.checkpoint import load_checkpoint, variables_of
from keras_wcd.training.diverged import Replayed, StopWhereDiverged, replay_step
from keras_wcd.training.plain import Fitted, check_size
from keras_wcd.training.optimizers import GuardedAdam, optimizer_of
from keras_wcd.training.recipe_files import from_plain, plain
from keras_wcd.training.recipes import Recipe
from keras_wcd.training.loop import Loop, Position
from keras_wcd.training.terms import WithRepulsion

PUBLISHED = {"CD-L1": "cd_l1", "CD-L2": "cd_l2"}
"""The losses that recipes were published with, by their names in the library."""


def train(
    recipe: Recipe,
    *,
    dataset: Dataset,
    output: str | os.PathLike,
    loss: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    minutes: float = 10.0,
    progress: bool = True,
) -> Fitted:
    """Train the network of a recipe by the whole of it.

    Optimizer, learning rate and share of batch normalization by epoch, weights and targets of the stages, partial
    matching, scale and further terms of the loss, augmentation in order, batch, epochs: all are the recipe's. The
    folder holds `config.json` (every value of it, versions, seed), `checkpoint.npz` (all of the run, replaced as a
    whole after each epoch and every few minutes), `log.csv`, `best.keras` (smallest validation CD-L1) and, in the
    end, `last.keras`. On one processor a run that was killed and gone on with ends in the bytes of one that was not.

    Args:
        recipe: One of `RECIPES`, of `small`, of `recipe_of`, or one changed by `dataclasses.replace`.
        dataset: A data set of `keras_wcd.data`; its splits "train" and "val" are used.
        output: The run's folder.
        loss: The loss of every stage: a loss, or a name or config as of `keras_wcd.losses.get`; None takes the one
            that the recipe was published with. Its constants are made for shapes of a certain size, as in `fit`.
        resume: Go on with the run in `output`; where there is none, one begins.
        overwrite: Whether the files of an earlier run in `output` may be replaced.
        seed: Of the weights, of all that training draws, and of the order of the data.
        minutes: Between two checkpoints within an epoch; 0 writes one at each step.
        progress: Whether to draw a bar.

    Raises:
        ValueError: for a folder that holds a run, or in which one runs; for going on with another recipe, loss, seed
            or data set; for a recipe that does not fit its network.
        DivergedError: at the first step whose loss or gradient is not finite; its batch and the state before it are
            kept in `output`, and `replay` makes it again.
        OSError: where `output` cannot be written to, or the disk is too small.
        Interrupted: after Ctrl-C or SIGTERM, with everything written; `resume=True` goes on.
        RuntimeError: if Keras's backend is not TensorFlow.
    """
    if keras.config.backend() != "tensorflow":
        raise RuntimeError("training by a recipe runs on TensorFlow: set KERAS_BACKEND=tensorflow; fit runs on all")
    if not 0 <= minutes < math.inf:
        raise ValueError(f"minutes must be a finite number >= 0, got {minutes}")
    if resume and overwrite:
        raise ValueError("resume goes on with the files that overwrite replaces: choose one of them")
    folder = pathlib.Path(output)
    run_folder.prepared(folder, resume=resume, overwrite=overwrite)
    loss = losses.get(PUBLISHED[recipe.published_loss] if loss is None else loss)
    check_size(dataset, recipe.batch_size, loss)
    with run_folder.locked(folder):
        return _run(recipe, dataset, folder, loss, resume, seed, minutes, progress)


def replay(folder: str | os.PathLike) -> Replayed:
    """Make the step again at which the run in a folder ended, its loss or gradient not finite.

    Raises:
        ValueError: where the folder holds no such step.
    """
    config = run_folder.read_config(pathlib.Path(folder))
    keras.utils.set_random_seed(config["seed"])
    return replay_step(folder, compiled(from_plain(config["recipe"]), losses.get(config["loss"])))


def compiled(recipe: Recipe, loss: keras.losses.Loss) -> keras.Model:
    """The network of a recipe, ready for its first step, its optimizer built.

    Returns:
        A `CompletionModel`, or an `AdversarialTraining` around one.
    """
    network = _network(recipe)
    stage_losses: list[keras.losses.Loss] = [loss] * len(recipe.stages)
    if recipe.repulsion:
        place = [stage.name for stage in recipe.stages].index("coarse")
        stage_losses[place] = WithRepulsion(loss, recipe.repulsion)
    model = network
    if recipe.adversarial:
        points = min(2048, network.output_shape[-1][1])
        # Weights of the stages hold the weight of the sum already.
        judge = models.PatchDiscriminator(num_points=points, num_centers=min(256, points // 2))
        model = AdversarialTraining(network, judge, weight=1.0)
    options = {"discriminator_optimizer": GuardedAdam(5e-5, beta_1=0.5)} if recipe.adversarial else {}
    optimizer = optimizer_of(recipe, network.trainable_variables)
    model.compile(optimizer, loss=stage_losses, metrics=[CDL1()], **options)
    model.optimizer.build(network.trainable_variables)
    return model


def _network(recipe: Recipe) -> Any:
    arguments = {
        "stage_targets": [stage.target for stage in recipe.stages],
        "stage_weights": recipe.stage_weights(0),
        "partial_matching": recipe.partial_matching,
        "loss_scale": recipe.loss_scale,
    }
    kind = find(models.NETWORKS, recipe.backbone, "network")
    twice = sorted(set(arguments) & set(recipe.network))
    if twice:
        raise ValueError(f"network holds {', '.join(twice)}, which the recipe says by its stages and its own fields")
    try:
        return kind(**recipe.network, **arguments)
    except ValueError as error:
        if "stage_" not in str(error):
            raise
        names = ", ".join(stage.name for stage in recipe.stages)
        raise ValueError(f"the recipe has the stages {names}, and its network another number ({error})") from None


def _run(
    recipe: Recipe,
    dataset: Dataset,
    folder: pathlib.Path,
    loss: keras.losses.Loss,
    resume: bool,
    seed: int,
    minutes: float,
    progress: bool,
) -> Fitted:
    config = {
        "recipe": plain(recipe),
        "loss": keras.saving.serialize_keras_object(loss),
        "data": run_folder.data_of(dataset),
        "seed": seed,
        "versions": run_folder.versions(),
    }
    going_on = resume and (folder / run_folder.CONFIG).exists()
    if going_on:
        run_folder.check_same(folder, config)
    keras.utils.set_random_seed(seed)
    model = compiled(recipe, loss)
    network = getattr(model, "generator", model)
    network.frame = dataset.frame
    run_folder.check_space(folder, 4 * sum(math.prod(v.shape) for v in variables_of(model)))
    names = NamedAugmentations(recipe.augmentation, network.num_input)
    options = {"num_points": network.num_input, "seed": seed}
    validation = dataset.to_tf_data("val", recipe.batch_size, num_points=network.num_input)
    batches = Batches(dataset, "train", recipe.batch_size, augment=names if recipe.augmentation else None, **options)
    if not going_on:
        run_folder.emptied(folder)
        run_folder.write_config(folder, config)
    checkpoint = folder / run_folder.CHECKPOINT
    position = load_checkpoint(checkpoint, model) if checkpoint.exists() else Position()
    with stopping() as asked:
        keep = KeepRun(checkpoint, folder / run_folder.LOG, position, minutes, asked)
        diverged = StopWhereDiverged(folder / run_folder.DIVERGED, _names_of(dataset))
        loop = diverged.loop = Loop(
            model,
            batches,
            lambda callbacks: _validated(model, validation, callbacks),
            epochs=_epochs(recipe, len(batches)),
            steps=recipe.steps,
            callbacks=[
                diverged,
                FollowRecipe(recipe, network, position),
                Progress(loss.name, disable=not progress),
                _best(recipe, folder, position),
                keep,
            ],
            position=position,
        )
        history = loop.run()
    if recipe.ema:
        model.optimizer.finalize_variable_values(network.trainable_variables)
    save_model(network, folder / run_folder.LAST)
    columns = {name: [row[name] for row in history] for name in history[0] if name != "epoch"}
    return Fitted(network, columns, best_so_far(history, "val_cd_l1"))


def _epochs(recipe: Recipe, batches: int) -> int:
    """Passes of a run, where steps are counted those that they take."""
    if recipe.epochs is not None:
        return recipe.epochs
    return -(-(recipe.steps or 0) // batches)


def _best(recipe: Recipe, folder: pathlib.Path, position: Position) -> BestCheckpoint:
    kind = AveragedCheckpoint if recipe.ema else BestCheckpoint
    keep = kind(folder / run_folder.BEST, save=lambda model, path: save_model(getattr(model, "generator", model), path))
    keep.best = best_so_far(position.history, keep.monitor)
    return keep


def _validated(model: keras.Model, data: Any, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
    found: Any = model.evaluate(data, verbose=0, callbacks=callbacks, return_dict=True)
    return {name: float(value) for name, value in found.items()}


def _names_of(dataset: Dataset) -> Callable[[np.ndarray], tuple[str, ...]]:
    def names(indices: np.ndarray) -> tuple[str, ...]:
        samples = [dataset.load("train", int(index)) for index in indices]
        return tuple(f"{sample.category}/{sample.name}" for sample in samples)

    return names
