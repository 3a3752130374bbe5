"""Training by a recipe, into a folder from which it goes on after any end."""

import contextlib
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_wcd import losses, models
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.pipeline.batches import Batches
from keras_wcd.data.pipeline.sources import Source
from keras_wcd.metrics import CDL1
from keras_wcd.names import find
from keras_wcd.training import run_folder
from keras_wcd.training.adversarial import AdversarialTraining
from keras_wcd.training.augmentation import NamedAugmentations
from keras_wcd.training.beside import FollowRecipe, KeepLog, KeepRun, best_so_far, stopping
from keras_wcd.training.callbacks import AveragedCheckpoint, BestCheckpoint, Progress, save_model
from keras_wcd.training.checkpoint import load_checkpoint, variables_of
from keras_wcd.training.described import changes_of, title_of
from keras_wcd.training.devices import Devices, WorkerLostError, validation_batches
from keras_wcd.training.diverged import Replayed, StopWhereDiverged, replay_step
from keras_wcd.training.loop import Loop, Position
from keras_wcd.training.opened import open_devices
from keras_wcd.training.optimizers import GuardedAdam, optimizer_of
from keras_wcd.training.plain import Fitted, check_size, columns_of
from keras_wcd.training.recipe_files import from_plain, plain
from keras_wcd.training.recipes import Recipe
from keras_wcd.training.recorded import recorders, reported
from keras_wcd.training.starting import started_from, take_weights
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
    distribute: str | Devices | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    report: bool = True,
    start: str | os.PathLike | keras.Model | None = None,
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
        distribute: What to compute on: None for one device; `"mirrored"` for all of this process, `"multiworker"` for
            those of all processes that TF_CONFIG names (TensorFlow); `"data_parallel"` for all that JAX sees. The
            numbers are those of one device, but for random draws within the network. Only the chief writes.
        callbacks: Further callbacks of Keras's, called in every process after the run's own; what they know is not in
            the checkpoint.
        report: Whether to keep `epochs.csv`, `pictures`, events for TensorBoard in `tensorboard`, and in the end the
            `evaluation` of the best network and `report.html`.
        start: A network whose weights it begins with, as for fine-tuning: a `.keras` file, a preset or a network of the
            recipe's kind and sizes. None draws new ones.

    Raises:
        ValueError: for a folder that holds a run, or in which one runs; for going on with another recipe, loss, seed,
            start or data set; for a recipe that does not fit its network, or a start that does not.
        DivergedError: at the first step whose loss or gradient is not finite; its batch and the state before it are
            kept in `output`, and `replay` makes it again.
        OSError: where `output` cannot be written to, or the disk is too small.
        Interrupted: after Ctrl-C or SIGTERM, with everything written; `resume=True` goes on.
        RuntimeError: for a discriminator on another backend than TensorFlow, and for a `distribute` of another one.
        WorkerLostError: where another worker ended or fell silent; the run goes on from its last checkpoint.
    """
    if not 0 <= minutes < math.inf:
        raise ValueError(f"minutes must be a finite number >= 0, got {minutes}")
    if resume and overwrite:
        raise ValueError("resume goes on with the files that overwrite replaces: choose one of them")
    devices = open_devices(distribute, recipe.accumulate)
    folder = pathlib.Path(output)
    if devices.chief:
        run_folder.prepared(folder, resume=resume, overwrite=overwrite)
    loss = losses.get(PUBLISHED[recipe.published_loss] if loss is None else loss)
    check_size(dataset, recipe.batch_size, loss)
    # A data set that cannot be trained on is told of before anything is made.
    for split in ("train", "val"):
        Source(dataset, split)
    config = {**_config(recipe, loss, dataset, seed), "start": started_from(start)}
    written = report and devices.chief

    def beside(network: keras.Model, position: Position) -> list[keras.callbacks.Callback]:
        return [*(recorders(folder, recipe, network, dataset, position) if written else ()), *callbacks]

    with (
        run_folder.locked(folder) if devices.chief else contextlib.nullcontext(),
        reported(folder, dataset, recipe, progress) if written else contextlib.nullcontext(),
    ):
        try:
            return _run(recipe, dataset, folder, loss, config, resume, minutes, progress, devices, beside, start)
        except Exception as error:
            if not devices.lost(error):
                raise
            raise WorkerLostError(
                f"another worker ended or fell silent; {folder} holds the run up to its last checkpoint: start all "
                "workers again with resume=True (--resume)"
            ) from error


def _config(recipe: Recipe, loss: keras.losses.Loss, dataset: Dataset, seed: int) -> dict[str, Any]:
    """What a run is begun with."""
    return {
        "recipe": plain(recipe),
        "loss": keras.saving.serialize_keras_object(loss),
        "data": run_folder.data_of(dataset),
        "seed": seed,
        "versions": run_folder.versions(),
        "loss title": title_of(loss),
        "changed": changes_of(recipe),
    }


def replay(folder: str | os.PathLike) -> Replayed:
    """Make the step again at which the run in a folder ended, its loss or gradient not finite.

    Raises:
        ValueError: where the folder holds no such step.
    """
    recipe, loss, seed = begun_with(folder)
    keras.utils.set_random_seed(seed)
    return replay_step(folder, compiled(recipe, loss))


def begun_with(folder: str | os.PathLike) -> tuple[Recipe, keras.losses.Loss, int]:
    """The recipe, the loss and the seed of the run in a folder.

    Raises:
        ValueError: naming the file, where it is missing or damaged.
    """
    config = run_folder.read_config(pathlib.Path(folder))
    try:
        recipe, loss, seed = from_plain(config["recipe"]), losses.get(config["loss"]), config["seed"]
        if not isinstance(seed, int):
            raise ValueError(f"seed must be a whole number, got {seed!r}")
    except (KeyError, ValueError) as error:
        path = pathlib.Path(folder) / run_folder.CONFIG
        raise ValueError(f"{path}: no configuration of a run ({str(error)[:300]})") from error
    return recipe, loss, seed


def compiled(recipe: Recipe, loss: keras.losses.Loss) -> keras.Model:
    """The network of a recipe, ready for its first step, its optimizer built.

    Returns:
        A `CompletionModel`, or an `AdversarialTraining` around one.
    """
    with _computing_in(recipe.precision):
        network = _network(recipe)
    stage_losses: list[keras.losses.Loss] = [loss] * len(recipe.stages)
    if recipe.repulsion:
        place = [stage.name for stage in recipe.stages].index("coarse")
        stage_losses[place] = WithRepulsion(loss, recipe.repulsion)
    model = network
    if recipe.adversarial:
        if keras.config.backend() != "tensorflow":
            raise RuntimeError(f"{recipe.backbone} is trained with a discriminator: set KERAS_BACKEND=tensorflow")
        points = min(2048, network.output_shape[-1][1])
        # Weights of the stages hold the weight of the sum already.
        judge = models.PatchDiscriminator(num_points=points, num_centers=min(256, points // 2))
        model = AdversarialTraining(network, judge, weight=1.0)
    options = {"discriminator_optimizer": GuardedAdam(5e-5, beta_1=0.5)} if recipe.adversarial else {}
    optimizer = optimizer_of(recipe, network.trainable_variables)
    model.compile(optimizer, loss=stage_losses, metrics=[CDL1()], **options)
    model.optimizer.build(network.trainable_variables)
    return model


@contextlib.contextmanager
def _computing_in(precision: str | None) -> Iterator[None]:
    """Networks that are made within compute so; None changes nothing."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(before if precision is None else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


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
    config: dict[str, Any],
    resume: bool,
    minutes: float,
    progress: bool,
    devices: Devices,
    beside: Callable[[keras.Model, Position], list[keras.callbacks.Callback]],
    start: Any,
) -> Fitted:
    seed = config["seed"]
    going_on = devices.state_of_chief(devices.chief and resume and (folder / run_folder.CONFIG).exists())
    if going_on and devices.chief:
        run_folder.check_same(folder, config)
    run_folder.check_equal(devices.state_of_chief(config), config)
    keras.utils.set_random_seed(seed)
    with devices.scope():
        model = compiled(recipe, loss)
        devices.prepared(model, recipe.accumulate)
    network = getattr(model, "generator", model)
    network.frame = dataset.frame
    if start is not None and not going_on:
        take_weights(network, start)
    options = {"num_points": network.num_input, "seed": seed}
    validation = validation_batches(dataset, recipe.batch_size, num_points=network.num_input)
    names = NamedAugmentations(recipe.augmentation, network.num_input)
    batches = Batches(dataset, "train", recipe.batch_size, augment=names if recipe.augmentation else None, **options)
    if devices.chief:
        run_folder.check_space(folder, 4 * sum(math.prod(v.shape) for v in variables_of(model)))
        if not going_on:
            run_folder.emptied(folder)
            run_folder.write_config(folder, config)
    checkpoint = folder / run_folder.CHECKPOINT
    position = load_checkpoint(checkpoint, model, devices) if going_on else Position()
    with stopping() as asked:
        keep = KeepRun(checkpoint if devices.chief else None, position, minutes, lambda: devices.anyone(asked()))
        diverged = StopWhereDiverged(folder / run_folder.DIVERGED if devices.chief else None, _names_of(dataset))
        callbacks = [
            *(diverged, FollowRecipe(recipe, network, position)),
            Progress(loss.name, disable=not progress or not devices.chief),
            _best(recipe, folder if devices.chief else None, position),
            *beside(network, position),
            *([KeepLog(folder / run_folder.LOG, position)] if devices.chief else []),
            keep,
        ]
        loop = diverged.loop = Loop(
            model,
            batches,
            validation,
            epochs=_epochs(recipe, len(batches)),
            steps=recipe.steps,
            callbacks=callbacks,
            position=position,
            devices=devices,
        )
        history = loop.run()
    if recipe.ema:
        model.optimizer.finalize_variable_values(network.trainable_variables)
    if devices.chief:
        save_model(network, folder / run_folder.LAST)
    return Fitted(network, columns_of(history), best_so_far(history, "val_cd_l1"))


def _epochs(recipe: Recipe, batches: int) -> int:
    """Passes of a run, where steps are counted those that they take."""
    if recipe.epochs is not None:
        return recipe.epochs
    return -(-(recipe.steps or 0) // batches)


def _best(recipe: Recipe, folder: pathlib.Path | None, position: Position) -> BestCheckpoint:
    def save(model: Any, path: pathlib.Path) -> None:
        # Who is not the chief measures with the others and writes nothing.
        if folder is not None:
            save_model(getattr(model, "generator", model), path)

    keep = (AveragedCheckpoint if recipe.ema else BestCheckpoint)(run_folder.BEST, save=save)
    keep.path = keep.path if folder is None else folder / run_folder.BEST
    keep.best = best_so_far(position.history, keep.monitor)
    return keep


def _names_of(dataset: Dataset) -> Callable[[np.ndarray], tuple[str, ...]]:
    def names(indices: np.ndarray) -> tuple[str, ...]:
        samples = [dataset.load("train", int(index)) for index in indices]
        return tuple(f"{sample.category}/{sample.name}" for sample in samples)

    return names
