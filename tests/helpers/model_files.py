"""Files of networks: official weights, LiteRT files, Keras archives, presets."""

import collections
import functools
import io
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch_files
from damage import Kind


def parts(seeds, name):
    """The inner files of a name in archives."""

    @functools.cache
    def found():
        contents = []
        for content in seeds():
            if zipfile.is_zipfile(io.BytesIO(content)):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    contents.append(archive.read(next(n for n in archive.namelist() if n.endswith(name))))
        return contents

    return found


@functools.cache
def pths():
    """Both formats, numbers and shared storages."""
    values = np.arange(60, dtype="f4")
    state = collections.OrderedDict(
        a=torch_files.Tensor(values, (4, 6), (1, 4), 2), b=torch_files.Tensor(values), c=torch_files.Tensor(np.array(7))
    )
    saved = {"epoch": 3, "best": np.float64(0.25), "lr": [1e-3, None, "cosine", (1, 2)], "model": state}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for legacy in (False, True):
            found.append(torch_files.save(Path(folder) / "a.pth", saved, legacy=legacy).read_bytes())
    return [*found, zipped({"a/data.pkl": pickle.dumps({"x": {1, 2}, "y": [b"a", 2**70, "é" * 300]}, 4)})]


def zipped(entries):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def pack_pth(pickled):
    """A pickle beside storages that fit it when it is whole."""
    return zipped({"a/data.pkl": pickled, "a/data/0": bytes(240), "a/data/1": bytes(8), "a/byteorder": b"little"})


def read_pth(path):
    from keras_wcd.models.weights import torch_file

    return torch_file.load(path)


@functools.cache
def tflites():
    """A network that puts out what it gets."""
    import keras

    from keras_wcd import export

    # The same bytes in every process, so that a number names the same damage.
    keras.utils.set_random_seed(0)
    points = keras.Input((16, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tflite"
        export.to_tflite(keras.Model(points, keras.layers.Dense(3)(points)), path, num_points=16)
        return [path.read_bytes()]


def read_tflite(path):
    from keras_wcd.export import runtime

    return runtime.read_metadata(path)


@functools.cache
def small():
    """The smallest of the networks."""
    import keras
    from networks import SMALL

    from keras_wcd.models import FoldingNet

    keras.utils.set_random_seed(0)

    return FoldingNet(**SMALL["foldingnet"])


@functools.cache
def archives():
    """Our network and a plain one."""
    import keras

    whole = small()
    points = keras.Input((16, 3))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.keras"
        for model in (whole, keras.Model(points, keras.layers.Dense(3)(points))):
            model.save(path)
            found.append(path.read_bytes())
    return found


def pack_keras(config):
    """A configuration beside the weights of the small network."""
    with zipfile.ZipFile(io.BytesIO(archives()[0])) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**entries, "config.json": config})


def read_keras(path):
    from keras_wcd.predictors import load_model

    return load_model(path)


@functools.cache
def preset():
    """The two files of a preset by name."""
    with tempfile.TemporaryDirectory() as folder:
        small().save_to_preset(Path(folder) / "p")
        return {path.name: path.read_bytes() for path in (Path(folder) / "p").iterdir()}


def of_preset(damaged_name):
    """A preset of which one file is damaged."""

    def put(path, content):
        path.mkdir(exist_ok=True)
        for name, whole in preset().items():
            (path / name).write_bytes(content if name == damaged_name else whole)

    return Kind(lambda: [preset()[damaged_name]], read_keras, put, share=0.03)


KINDS = {
    ".pth": Kind(pths, read_pth, inner=parts(pths, "data.pkl"), pack=pack_pth),
    ".tflite": Kind(tflites, read_tflite),
    ".keras": Kind(archives, read_keras, inner=parts(archives, "config.json"), pack=pack_keras, share=0.1),
    ".preset-config": of_preset("config.json"),
    ".preset-weights": of_preset("model.weights.h5"),
}
"""Every kind by the ending that the path is given."""
