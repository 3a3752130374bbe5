"""Random changes of a pair in training, the same for scan and ground truth where they must be."""

import math
from dataclasses import dataclass

import numpy as np


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The source of everything random about one pair in one epoch: no other pair and no worker has a part in it."""
    return np.random.default_rng([seed, epoch, index])


@dataclass(frozen=True)
class Augment:
    r"""Mirror, rotation and scale of both clouds, noise and dropped points of the scan alone.

    $$p \mapsto s\,R_y(\theta)\,M\,p, \qquad M \in \{I, \operatorname{diag}(1, 1, -1)\}$$

    A farthest-point ordered ground truth stays one: all distances change by the same factor.

    Attributes:
        mirror: Mirror every second pair, left and right swapped: z changes its sign in PCN's frame.
        rotate_up: Largest angle of the rotation about y, degrees; uniform to either side.
        scale: Smallest and largest factor; its logarithm is uniform.
        jitter: Standard deviation of the normal noise on every coordinate of the scan, in units of the frame.
        drop: Largest share of the scan's points that is left out; the share is uniform below it.

    Raises:
        ValueError: for an angle outside 0 to 180, a scale that is not 0 < low <= high, a negative or infinite
            jitter, a share outside 0 to 1.
    """

    mirror: bool = False
    rotate_up: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0
    drop: float = 0.0

    def __post_init__(self):
        if not 0 <= self.rotate_up <= 180:
            raise ValueError(f"rotate_up must lie between 0 and 180 degrees, got {self.rotate_up}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale must be (low, high) with 0 < low <= high, got {self.scale}")
        if not 0 <= self.jitter < math.inf:
            raise ValueError(f"jitter must be a finite number and not negative, got {self.jitter}")
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
        partial = partial @ linear.T
        if self.jitter:
            partial += rng.standard_normal(partial.shape, np.float32) * np.float32(self.jitter)
        return partial, None if complete is None else np.asarray(complete, np.float32) @ linear.T

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """The matrix `(3, 3)` of one pair, float32."""
        side, turn, size = rng.random(3)
        angle = math.radians(self.rotate_up) * (2 * turn - 1)
        low, high = map(math.log, self.scale)
        factor = math.exp(low + (high - low) * size)
        mirrored = -1.0 if self.mirror and side < 0.5 else 1.0
        cos, sin = math.cos(angle), math.sin(angle)
        rotation = np.array([[cos, 0, sin * mirrored], [0, 1, 0], [-sin, 0, cos * mirrored]])
        return (factor * rotation).astype(np.float32)
