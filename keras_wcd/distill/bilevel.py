"""Bilevel training: the weighting's parameters learned while the network trains."""

import os
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from keras_wcd import weighting as weightings
from keras_wcd.distill.gradients import require_tensorflow
from keras_wcd.losses import CD, AbstractProfile, WeightedCD
from keras_wcd.types import Tensor
from keras_wcd.visual import plots
from keras_wcd.weighting import Weighting

SCALE = "scale"
"""The name of the unit of distance among the learned parameters."""


class BilevelTraining:
    r"""Learns a network's weights w and its loss's parameters $\lambda$ together.

    $$\min_\lambda U(w_K(\lambda)), \qquad w_{k+1} = w_k - \text{step}(\nabla_w L(w_k, \lambda)), \quad k < K$$

    L is the weighted Chamfer distance on training batches, U a fixed loss on held-back ones. Its gradient goes through
    the K unrolled steps (iterative differentiation, nested tapes); the network keeps all K, then $\log \lambda$ takes a
    step of Adam, so that $\lambda$ stays positive. Published code does not hold this part of the paper (Lin et al.,
    IROS 2024): the unrolling, the steps' rule and the parametrization are ours.

    Args:
        model: A network whose answer is a cloud or a tuple of clouds, coarse to fine; a stage of n points is compared
            with the first n of the truth. It need not be compiled.
        weighting: Where the parameters start: a `Weighting` or a name of `WEIGHTINGS`.
        learn: Names of the parameters to learn; `"scale"` is the unit of distance. None takes those of the weighting,
            or the scale where it has none.
        shift: `"mode"` moves the weighting to its mode, computed anew at every step; None leaves it.
        scale: Unit of distance at the start.
        unroll: Lower steps K between two upper ones.
        rule: `"adam"`, or `"sgd"` whose steps grow with the weighting's size.
        learning_rate: Of the lower steps: a number, or a Keras schedule.
        upper_learning_rate: Of $\log \lambda$.
        upper_loss: U; CD-L1 by default.

    Raises:
        ValueError: for an unknown parameter, shift or rule, or a count below 1.
        RuntimeError: if Keras's backend is not TensorFlow.
    """

    def __init__(
        self,
        model: keras.Model,
        weighting: Weighting | str = "landau",
        *,
        learn: Sequence[str] | None = None,
        shift: str | None = None,
        scale: float = 1.0,
        unroll: int = 4,
        rule: str = "adam",
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        upper_learning_rate: float = 1e-2,
        upper_loss: keras.losses.Loss | None = None,
    ):
        require_tensorflow()
        import tensorflow as tf

        weighting = weightings.get(weighting)
        start = {**weighting.get_config(), SCALE: float(scale)}
        learn = tuple(learn if learn is not None else weighting.get_config() or (SCALE,))
        if not learn or not set(learn) <= set(start):
            raise ValueError(f"learn must name parameters out of {sorted(start)}, got {learn}")
        if shift not in ("mode", None):
            raise ValueError(f'shift must be "mode" or None, got {shift!r}')
        if rule not in RULES:
            raise ValueError(f"rule must be one of {sorted(RULES)}, got {rule!r}")
        if unroll < 1:
            raise ValueError(f"unroll must be at least 1, got {unroll}")
        self.model, self.shift, self.unroll = model, shift, unroll
        # The weights' own: the dtype of a model need not be that of its layers.
        self._dtype = keras.backend.standardize_dtype(model.trainable_variables[0].dtype)
        self.upper_loss = upper_loss or CD(dtype=self._dtype)
        self.history: dict[str, list[float]] = {name: [] for name in ("lower", "upper", *learn)}
        self._family, self._start, self._learn = type(weighting), start, learn
        self._step = RULES[rule]
        self._rate = learning_rate
        self._logs = [tf.Variable(np.log(start[name]), dtype=self._dtype, name=name) for name in learn]
        self._upper_optimizer = keras.optimizers.Adam(upper_learning_rate)
        self._upper_optimizer.build(self._logs)
        self._memory = [[tf.Variable(tf.zeros_like(v)) for v in model.trainable_variables] for _ in range(2)]
        self._taken = tf.Variable(0, dtype="int64")
        self._train = tf.function(self._train_eagerly, reduce_retracing=True)

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters as they stand, learned or not, the scale among them."""
        return {
            **self._start,
            **{name: float(np.exp(v.numpy())) for name, v in zip(self._learn, self._logs, strict=True)},
        }

    def loss(self, **kwargs) -> WeightedCD:
        """A ready loss with the parameters as they stand; `kwargs` are those of `WeightedCD`."""
        parameters = self.parameters
        scale = parameters.pop(SCALE)
        weighting = self._family(**parameters)
        return WeightedCD(weighting, shift=weighting.mode if self.shift else 0.0, scale=scale, **kwargs)

    def fit(
        self, train: Iterable, held_back: Iterable, *, epochs: int = 1, progress: bool = True
    ) -> dict[str, list[float]]:
        """Train on batches of pairs.

        Args:
            train: A repeatable iterable of batches (partial `(B, N, 3)`, complete `(B, M, 3)`), as `to_tf_data` gives;
                a last batch of another size costs one more tracing.
            held_back: The same, of pairs that L never sees; it is begun anew when it ends.
            epochs: Passes over `train`; a rest of fewer than `unroll` batches is left out.
            progress: Whether to draw a bar.

        Returns:
            `history`: by upper step the mean lower loss, the upper loss and every learned parameter, over all calls.

        Raises:
            ValueError: if a loss is not finite, or there are fewer batches than one upper step needs.
        """
        others = _forever(held_back)
        with tqdm(desc=f"bilevel {self._family.__name__}", unit="step", disable=not progress, mininterval=0.5) as bar:
            for _ in range(epochs):
                before = len(self.history["upper"])
                for batches in _groups(train, self.unroll):
                    lower, upper = self._train(batches, next(others))
                    self._record(float(lower), float(upper))
                    bar.update(self.unroll)
                    bar.set_postfix({key: f"{values[-1]:.4g}" for key, values in self.history.items()}, refresh=False)
                if len(self.history["upper"]) == before:
                    raise ValueError(f"train holds fewer than unroll={self.unroll} batches")
        return self.history

    def plot(self, path: str | os.PathLike) -> None:
        """Draw the learned parameters and the upper loss over the upper steps, as PNG or SVG."""
        if not self.history["upper"]:
            raise ValueError("there is nothing to plot before fit")
        plots.histories({name: self.history[name] for name in ("upper", *self._learn)}, path, "upper step")

    def hypergradient(self, batches: Sequence[tuple], held_back: tuple) -> tuple[list[Tensor], dict]:
        r"""$dU/d\log\lambda$ after `len(batches)` lower steps from the network as it stands, and where they lead."""
        import tensorflow as tf

        with tf.GradientTape() as upper_tape:
            state = self._unrolled(batches)
            outputs, _ = self.model.stateless_call(state["weights"], state["other"], held_back[0], training=True)
            upper = _staged(self.upper_loss, held_back[1], outputs)
        state["upper"] = upper
        return upper_tape.gradient(upper, self._logs), state

    def _unrolled(self, batches: Sequence[tuple]) -> dict:
        """K lower steps as functions of the parameters."""
        import tensorflow as tf

        loss = self._lower_loss()
        weights = [tf.convert_to_tensor(v) for v in self.model.trainable_variables]
        other = [tf.convert_to_tensor(v) for v in self.model.non_trainable_variables]
        memory = [[tf.convert_to_tensor(v) for v in part] for part in self._memory]
        total = 0.0
        for k, (partial, complete) in enumerate(batches):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                outputs, other = self.model.stateless_call(weights, other, partial, training=True)
                lower = _staged(loss, complete, outputs)
            gradients = tape.gradient(lower, weights, unconnected_gradients="zero")
            taken = self._taken + k
            rate = tf.cast(self._rate(taken) if callable(self._rate) else self._rate, weights[0].dtype)
            weights, memory = self._step(weights, gradients, memory, rate, tf.cast(taken + 1, weights[0].dtype))
            total += lower
        return {"weights": weights, "other": other, "memory": memory, "lower": total / len(batches)}

    def _train_eagerly(self, batches: Sequence[tuple], held_back: tuple) -> tuple[Tensor, Tensor]:
        gradients, state = self.hypergradient(batches, held_back)
        variables = [*self.model.trainable_variables, *self.model.non_trainable_variables, *sum(self._memory, [])]
        values = [*state["weights"], *state["other"], *sum(state["memory"], [])]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self._taken.assign_add(len(batches))
        self._upper_optimizer.apply(gradients, self._logs)
        return state["lower"], state["upper"]

    def _lower_loss(self) -> "_Learned":
        values = {**self._start, **{name: ops.exp(v) for name, v in zip(self._learn, self._logs, strict=True)}}
        scale = values.pop(SCALE)
        weighting = self._family(**values)
        return _Learned(weighting, weighting.mode if self.shift else 0.0, scale, self._dtype)

    def _record(self, lower: float, upper: float) -> None:
        if not (np.isfinite(lower) and np.isfinite(upper)):
            raise ValueError(
                f"the losses were {lower} and {upper} at lower step {int(self._taken)}: lower the learning rates, or "
                "look for NaN in the data"
            )
        parameters = self.parameters
        for name, value in {"lower": lower, "upper": upper, **{n: parameters[n] for n in self._learn}}.items():
            self.history[name].append(value)


class _Learned(AbstractProfile):
    """`WeightedCD` with tensors for parameters."""

    def __init__(self, weighting: Weighting, shift: Tensor | float, scale: Tensor | float, dtype: str):
        super().__init__(name="learned_cd", dtype=dtype)
        self.weighting, self.shift, self.scale = weighting, shift, scale

    def profile(self, distance: Tensor) -> Tensor:
        return self.weighting(distance / self.scale + self.shift) * distance


def _staged(loss: keras.losses.Loss, complete: Tensor, outputs: Tensor | list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """The sum of a loss over stages, each against as many first points of the truth."""
    stages = outputs if isinstance(outputs, list | tuple) else (outputs,)
    terms = [loss(complete[:, : stage.shape[1]], stage) for stage in stages]
    return sum(terms[1:], terms[0])


def _sgd(weights, gradients, memory, rate, step):
    return [w - rate * g for w, g in zip(weights, gradients, strict=True)], memory


def _adam(weights, gradients, memory, rate, step, first=0.9, second=0.999, epsilon=1e-7):
    """A step of Adam; the root is taken where its derivative is finite."""
    mean = [first * m + (1 - first) * g for m, g in zip(memory[0], gradients, strict=True)]
    square = [second * v + (1 - second) * ops.square(g) for v, g in zip(memory[1], gradients, strict=True)]
    rate = rate * ops.sqrt(1 - second**step) / (1 - first**step)
    updated = [
        w - rate * m / (ops.sqrt(ops.maximum(v, epsilon**2)) + epsilon)
        for w, m, v in zip(weights, mean, square, strict=True)
    ]
    return updated, [mean, square]


RULES = {"adam": _adam, "sgd": _sgd}


def _forever(batches: Iterable) -> Iterator:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("held_back holds no batch")


def _groups(batches: Iterable, size: int) -> Iterable[list]:
    group = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
