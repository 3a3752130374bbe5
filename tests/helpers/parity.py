"""Small recordings of the official networks, which ship: some points of every stage, projections of gradients.

They are drawn from the large ones beside the checkout, by `python tests/helpers/parity.py`; the weights are not
stored, a rule gives them anew. What they were recorded from is told in `tests/fixtures/parity/README.md`.
"""

import functools
import hashlib
import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent / "fixtures" / "parity"
POINTS = 256
"""Points that are kept of every stage of a cloud."""
PROJECTIONS = 32
KEPT = ("state", "weights_sha256", "framework", "float32_vs_float64")
TRAINING = {f"train_{name}" for name in ("pred_coarse", "denoised_coarse", "denoised_fine", "pred_fine")}
SINGLE = {"in/x"}
"""Arrays that are the same in every recording."""


def rows_of(count):
    """The points of a stage that are kept, the same ones wherever it has as many."""
    return np.sort(np.random.RandomState(11).permutation(count)[:POINTS])


def projected(array, name):
    """Sums of an array's values under random signs `(PROJECTIONS,)`, another set for every name.

    The mean square of the projections of a difference is the square of its norm, in expectation.
    """
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    flat = np.asarray(array, np.float64).reshape(-1)
    return np.array([flat @ (2.0 * rng.randint(0, 2, flat.size) - 1) for _ in range(PROJECTIONS)])


def weight(name, shape, transposed=False):
    """The value that the rule gives a weight of a PyTorch network."""
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    last = name.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        return (1 + 0.1 * np.abs(z)).astype(np.float32)
    if last == "running_mean":
        return (0.1 * z).astype(np.float32)
    if last.endswith("bias"):
        return (0.05 * z).astype(np.float32)
    if len(shape) == 1:
        return (1 + 0.1 * z).astype(np.float32)
    inputs = shape[0] * math.prod(shape[2:]) if transposed else math.prod(shape[1:])
    return (z / np.sqrt(inputs)).astype(np.float32)


def weight_of_tensorflow(name, shape):
    """The value that the rule gives a weight of a TensorFlow 1 network."""
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    last = name.rpartition("/")[2]
    if last in ("moving_variance", "gamma"):
        return (1 + 0.1 * (np.abs(z) if last == "moving_variance" else z)).astype(np.float32)
    if last in ("biases", "bias", "beta", "moving_mean"):
        return ((0.1 if last == "moving_mean" else 0.05) * z).astype(np.float32)
    return (z / np.sqrt(math.prod(shape[:-1]))).astype(np.float32)


def weights(meta):
    """All weights by their official names; AssertionError where they are not those of the recording."""
    torch, found, digest = not meta.get("framework", "").startswith("tensorflow"), {}, hashlib.sha256()
    for name, shape, _, kind in meta["state"]:
        found[name] = weight(name, shape, kind == "T") if torch else weight_of_tensorflow(name, shape)
        digest.update(np.ascontiguousarray(found[name]).tobytes())
    assert digest.hexdigest() == meta["weights_sha256"], "the rule gives other weights than were recorded"
    return found


@functools.lru_cache(maxsize=1)
def load(name):
    """Arrays, facts and weights of a small recording."""
    with np.load(HERE / f"{name}.npz") as archive, np.load(HERE / "inputs.npz") as inputs:
        arrays = {key: archive[key] for key in archive.files if key != "meta"}
        arrays |= {key: inputs[key] for key in inputs.files}
        meta = json.loads(str(archive["meta"]))
    return arrays, meta, weights(meta)


def reduced(arrays, meta):
    """What a small recording keeps of a large one: arrays, and facts."""
    kept, facts = {}, {key: meta[key] for key in KEPT if key in meta} | {"stages": {}}
    for key, array in arrays.items():
        kind, _, name = key.partition("/")
        if kind == "out" and array.ndim == 3 and array.shape[2] == 3 and name not in TRAINING:
            facts["stages"][key] = array.shape[1]
            kept[key] = array[:, rows_of(array.shape[1])]
        elif (kind in ("noise", "in", "grad64") or key == "idx/rows") and key not in SINGLE:
            kept[key] = array
        elif kind == "grad" and not meta["arrays"].get(key, {}).get("flat_stride"):
            kept[f"projected/{key}"] = projected(array, key)
            facts.setdefault("norms", {})[key] = float(np.linalg.norm(array))
    gradients = meta.get("grad") or {}
    facts["grad"] = {key: gradients[key] for key in ("all_grad_norms", "params_without_grad") if key in gradients}
    facts.setdefault("float32_vs_float64", {})
    return kept, facts


def large(path):
    """Arrays and facts of a large recording."""
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files if key != "meta"}, json.loads(str(archive["meta"]))


def make(recordings):
    """Draw the small recordings from the folder of the large ones."""
    HERE.mkdir(parents=True, exist_ok=True)
    for path in sorted(recordings.glob("*.npz")):
        if path.stem in ("gt", "ops"):
            continue
        arrays, meta = large(path)
        kept, facts = reduced(arrays, meta)
        np.savez_compressed(HERE / "inputs.npz", **{key: arrays[key] for key in SINGLE})
        np.savez_compressed(HERE / path.name, meta=json.dumps(facts, separators=(",", ":")), **kept)


if __name__ == "__main__":
    from shared import ORACLES

    make(Path(sys.argv[1]) if len(sys.argv) > 1 else ORACLES)
