"""Random changes of a pair in training, the same for scan and ground truth where they must be."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Change = Callable[[np.ndarray, np.ndarray | None, np.random.Generator], tuple[np.ndarray, np.ndarray | None]]
"""What may be done to a pair in training, as `Augment` is called."""


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The source of everything random about one pair in one epoch: no other pair and no worker has a part in it."""
    return np.random.default_rng([seed, epoch, index])


@dataclass(frozen=True)
class Augment:
    r"""Mirror, stretching, rotation, scale and shift of both clouds, noise and dropped points of the scan alone.

    $$p \mapsto s\,R_y(\theta)\,D\,M\,p + t, \qquad M \in \{I, \operatorname{diag}(1, 1, -1)\}$$

    A farthest-point ordered ground truth stays one where all distances change by the same factor; stretching axes by
    some tenths (D) leaves its prefixes well spread, if no longer exactly farthest.

    Attributes:
        mirror: Mirror every second pair, left and right swapped: z changes its sign in PCN's frame.
        rotate_up: Largest angle of the rotation about y, degrees; uniform to either side.
        scale: Smallest and largest factor; its logarithm is uniform.
        jitter: Standard deviation of the normal noise on every coordinate of the scan, in units of the frame.
        drop: Largest share of the scan's points that is left out; the share is uniform below it.
        stretch: Largest factor by which one axis grows or shrinks beside the others; its logarithm is uniform.
        shift: Standard deviation of the common shift along each axis: how far frames are off.

    Raises:
        ValueError: for an angle outside 0 to 180, a scale that is not 0 < low <= high, a stretch below 1, a negative
            or infinite shift or jitter, a share outside 0 to 1.
    """

    mirror: bool = False
    rotate_up: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0
    drop: float = 0.0
    stretch: float = 1.0
    shift: float = 0.0

    def __post_init__(self):
        if not 0 <= self.rotate_up <= 180:
            raise ValueError(f"rotate_up must lie between 0 and 180 degrees, got {self.rotate_up}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale must be (low, high) with 0 < low <= high, got {self.scale}")
        if not 1 <= self.stretch < math.inf:
            raise ValueError(f"stretch must be a finite number and at least 1, got {self.stretch}")
        for name in ("shift", "jitter"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number and not negative, got {getattr(self, name)}")
        if not 0 <= self.drop < 1:
            raise ValueError(f"drop must be a share from 0 to below 1, got {self.drop}")

    def __call__(
        self, partial: np.ndarray, complete: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """A scan `(N, 3)` and its ground truth `(M, 3)` (or None), changed; float32, the arguments are left alone."""
        linear = self.draw(rng)
        partial = np.asarray(partial, np.float32)
        if self.drop:
            lost = int(len(partial) * rng.uniform(0, self.drop))
            partial = partial[np.sort(rng.permutation(len(partial))[lost:])]
        moved = rng.normal(scale=self.shift, size=3).astype(np.float32) if self.shift else np.float32(0)
        partial = partial @ linear.T + moved
        if self.jitter:
            partial += rng.standard_normal(partial.shape, np.float32) * np.float32(self.jitter)
        return partial, None if complete is None else np.asarray(complete, np.float32) @ linear.T + moved

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """The matrix `(3, 3)` of one pair, float32."""
        side, turn, size = rng.random(3)
        angle = math.radians(self.rotate_up) * (2 * turn - 1)
        low, high = map(math.log, self.scale)
        factor = math.exp(low + (high - low) * size)
        mirrored = -1.0 if self.mirror and side < 0.5 else 1.0
        cos, sin = math.cos(angle), math.sin(angle)
        linear = factor * np.array([[cos, 0, sin * mirrored], [0, 1, 0], [-sin, 0, cos * mirrored]])
        if self.stretch > 1:
            linear = linear * np.exp(math.log(self.stretch) * rng.uniform(-1, 1, 3))
        return linear.astype(np.float32)
