"""AtlasNet: A Papier-Mache Approach to Learning 3D Surface Generation (Groueix et al., CVPR 2018)."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers import draws
from keras_wcd.models.layers.mlp import JointDense, batch_norm, mlp
from keras_wcd.models.weights.initialization import draw_as_pytorch
from keras_wcd.types import Tensor

DIMENSIONS = {"square": 2, "sphere": 3}
"""Templates and how many coordinates their points have."""
DRAW = "random_points"


@keras.saving.register_keras_serializable("keras_wcd")
class Template(draws.DrawingLayer):
    r"""Points of the unit square or the unit sphere, the same for every cloud of a batch.

    In training they are drawn anew, uniformly. At inference the square has the nodes of a grid,
    $(i/(g-1), j/(g-1))$ with i varying slowest, and the sphere a Fibonacci lattice; the paper's code takes the
    corners of an icosahedron there, whose number cannot be chosen. The caller may give the points of all
    patches as `noise={"random_points": ...}`, `(patches, dimensions, points)`.

    Args:
        kind: `"square"` or `"sphere"`.
        rows: Rows R of the layout; for the square also its columns.
        patch: Which of the patches this is.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, kind: str, rows: int, patch: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.kind, self.rows, self.patch = kind, rows, patch
        self.columns = rows if kind == "square" else 1

    def call(self, inputs: Tensor, training: bool = False) -> list[Tensor]:
        """Clouds `(B, N, 3)`, whose points do not matter -> one tensor per coordinate.

        Their shape is `(B, R, columns, 1)` or broadcasts to it.
        """
        shape = (DIMENSIONS[self.kind], self.rows * self.columns)
        given = draws.given(DRAW, ("patches", *shape), self.compute_dtype)
        if given is not None:
            if given.shape[0] <= self.patch:
                raise ValueError(f"noise[{DRAW!r}] must have more than {self.patch} patches, got {given.shape[0]}")
            points = given[self.patch]
        elif training:
            points = self._random(shape)
        elif self.kind == "square":
            line = self._unfolded(np.linspace(0, 1, self.rows, dtype=np.float32), inputs)
            return [ops.reshape(line, (-1, self.rows, 1, 1)), ops.reshape(line, (-1, 1, self.rows, 1))]
        else:
            points = [self._unfolded(line, inputs) for line in fibonacci_sphere(self.rows).T]
            return [ops.reshape(line, (-1, self.rows, 1, 1)) for line in points]
        points = ops.cast(points, self.compute_dtype)
        return [ops.reshape(points[i], (1, self.rows, self.columns, 1)) for i in range(DIMENSIONS[self.kind])]

    def compute_output_shape(self, input_shape: tuple) -> list[tuple]:
        """One shape per coordinate."""
        return [(input_shape[0], self.rows, self.columns, 1)] * DIMENSIONS[self.kind]

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "kind": self.kind, "rows": self.rows, "patch": self.patch}

    def _unfolded(self, line: np.ndarray, inputs: Tensor) -> Tensor:
        """`(R,)` -> `(B, R)`, plus a zero that a converter cannot see through.

        It would multiply constant points by their weights and store the product, 4 MB for 1024 points.
        """
        zero = ops.minimum(ops.abs(inputs[:, 0, :1]), 0)
        return zero + ops.convert_to_tensor(line, dtype=self.compute_dtype)

    def _random(self, shape: tuple[int, int]) -> Tensor:
        if self.kind == "square":
            return keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        points = keras.random.normal(shape, dtype="float32", seed=self.seed_generator)
        return points / ops.maximum(ops.norm(points, axis=0, keepdims=True), 1e-6)


@keras.saving.register_keras_serializable("keras_wcd")
class TemplateDense(JointDense):
    r"""The dense layer of template points under a code, $p W + b + c$, added up from the smallest on."""

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Make one kernel for all coordinates."""
        super().build(input_shape[1:])

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The code `(B, 1, 1, units)`, then the coordinates `(B, R, columns, 1)` -> `(B, R, columns, units)`."""
        total = inputs[0] + self.bias
        for i, coordinate in enumerate(inputs[1:]):
            total = total + coordinate * self.kernel[i]
        return total


