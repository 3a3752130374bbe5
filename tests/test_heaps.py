"""HDF5 files whose heaps hold a list without an end: refused before the library, which would follow it for ever."""

import struct
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_wcd.data.io.formats import read_cloud
from keras_wcd.data.io.hdf5_rows import open_file
from keras_wcd.heaps import check_heaps


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["points"] = np.random.default_rng(0).normal(size=(20, 3))
        file["group/more"] = np.arange(3)
    return path


def damaged(content, circle, which=0):
    """A file in which a heap has two free blocks that name each other, or one that names itself."""
    data = bytearray(content)
    heaps = [place for place in range(len(data)) if data[place : place + 8] == b"HEAP\0\0\0\0"]
    place = heaps[which]
    base = data.find(b"\x89HDF")
    _, _, start = struct.unpack_from("<QQQ", data, place + 8)
    struct.pack_into("<Q", data, place + 16, circle[0])
    for here, there in zip(circle, (*circle[1:], circle[0]), strict=True):
        struct.pack_into("<QQ", data, base + start + here, there, 16)
    return bytes(data)


def test_whole_files_are_read(whole):
    check_heaps(whole)
    assert len(read_cloud(whole, dataset="points")) == 20
    with open_file(whole) as file:
        assert sorted(file) == ["group", "points"]


@pytest.mark.parametrize("circle", [(32,), (32, 48), (48, 32, 64)])
@pytest.mark.parametrize("which", [0, 1])
def test_a_list_that_is_a_circle_is_refused_by_name(whole, tmp_path, circle, which):
    path = tmp_path / "c.h5"
    path.write_bytes(damaged(whole.read_bytes(), circle, which))
    for read in (read_cloud, open_file):
        with pytest.raises(ValueError, match="no end") as found:
            read(path)
        assert str(found.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"", b"\x89HDF", b"\x89HDF\r\n\x1a\n", b"HEAP\0\0\0\0", b"x" * 100])
def test_what_is_no_hdf5_is_left_to_the_library(tmp_path, content):
    path = tmp_path / "c.h5"
    path.write_bytes(content)
    check_heaps(path)
    with pytest.raises(ValueError, match="c.h5"):
        read_cloud(path)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="files of networks are alike on every backend")
def test_weights_with_such_a_heap_are_refused(tmp_path):
    from model_files import small

    from keras_wcd.models import CompletionModel
    from keras_wcd.predictors import load_model

    small().save_to_preset(tmp_path / "preset")
    weights = tmp_path / "preset" / "model.weights.h5"
    weights.write_bytes(damaged(weights.read_bytes(), (0,)))
    with pytest.raises(ValueError, match="model.weights.h5: damaged.*no end"):
        CompletionModel.from_preset(tmp_path / "preset")
    small().save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as old, zipfile.ZipFile(tmp_path / "a.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, damaged(content, (0,)) if name.endswith(".h5") else content)
    with pytest.raises(ValueError, match="a.keras: .*no end"):
        load_model(tmp_path / "a.keras")
    assert load_model(tmp_path / "whole.keras").count_params() == small().count_params()
