"""The base of every network: stages out, one loss in, clouds of any size completed in their own frame."""

import importlib
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_wcd.models import inference, presets, stages
from keras_wcd.models.arguments import positive, refuse_unknown_arguments
from keras_wcd.models.layers import draws
from keras_wcd.ops import device_only
from keras_wcd.types import Tensor


class CompletionModel(keras.Model):
    r"""A network from a partial cloud `(B, N, 3)` to a tuple of clouds, coarse to fine.

    A subclass builds its graph in `__init__` from `keras.Input((None, 3))` or `keras.Input((N, 3))`, calls
    `super().__init__(inputs, outputs, **kwargs)` and then sets every argument of its own as an attribute of
    the same name; `get_config` finds them there. A loss given to `compile` supervises every stage,

    $$L = s \left( \sum_k w_k \, \ell(Y_{:n_k}, X_k)
      + [\text{partial matching}] \; \ell_{\text{one side}}(P, X_K) \right),$$

    with $X_k$ the stage of $n_k$ points, $w$ the `stage_weights`, $s$ the `loss_scale`, $P$ the partial cloud and
    $Y_{:n}$ the first n points of the ground truth (all of it where it has fewer): the data order it by farthest
    point sampling, so that a prefix is a farthest-point subset. `stage_targets` names other parts of the ground truth
    to compare stages with. Metrics see the last stage alone.

    A network that draws at random names its draws in `draw_keys` and asks `draws.given(key)` before it draws;
    the caller may then pass `noise={key: value}` to the call.

    Args:
        inputs: The graph's input.
        outputs: Its stages, coarse to fine.
        num_input: Points that `complete` resamples a cloud to; what the network is trained on.
        stage_weights: The weights w, one per stage; 1 by default. May be set again while training runs.
        stage_targets: What each stage is compared with: `"prefix"`, the first points of the ground truth, as many as
            it has; `"whole"`, all of it; `"random"`, as many random points of it, drawn anew at each step of training
            (outside it they are the first). One name for all stages, or one per stage; "prefix" by default.
        partial_matching: Whether the one-sided term is added.
        loss_scale: The factor s of all terms, those that layers add included.
        frame: Place and size of the shapes that it was trained on, as data sets name theirs (`"box"`, `"sphere"`):
            evaluation moves scans of other frames into it. None says nothing; training sets it.
        **kwargs: `name` and `trainable`.
    """

    draw_keys: tuple[str, ...] = ()

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: Sequence[keras.KerasTensor],
        *,
        num_input: int = 2048,
        stage_weights: Sequence[float] | None = None,
        stage_targets: str | Sequence[str] | None = None,
        partial_matching: bool = False,
        loss_scale: float = 1.0,
        frame: str | None = None,
        **kwargs: Any,
    ):
        refuse_unknown_arguments(self, CompletionModel, kwargs)
        super().__init__(inputs=inputs, outputs=tuple(outputs), **kwargs)
        self.num_input = positive(num_input, "num_input")
        self.partial_matching = bool(partial_matching)
        self.stage_targets = stages.checked_targets(stage_targets, len(self.outputs))
        if not 0 < loss_scale < np.inf:
            raise ValueError(f"loss_scale must be a finite number above 0, got {loss_scale}")
        self.loss_scale = float(loss_scale)
        # Only a network that draws its targets holds the state of the draws.
        if "random" in self.stage_targets:
            self.target_seed = keras.random.SeedGenerator()
        self.frame = frame
        self.stage_weights = stage_weights

    @property
    def stage_weights(self) -> tuple[float, ...]:
        """Weight of each stage's loss; a new value holds from the next step on, also inside `fit`."""
        return self._stage_weights

    @stage_weights.setter
    def stage_weights(self, weights: Sequence[float] | None) -> None:
        count = len(self.outputs)
        weights = (1.0,) * count if weights is None else tuple(float(w) for w in weights)
        if len(weights) != count or not all(w >= 0 and np.isfinite(w) for w in weights):
            raise ValueError(f"stage_weights must be {count} finite numbers >= 0, one per stage, got {weights}")
        self._stage_weights = weights
        for kind in ("train", "test"):
            if getattr(self, f"{kind}_function", None) is not None:
                getattr(self, f"make_{kind}_function")(force=True)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument, found as the attribute of its name."""
        own = inspect.signature(type(self).__init__).parameters.values()
        shared = ("num_input", "stage_weights", "stage_targets", "partial_matching", "loss_scale", "frame")
        names = [p.name for p in own if p.kind is not p.VAR_KEYWORD and p.name != "self"]
        config = {name: _plain(getattr(self, name)) for name in (*names, *shared, "name", "trainable")}
        return {**config, "dtype": keras.dtype_policies.serialize(self.dtype_policy)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "CompletionModel":
        """The network of a config, under the dtype policy that it was made under."""
        config = dict(config)
        outside = keras.config.dtype_policy()
        keras.config.set_dtype_policy(keras.dtype_policies.get(config.pop("dtype", outside)))
        try:
            return cls(**config)
        finally:
            keras.config.set_dtype_policy(outside)

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
        noise: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """All stages `(B, n, 3)` of partial clouds `(B, N, 3)`, coarse to fine."""
        unknown = sorted(set(noise or {}) - set(self.draw_keys))
        if unknown:
            raise ValueError(f"noise holds {unknown}; {type(self).__name__} draws {list(self.draw_keys)}")
        with draws.giving(noise or {}):
            outputs = super().call(inputs, training=training, mask=mask)
        return tuple(outputs) if isinstance(outputs, list | tuple) else (outputs,)

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, **kwargs) -> None:
        """As `keras.Model.compile`; `loss` is one loss for every stage, or a list with one per stage.

        A loss may be a name (`"landau_cd"`, or one of Keras's) or a dict of a name and arguments
        (`{"name": "hyper_cd", "alpha": 1000.0}`), as in `keras_wcd.losses.get`.
        """
        if loss_weights is not None:
            raise ValueError(f"loss_weights={loss_weights!r} is not used here; set the model's stage_weights")
        loss = stages.named(loss)
        losses = stages.stage_losses(loss, len(self.outputs))
        matching = stages.one_sided(losses[-1]) if self.partial_matching and loss is not None else None
        super().compile(optimizer, loss, metrics=metrics, **kwargs)
        self._stage_losses, self._matching_loss = losses, matching
        # Keras's own would ask for one ground truth per output.
        self._compile_loss = None
        # Metrics see one cloud; some versions of Keras would name them after the first of several outputs.
        if self._compile_metrics is not None:
            self._compile_metrics.output_names = None

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was; Keras skips this for a model with its own `compile`."""
        _import_homes(config)
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True) -> Tensor:
        """The sum over stages of the class's formula, and the losses that layers and regularizers added.

        Args:
            x: Partial clouds `(B, N, 3)`.
            y: Complete clouds `(B, M, 3)`; rows of NaN are padding.
            y_pred: The stages `(B, n, 3)`.
            sample_weight: A weight for every cloud `(B,)`; the losses of clouds are multiplied by it.
            training: Whether random targets are drawn; nothing else depends on it.

        Raises:
            ValueError: without `y`, for a ragged one, for weights that are not one per cloud, or where nothing was
                compiled that has a loss.
        """
        if y is None:
            raise ValueError("fit and evaluate need the complete clouds as y: (partial, complete) pairs")
        stages.check_dense(y, "y")
        if sample_weight is not None:
            sample_weight = stages.cloud_weights(sample_weight, y)
        seed = getattr(self, "target_seed", None) if training else None
        rows = zip(self._stage_losses, self.stage_weights, self.stage_targets, y_pred, strict=True)
        terms = [
            weight * loss(stages.target(y, stage, kind, seed), stage, sample_weight)
            for loss, weight, kind, stage in rows
            if loss is not None and weight > 0
        ]
        if self._matching_loss is not None:
            terms.append(self._matching_loss(x, y_pred[-1], sample_weight))
        # Every replica computes them; Keras's own sum divides them among the replicas, as its losses are.
        terms += [self._aggregate_additional_loss(loss) for loss in self.losses]
        if not terms:
            raise ValueError("there is no loss to compute: compile(loss=...) with one, and a stage weight > 0")
        total = sum(terms[1:], terms[0])
        # A mean over no clouds, as a replica has it that gets none, is NaN.
        total = keras.ops.where(keras.ops.shape(y_pred[-1])[0] > 0, total, keras.ops.zeros_like(total))
        return total if self.loss_scale == 1 else self.loss_scale * total

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict[str, Tensor]:
        """Metrics of the last stage."""
        return super().compute_metrics(x, y, y_pred[-1], sample_weight)

    def predict_step(self, *args):
        """The last stage alone; on JAX beside the state, as its trainer has it."""
        result = super().predict_step(*args)
        if keras.config.backend() == "jax":
            outputs, state = result
            return outputs[-1], state
        return result[-1]

    def export(self, *args, **kwargs):
        """As `keras.Model.export`; the graph holds no call into Python."""
        with device_only():
            return super().export(*args, **kwargs)

    def complete(
        self,
        points: np.ndarray,
        normalize: str | None = "partial",
        *,
        box: np.ndarray | None = None,
        keep_partial: bool = False,
    ) -> np.ndarray:
        """Complete one scan in its own frame and units.

        The scan is moved and scaled into the network's frame, resampled to `num_input` points
        (`keras_wcd.frames.resample`: its farthest points if it has more, repeated if it has fewer), completed and
        put back; nothing is random. The axes stay: a network trained on y-up shapes wants y-up scans.

        Args:
            points: A cloud `(N, 3)`, N >= 1, in any units.
            normalize: `"partial"` estimates the whole shape's box from the scan (`frames.SEEN` has the
                measurement); `"bbox"` takes `box`, or the scan's own bounding box; `None` says that the scan
                is in the network's frame (bounding box of the whole shape centered, diagonal 1).
            box: The whole shape's box, `(2, 3)` low and high or `(8, 3)` corners, with `normalize="bbox"`.
            keep_partial: Put all N measured points, unchanged, before the M completed ones.

        Returns:
            The last stage `(M, 3)`, or `(N + M, 3)` with `keep_partial`; float32, or float64 where `points`
            is float64 or integer: float32 has steps of 6 cm at a million meters.

        Raises:
            ValueError: for points of another shape, empty or not finite, for a wrong `normalize` or `box`,
                and for a network whose weights are not finite.
        """
        return inference.complete(
            self.predict_on_batch,
            points,
            self.num_input,
            normalize,
            box=box,
            keep_partial=keep_partial,
        )

    def official_weights(self) -> dict[str, str | None]:
        """Module names of the official network and the layers that hold their weights here.

        None marks a module that the official network stores and never uses.
        """
        raise NotImplementedError(f"{type(self).__name__} has no table of official weights")

    def adapt_official(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The official arrays under the names of `official_weights`; for names that hold two modules."""
        return weights

    def save_to_preset(self, path: str | os.PathLike) -> None:
        """Write the folder `path` with `config.json` and `model.weights.h5`; a preset there is replaced."""
        presets.save(self, path)

    @classmethod
    def from_preset(cls, preset: str | os.PathLike) -> "CompletionModel":
        """The network of a preset: a name from `PRESETS`, or a folder that `save_to_preset` wrote."""
        return presets.load(preset, cls)


def _import_homes(config: Any) -> None:
    """Import the parts of this library that a config names: Keras finds a class only where it is registered."""
    if isinstance(config, dict):
        if str(config.get("registered_name")).startswith("keras_wcd>"):
            importlib.import_module(".".join(str(config["module"]).split(".")[:2]))
        config = list(config.values())
    if isinstance(config, list | tuple):
        for value in config:
            _import_homes(value)


def _plain(value: Any) -> Any:
    """Sequences as lists, which JSON keeps."""
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
