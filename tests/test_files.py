"""Files and folders appear whole or not at all, and what cannot be written is said before."""

import os

import pytest

from keras_wcd.files import replacing, writable


def content(path):
    return {p.relative_to(path).as_posix(): p.read_text() for p in path.rglob("*") if p.is_file()}


def test_a_file_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with replacing(tmp_path / "a.txt") as new:
        assert new.suffix == ".txt"
        new.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert content(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize("before", [None, {}, {"old.txt": "old", "same.txt": "old"}])
def test_a_folder_takes_the_place_of_a_whole_folder(tmp_path, before):
    if before is not None:
        (tmp_path / "f").mkdir()
        for name, text in before.items():
            (tmp_path / "f" / name).write_text(text)
    with replacing(tmp_path / "f") as new:
        new.mkdir()
        (new / "same.txt").write_text("new")
    assert content(tmp_path) == {"f/same.txt": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def fails(path, kind):
    with replacing(path) as new:
        if kind == "folder":
            new.mkdir()
            (new / "half.txt").write_text("half")
        elif kind == "file":
            new.write_text("half")
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_a_failure_leaves_what_was_there(tmp_path, kind):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "old.txt").write_text("old")
    with pytest.raises(ZeroDivisionError):
        fails(tmp_path / "f", kind)
    assert content(tmp_path) == {"f/old.txt": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_rename_that_fails_brings_the_old_folder_back(tmp_path, monkeypatch):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "old.txt").write_text("old")
    rename, calls = os.rename, []

    def failing(old, new):
        calls.append(old)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "f") as new:
        new.mkdir()
    assert content(tmp_path) == {"f/old.txt": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_folder_never_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(OSError, match="."), replacing(tmp_path / "f") as new:
        new.mkdir()
    assert content(tmp_path) == {"f": "mine"}


@pytest.mark.parametrize(("name", "folder"), [("new.ply", False), ("old.ply", False), ("a/b/c", True), ("sub", True)])
def test_what_can_be_written_passes_and_nothing_is_left(tmp_path, name, folder):
    (tmp_path / "old.ply").write_text("old")
    (tmp_path / "sub").mkdir()
    assert writable(tmp_path / name, folder=folder) == tmp_path / name
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["old.ply", "sub"]


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("sub", False, "is a folder; give the name of a file"),
        ("none/new.ply", False, "folder that does not exist"),
        ("old.ply/new.ply", False, "folder that does not exist"),
        ("old.ply", True, "is a file; name a folder"),
        ("old.ply/sub/sub", True, "is a file; name a folder"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, name, folder, message):
    (tmp_path / "old.ply").write_text("old")
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match=message):
        writable(tmp_path / name, folder=folder)


@pytest.mark.parametrize("folder", [False, True])
def test_standard_output_is_no_file(folder):
    with pytest.raises(ValueError, match="standard output"):
        writable("-", folder=folder)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is read-only for the administrator")
@pytest.mark.parametrize("folder", [False, True])
def test_a_read_only_folder_is_named(tmp_path, folder):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="closed takes no new file"):
        writable(tmp_path / "closed" / "new", folder=folder)


@pytest.mark.parametrize("folder", [False, True])
def test_a_read_only_file_system_is_named(tmp_path, folder, monkeypatch):
    def refused(dir):
        raise OSError(30, os.strerror(30), dir)

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(PermissionError, match="takes no new file .Read-only file system."):
        writable(tmp_path / "new", folder=folder)
