"""Naive loops for the operations of `keras_wcd.ops`, and gradients on whichever backend runs."""

import keras
import numpy as np


def clouds(seed=0, batch=2, n=23, m=17):
    """Two batches of clouds of different sizes, float32."""
    random = np.random.default_rng(seed)
    return [random.uniform(-1, 1, (batch, size, 3)).astype("float32") for size in (n, m)]


def to_numpy(tensors):
    tensors = tensors if isinstance(tensors, (tuple, list)) else [tensors]
    return [keras.ops.convert_to_numpy(t) for t in tensors]


def rows(cloud):
    """Indices of the rows that are no padding."""
    return [i for i, point in enumerate(cloud) if not any(c != c for c in point)]


def square(a, b):
    return sum((float(s) - float(t)) ** 2 for s, t in zip(a, b, strict=True))


def knn(x, y, k):
    """Squared distances and indices of the k nearest, of one pair of clouds."""
    distances, indices = [], []
    for point in x:
        order = sorted((square(point, y[j]), j) for j in rows(y))[:k]
        order += order[:1] * (k - len(order))
        distances.append([d for d, _ in order])
        indices.append([j for _, j in order])
    return np.array(distances), np.array(indices)


def nearest(x, y):
    distances, indices = knn(x, y, 1)
    return distances[:, 0], indices[:, 0]


def farthest_points(cloud, count, rule="standard"):
    """Every step looks at all pairs of candidates and chosen points again."""
    whole = rows(cloud)
    allowed = [i for i in whole if rule == "standard" or square(cloud[i], (0, 0, 0)) > 1e-3]
    chosen = [whole[0] if whole else 0]
    while len(chosen) < count:
        best, best_distance = 0, -1.0
        for i in allowed:
            distance = min(square(cloud[i], cloud[j]) for j in chosen)
            if distance > best_distance:
                best, best_distance = i, distance
        chosen.append(best)
    return np.array(chosen)


def ball(centers, cloud, radius, count):
    found = []
    for center in centers:
        hits = [j for j in rows(cloud) if square(center, cloud[j]) < radius**2][:count]
        found.append(hits + [hits[0] if hits else 0] * (count - len(hits)))
    return np.array(found)


def interpolate(queries, cloud, features, k=3, squared=False):
    out = np.zeros((len(queries), features.shape[-1]))
    for i, query in enumerate(queries):
        near = sorted((square(query, cloud[j]), j) for j in rows(cloud))[:k]
        weights = [1 / max(s if squared else s**0.5, 1e-10) for s, _ in near]
        for weight, (_, j) in zip(weights, near, strict=True):
            out[i] += weight / sum(weights) * features[j]
    return out


def differences(function, x, step=1e-5):
    """Central differences of a scalar `function` of one float64 array."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[place] = step
        gradient[place] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


def gradients(function, *arrays):
    """Gradients of a scalar `function` of tensors by the backend; zeros where nothing flows."""
    if keras.config.backend() == "jax":
        import jax

        found = jax.grad(function, argnums=tuple(range(len(arrays))))(*(jax.numpy.asarray(a) for a in arrays))
    elif keras.config.backend() == "torch":
        import torch

        tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
        found = torch.autograd.grad(function(*tensors), tensors, allow_unused=True)
    else:
        import tensorflow as tf

        tensors = [tf.constant(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        found = [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(value, tensors)]
    return [np.zeros_like(a) if g is None else np.asarray(g) for g, a in zip(found, arrays, strict=True)]
