"""What the results in a folder were made with: a small file beside them, asked before results are taken for done."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_wcd.files import read_json, replacing

NAME = ".keras-wcd.json"
"""The record's file in a folder of results."""
UNKNOWN = "unknown"
"""In the place of settings that nothing says."""
MOST = 300
"""Characters of what tells settings apart; a damaged file may hold anything."""
SECONDS = 5.0
"""How often the record is written while results are made."""


class Record:
    """Results by name, and the settings that each was made with.

    A result that the record does not know was made by something else, and is nobody's to judge.
    """

    def __init__(self, folder: str | os.PathLike):
        """Read the record of `folder`, an empty one where there is none.

        Raises:
            ValueError: where the record's file is damaged.
        """
        self.folder, self.path = Path(folder), Path(folder) / NAME
        self.made_with: dict[str, dict[str, Any]] = {}
        self.results: dict[str, str] = {}
        self.written = time.monotonic()
        if not self.path.exists():
            return
        try:
            found = read_json(self.path)
            self.made_with, self.results = dict(found["made_with"]), dict(found["results"])
            sound = all(isinstance(made, dict) for made in self.made_with.values())
            if not (sound and all(isinstance(key, str) for key in self.results.values())):
                raise ValueError("it holds something else")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path}: the record of the results beside it is damaged; remove it") from error

    def begin(self, there: Iterable[Path], settings: dict[str, Any], overwrite: bool) -> None:
        """Begin a run that makes results with these settings.

        Args:
            there: Results that exist already.
            settings: Anything that JSON or `str` keeps, by name.
            overwrite: Whether they are made again. Until they are, those that the record does not know count as old.

        Raises:
            ValueError: where one was made with other settings, and is not to be made again.
        """
        key = _key(settings)
        if overwrite:
            for result in there:
                self.results.setdefault(self._name(result), UNKNOWN)
            self.write()
            return
        found = [self.results[self._name(result)] for result in there if self._name(result) in self.results]
        others = [made for made in found if made != key]
        if others:
            changes = difference(self.made_with.get(others[0]), settings)
            raise ValueError(
                f"{self.folder}: {len(others)} of the results there were made otherwise ({changes}); --overwrite "
                "(overwrite=True) makes them again, another folder keeps them"
            )

    def add(self, result: Path, settings: dict[str, Any]) -> None:
        """Say that a result was made with these settings; it is written now and then, and by `write`."""
        key = _key(settings)
        self.made_with[key], self.results[self._name(result)] = _plain(settings), key
        if time.monotonic() - self.written > SECONDS:
            self.write()

    def write(self) -> None:
        """Write the record, whole; none where there is nothing to say."""
        self.written = time.monotonic()
        if not self.results:
            return
        used = set(self.results.values())
        made_with = {key: made for key, made in self.made_with.items() if key in used}
        text = json.dumps({"format": 1, "made_with": made_with, "results": self.results}, indent=1)
        with replacing(self.path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def _name(self, result: Path) -> str:
        return result.relative_to(self.folder).as_posix()


def difference(old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    """What tells two settings apart, in words: `normalize was 'partial' and is None`."""
    if old is None:
        return "nothing says how: a run that made them again was interrupted"
    new = _plain(new)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    words = [f"{name} was {old.get(name)!r} and is {new.get(name)!r}" for name in changed if name != "model"]
    found = ", ".join([*words, *(["by another model"] if "model" in changed else [])])
    return found if len(found) <= MOST else f"{found[:MOST]} ..."


def digest(content: Iterable[bytes]) -> str:
    """A short name for some bytes."""
    found = hashlib.sha256()
    for part in content:
        found.update(part)
    return found.hexdigest()[:16]


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(settings, default=str, sort_keys=True))


def _key(settings: dict[str, Any]) -> str:
    return digest([json.dumps(settings, default=str, sort_keys=True).encode()])
