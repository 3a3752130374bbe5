"""Weights of the official networks, from PyTorch or TensorFlow 1 names and layouts, into ours."""

import os
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from keras_wcd.models.weights import torch_file

WRAPPERS = ("model", "base_model", "net_state_dict", "state_dict", "model_state_dict", "network")
"""Keys under which published checkpoints keep the state dict of the network."""
MAX_WRAPPERS = 8
"""Dictionaries around a state dict that are looked into; one may hold itself."""
IGNORED = ("num_batches_tracked",)
NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)
TORCH_NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def load_official_weights(model: keras.Model, source: Mapping | str | os.PathLike) -> None:
    """Put the weights of the official network into `model`, all of them or none.

    Args:
        model: A network with a table `official_weights()`.
        source: Names -> arrays (NumPy, or anything `numpy.asarray` takes), or an official `.pth` file.
            Dictionaries around the state dict (`WRAPPERS`) and `module.` prefixes are unwrapped. Reading a
            file runs no pickled code and needs no PyTorch.

    Raises:
        ValueError: listing every official array that has no place, every variable that stays unfilled and
            every array of the wrong shape; or naming what is wrong with the file.
    """
    mapping = source if isinstance(source, Mapping) else torch_file.load(source)
    arrays = {k: v for k, v in unwrap(mapping).items() if k.rpartition(".")[2] not in IGNORED}
    arrays = model.adapt_official({name: np.asarray(value) for name, value in arrays.items()})
    values, left, wrong = match(arrays, model.official_weights(), layers_by_path(model))
    unfilled = [v.path for v in counted(model) if v.path not in values]
    problems = [
        f"{what}: {', '.join(sorted(names))}"
        for what, names in (("no place for", left), ("wrong shape", wrong), ("unfilled", unfilled))
        if names
    ]
    if problems:
        raise ValueError(f"the weights do not fit {type(model).__name__}; " + "; ".join(problems))
    for variable in counted(model):
        variable.assign(values[variable.path])


def unwrap(source: Mapping) -> dict:
    """The state dict inside a checkpoint, without `module.` prefixes.

    Raises:
        ValueError: where there is none.
    """
    for _ in range(MAX_WRAPPERS):
        inner = [key for key in WRAPPERS if isinstance(source.get(key), Mapping)]
        if not inner:
            break
        source = source[inner[0]]
    state = {str(name): value for name, value in source.items()}
    if not state or not all(hasattr(value, "shape") for value in state.values()):
        other = [name for name, value in state.items() if not hasattr(value, "shape")]
        raise ValueError(
            f"source holds no state dict: looked under {', '.join(WRAPPERS)}, found the keys "
            f"{', '.join(other[:8] or ['(none)'])}"
        )
    return {_without_module(name): value for name, value in state.items()}


def _without_module(name: str) -> str:
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def match(
    arrays: Mapping[str, np.ndarray], table: Mapping[str, str | None], layers: Mapping[str, keras.layers.Layer]
) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """Values by variable path, official names without a place, and complaints about shapes."""
    values, left, wrong = {}, [], []
    for name, array in arrays.items():
        module, suffix = split(name)
        if module not in table:
            left.append(name)
            continue
        path = table[module]
        if path is None:
            continue
        layer = layers.get(path)
        if layer is None:
            raise ValueError(f"the table of official weights names {path!r}; there is no such layer")
        variable = getattr(layer, variable_name(layer, suffix), None)
        if variable is None:
            left.append(name)
            continue
        value = arranged(layer, suffix, array, len(variable.shape))
        if value.shape != tuple(variable.shape):
            wrong.append(f"{name} {array.shape} for {variable.path} {tuple(variable.shape)}")
        values[variable.path] = value
    return values, left, wrong


def split(name: str) -> tuple[str, str]:
    """Module and the name of its array: `a.b.weight` (PyTorch) or `a/b/weights` (TensorFlow 1)."""
    module, _, suffix = name.rpartition("/" if "/" in name else ".")
    return module, suffix


def variable_name(layer: keras.layers.Layer, suffix: str) -> str:
    """Name of the Keras layer's variable that an official array fills."""
    if isinstance(layer, NORMALIZATIONS) and suffix in TORCH_NORMALIZATION:
        return TORCH_NORMALIZATION[suffix]
    return {"weight": "kernel", "weights": "kernel", "biases": "bias"}.get(suffix, suffix)


def arranged(layer: keras.layers.Layer, suffix: str, array: np.ndarray, rank: int) -> np.ndarray:
    """An official array in the layout of the Keras variable of that rank."""
    if array.ndim < 2:
        return array
    if suffix != "weight":
        # TensorFlow's kernels are (..., in, out) as ours are; a 1 x 1 convolution is a Dense here.
        return array.reshape(array.shape[array.ndim - rank :]) if _ones(array.shape[: array.ndim - rank]) else array
    if rank == 2:
        return array.reshape(array.shape[:2]).T if _ones(array.shape[2:]) else array
    # PyTorch keeps (out, in, *kernel), transposed convolutions (in, out, *kernel); Keras (*kernel, in, out)
    # and (*kernel, out, in).
    return np.moveaxis(array, (0, 1), (-1, -2))


def _ones(shape: tuple[int, ...]) -> bool:
    return all(size == 1 for size in shape)


def layers_by_path(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Every layer that holds variables of its own, by the path that its variables share."""
    layers = {}
    for layer, variable in owned(model):
        path = variable.path.rpartition("/")[0]
        if layers.setdefault(path, layer) is not layer:
            raise ValueError(f"two layers share the path {path!r}; give them names")
    return layers


def owned(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, keras.Variable]]:
    """Each layer with each variable that no layer inside it owns, but for the state of random generators."""
    for layer in model._flatten_layers(include_self=False):
        inside = {id(v) for part in layer._flatten_layers(include_self=False) for v in part.variables}
        for variable in layer.variables:
            if id(variable) not in inside and "seed_generator" not in variable.path:
                yield layer, variable


def counted(model: keras.Model) -> list[keras.Variable]:
    """The variables that official weights must fill."""
    return [variable for _, variable in owned(model)]
