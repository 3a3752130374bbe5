"""Quantities that change with the epoch or the step: learning rates, shares of a batch, weights of a stage."""

import abc
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule(abc.ABC):
    """A value for every epoch (or step), counted from 0."""

    @abc.abstractmethod
    def __call__(self, epoch: float) -> float:
        """The value during `epoch`."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value $v$ throughout."""

    value: float

    def __call__(self, epoch: float) -> float:
        return self.value


@dataclass(frozen=True)
class Staircase(Schedule):
    r"""$\max(v \, \gamma^{\lfloor e / n \rfloor}, \text{floor})$ in epoch e.

    Attributes:
        value: v, before the first step down.
        factor: The factor of a step down.
        every: Epochs n between two steps.
        floor: The least value.
    """

    value: float
    factor: float
    every: int
    floor: float = 0.0

    def __call__(self, epoch: float) -> float:
        return max(self.value * self.factor ** (epoch // self.every), self.floor)


@dataclass(frozen=True)
class Exponential(Schedule):
    r"""$\max(v \, \gamma^{e / n}, \text{floor})$ in epoch e.

    Attributes:
        value: v, the value in epoch 0.
        factor: What n epochs multiply it by.
        every: These epochs n.
        floor: The least value.
    """

    value: float
    factor: float
    every: int
    floor: float = 0.0

    def __call__(self, epoch: float) -> float:
        return max(self.value * self.factor ** (epoch / self.every), self.floor)


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Value i from `starts[i]` on, until the next one starts; the first before all others.

    Attributes:
        values: One more than `starts`.
        starts: Epochs (or steps) at which the values after the first begin, rising.
    """

    values: tuple[float, ...]
    starts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.starts) + 1 or list(self.starts) != sorted(set(self.starts)):
            raise ValueError(
                f"starts must be {len(self.values) - 1} rising numbers, one less than values, got {self.starts}"
            )

    def __call__(self, epoch: float) -> float:
        return self.values[sum(epoch >= start for start in self.starts)]


@dataclass(frozen=True)
class WarmUp(Schedule):
    r"""$a_0 (e + 1) / n$ in the first n epochs, then $a_{e - n}$ of the schedule `after`.

    Attributes:
        epochs: The length n of the rise.
        after: The schedule a that follows, which starts when the rise has ended.
    """

    epochs: int
    after: Schedule

    def __call__(self, epoch: float) -> float:
        if epoch < self.epochs:
            return self.after(0) * (epoch + 1) / self.epochs
        return self.after(epoch - self.epochs)


@dataclass(frozen=True)
class Stretched(Schedule):
    r"""$a_{e f}$ of another schedule a: the whole of it in a shorter run.

    Attributes:
        factor: Its epochs f that pass in one.
        of: The schedule a.
    """

    factor: float
    of: Schedule

    def __call__(self, epoch: float) -> float:
        return self.of(epoch * self.factor)


SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (Constant, Staircase, Exponential, Piecewise, WarmUp, Stretched)
}
"""Schedules by the names that files of recipes give them."""
