"""The page of `export/web/` as a folder of files that any web server can hand out."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_wcd.export.quiet import quiet
from keras_wcd.export.runtime import Model, read_metadata, selftest
from keras_wcd.files import replacing

SOURCES = Path(__file__).parent / "web"
"""The page as it is written; npm's packages and the model are not in it."""
INSTALL = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
PATIENCE = 600
"""Seconds that npm gets."""


def build_page(cache: str | os.PathLike, say: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of the built page, made in `cache` at its first use and after every change of its sources.

    Args:
        cache: Folder for what can be made again.
        say: Where a line goes before npm fetches its packages (some 30 MB).

    Raises:
        ValueError: where npm is missing, or cannot fetch or build.
    """
    page = Path(cache) / f"page-{_digest(SOURCES)}"
    if (page / "index.html").is_file():
        return page
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError("npm is missing, which fetches what the page is made of; install Node.js (18 or later)")
    say("Fetching the page's packages with npm, once")
    page.parent.mkdir(parents=True, exist_ok=True)
    # Beside the result, so that it is moved and not copied; npm's packages go when it is done.
    with tempfile.TemporaryDirectory(dir=page.parent, prefix="npm-") as folder:
        work = Path(folder) / "web"
        shutil.copytree(SOURCES, work, ignore=shutil.ignore_patterns("node_modules", "dist"))
        _run(
            [npm, *INSTALL],
            work,
            "fetch the page's packages; go online for the first start, later ones need no network",
        )
        _run([npm, "run", "--silent", "build"], work, "build the page")
        with replacing(page) as new:
            os.replace(work / "dist", new)
    return page


def write_model(tflite_path: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Write `model.tflite` and `model.json`, what the page reads of a network, to `folder`.

    The second holds the file's own record and a test: a cloud and the answer of LiteRT on this machine to it. The page
    refuses to complete scans where its browser answers otherwise.

    Raises:
        ValueError: where the file is missing, damaged or without metadata, or does not compute here what it should.
    """
    with quiet():
        record, model = read_metadata(tflite_path), Model(tflite_path, threads=1)
        # Files of earlier versions hold none.
        if "proof" in record:
            selftest(tflite_path, threads=1)
    cloud = _test_cloud(model.points_in)
    record["test"] = {"input": _packed(cloud), "answer": _packed(model(cloud))}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "model.tflite") as new:
        shutil.copyfile(tflite_path, new)
    with replacing(folder / "model.json") as new:
        new.write_text(json.dumps(record), encoding="utf-8")
    return folder


def write_site(page: str | os.PathLike, model: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Copy a built page and a model's two files into `folder`, ready for a web server.

    Raises:
        ValueError: where `folder` holds files already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder; give a new one")
    with replacing(folder) as new:
        shutil.copytree(page, new)
        for name in ("model.tflite", "model.json"):
            shutil.copyfile(Path(model) / name, new / name)
    return folder


def _test_cloud(size: int) -> np.ndarray:
    """Points `(size, 3)` on three faces of a box, as a scanner sees it, in the network's frame."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (size, 3))
    points[np.arange(size), rng.integers(0, 3, size)] = 0.5
    points *= [0.8, 0.4, 0.45]
    return points.astype(np.float32)


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and inside.parts[0] not in ("node_modules", "dist"):
            found.update(str(inside.as_posix()).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _run(command: list[str], folder: Path, what: str) -> None:
    """Run a command of npm; its last words are the error where it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"npm cannot {what}: {error}") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        why = next((line for line in lines if " code " not in line), "it says nothing")[:200]
        raise ValueError(f"npm cannot {what} ({why})")