@keras.saving.register_keras_serializable("keras_wcd")
class AtlasNet(CompletionModel):
    """Patches, each a template deformed by a network of its own under the code of the partial cloud.

    Weight-compatible with the authors' second release, whose code is added to the first layer of every patch and
    not joined to its points. One stage `(B, P, 3)`: squares have a square number of points each, the largest
    that `num_points / patches` holds. The release trains no completion; 16 squares of 1024 points, the default,
    are our choice for PCN's 16384 points (`num_points=8192, patches=8` for ShapeNet-55's 8192).

    Args:
        num_points: Points of the completed cloud.
        patches: Number of patches.
        template: `"square"`, or `"sphere"`, which closes a surface with one patch.
        latent: Length of the global code, and width of each patch's first layer.
        hidden: Width of each patch's other hidden layers.
        depth: Hidden layers of each patch after the first two.
        encoder: Widths of the encoder's first two layers.
        **kwargs: As of `CompletionModel`.
    """

    draw_keys = (DRAW,)

    def __init__(
        self,
        num_points: int = 16384,
        patches: int = 16,
        template: str = "square",
        latent: int = 1024,
        hidden: int = 512,
        depth: int = 2,
        encoder: Sequence[int] = (64, 128),
        **kwargs: Any,
    ):
        num_points, patches = positive(num_points, "num_points"), positive(patches, "patches")
        latent, hidden, depth = positive(latent, "latent"), positive(hidden, "hidden"), positive(depth, "depth")
        encoder = widths_of(encoder, 2, "encoder")
        if template not in DIMENSIONS:
            raise ValueError(f"template must be one of {tuple(DIMENSIONS)}, got {template!r}")
        if num_points < patches:
            raise ValueError(f"num_points must be at least 1 per patch ({patches}), got {num_points}")
        rows = num_points // patches if template == "sphere" else math.isqrt(num_points // patches)

        partial = keras.Input((None, 3), name="partial")
        features = _dense(_dense(partial, encoder[0], "encoder_1"), encoder[1], "encoder_2")
        features = _dense(features, latent, "encoder_3", activate=False)
        code = _dense(_dense(ops.max(features, axis=1), latent, "code_1"), latent, "code_2")
        code = ops.reshape(code, (-1, 1, 1, latent))
        surfaces = []
        for patch in range(patches):
            name = f"patch{patch}"
            points = Template(template, rows, patch, name=f"{name}_template")(partial)
            # Axes: cloud, rows and columns of the template, channels.
            lifted = TemplateDense(latent, name=f"{name}_0")([code, *points])
            lifted = ops.relu(batch_norm(f"{name}_0_norm")(lifted))
            lifted = ops.reshape(lifted, (-1, lifted.shape[1] * lifted.shape[2], latent))
            surfaces.append(mlp(lifted, (hidden,) * (depth + 1) + (3,), name, coordinates=True))

        super().__init__(partial, (ops.concatenate(surfaces, axis=1),), **kwargs)
        self.num_points = num_points
        self.patches = patches
        self.template = template
        self.latent = latent
        self.hidden = hidden
        self.depth = depth
        self.encoder = encoder
        draw_as_pytorch(self)
        for layer in self.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.assign(keras.random.normal(layer.gamma.shape, 1.0, 0.02))

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `model/model_blocks.py` in the authors' repository."""
        layers = ["encoder_1", "encoder_2", "encoder_3", "code_1", "code_2"]
        modules = ["conv1", "conv2", "conv3", "lin1", "lin2"]
        names: dict[str, str | None] = {
            f"encoder.{module}": layer for module, layer in zip(modules, layers, strict=True)
        }
        names |= {f"encoder.bn{i}": f"{layer}_norm" for i, layer in enumerate(layers, start=1)}
        for patch in range(self.patches):
            ours, theirs = f"patch{patch}", f"decoder.decoder.{patch}"
            names |= {f"{theirs}.conv{i + 1}": f"{ours}_{i}" for i in range(2)}
            names |= {f"{theirs}.bn{i + 1}": f"{ours}_{i}_norm" for i in range(2)}
            names |= {f"{theirs}.conv_list.{i}": f"{ours}_{i + 2}" for i in range(self.depth)}
            names |= {f"{theirs}.bn_list.{i}": f"{ours}_{i + 2}_norm" for i in range(self.depth)}
            names[f"{theirs}.last_conv"] = f"{ours}_{self.depth + 2}"
        return names


def fibonacci_sphere(count: int) -> np.ndarray:
    r"""Points `(count, 3)` spread evenly on the unit sphere, float32.

    $$z_i = 1 - \frac{2i + 1}{n}, \qquad \varphi_i = i \pi (3 - \sqrt 5)$$
    """
    i = np.arange(count)
    z = 1 - (2 * i + 1) / count
    radius, angle = np.sqrt(1 - z * z), i * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1).astype(np.float32)


def _dense(x: Tensor, width: int, name: str, *, activate: bool = True) -> Tensor:
    """Dense, batch normalization and, where asked, ReLU."""
    x = batch_norm(f"{name}_norm")(keras.layers.Dense(width, name=name)(x))
    return ops.relu(x) if activate else x
