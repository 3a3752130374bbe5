"""Where made data is kept, and that what is kept is whole."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import platformdirs
import platformdirs.macos
import platformdirs.unix
import platformdirs.windows
import pytest

from keras_wcd.data import cache

PLATFORMS = {
    "linux": (platformdirs.unix.Unix, "home/.cache/keras-wcd"),
    "macos": (platformdirs.macos.MacOS, "home/Library/Caches/keras-wcd"),
    "windows": (platformdirs.windows.Windows, "local/keras-wcd/Cache"),
}


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_folder_is_where_the_platform_keeps_caches(tmp_path, monkeypatch, name):
    platform, expected = PLATFORMS[name]
    for variable in (cache.VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, folder in (("HOME", "home"), ("USERPROFILE", "home"), ("LOCALAPPDATA", "local")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setattr(platformdirs, "PlatformDirs", platform)
    windows = platformdirs.windows
    monkeypatch.setattr(windows, "get_win_folder", windows.get_win_folder_from_env_vars)  # Elsewhere there is no other.
    assert Path(str(cache.folder()).replace("\\", "/")) == tmp_path / expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the variable is Linux's")
def test_the_folder_for_caches_may_be_moved(tmp_path, monkeypatch):
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert cache.folder() == tmp_path / "elsewhere" / "keras-wcd"


def test_a_folder_that_is_given_comes_before_the_variable_and_that_before_the_platform(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "platform"))
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "variable"))
    assert cache.folder() == tmp_path / "variable"
    assert cache.folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache.folder("~/data") == tmp_path / "data"
    monkeypatch.setenv(cache.VARIABLE, "~/kept")
    assert cache.folder() == tmp_path / "kept"


def array_alone(whole):
    stream = io.BytesIO()
    np.save(stream, np.zeros((99, 3), np.float32))
    return stream.getvalue()


DAMAGES = {
    "cut short": lambda whole: whole[:-40],
    "empty": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "no archive": array_alone,
    "another byte": lambda whole: whole[:150] + b"?" + whole[151:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_kept_is_made_once_and_again_where_it_is_damaged(tmp_path, damage):
    made, path, shapes = [], tmp_path / "new" / "a.npz", {"x": (4, 3)}

    def make():
        made.append(np.arange(12, dtype=np.float32).reshape(4, 3))
        return (made[-1],)

    for times in (1, 1):
        np.testing.assert_array_equal(cache.cached(path, shapes, make)[0], made[0])
        assert len(made) == times
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(cache.cached(path, shapes, make)[0], made[0])
    assert len(made) == 2
    assert os.listdir(path.parent) == [path.name]


def test_where_nothing_can_be_kept_a_warning_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    values = np.zeros((2, 3), np.float32)
    with pytest.warns(UserWarning, match=cache.VARIABLE):
        found = cache.cached(tmp_path / "file" / "a.npz", {"x": (2, 3)}, lambda: (values,))
    assert found[0] is values
