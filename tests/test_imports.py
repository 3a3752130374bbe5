"""What importing the library takes."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_wcd
from keras_wcd.losses import LOSSES

pytestmark = pytest.mark.backend


def run_blocked(code, blocked, **environment):
    """Run code in a process of its own where some packages do not exist."""
    program = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); " + code
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", program]
    # Away from the checkout, whose folders would be found before the installed package.
    elsewhere = os.path.dirname(sys.executable)
    return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)


def packages():
    """Every package of the library."""
    yield keras_wcd.__name__
    yield from (found.name for found in pkgutil.walk_packages(keras_wcd.__path__, "keras_wcd.") if found.ispkg)
    for mapped in ("keras_wcd.models", "keras_wcd.export"):
        path = importlib.import_module(mapped).__path__
        yield mapped
        yield from (found.name for found in pkgutil.walk_packages(path, f"{mapped}.") if found.ispkg)


PACKAGES = sorted(set(packages()))
LAZY = [name for name in PACKAGES if Path(importlib.import_module(name).__file__).with_suffix(".pyi").is_file()]


def promised(package):
    """The names in a package's stub, read without the library that reads it."""
    text = Path(importlib.import_module(package).__file__).with_suffix(".pyi").read_text()
    names = re.findall(r"^from \S+ import (\w+) as \1$", text, re.MULTILINE)
    stars = re.findall(r"^from \.(\S+) import \*(?:  # noqa: F403)?$", text, re.MULTILINE)
    assert len(names) + len(stars) == len(re.findall("import", text)) > 0
    for star in stars:
        names += [name for name in vars(importlib.import_module(f"{package}.{star}")) if not name.startswith("_")]
    return names


def test_every_loss_is_at_the_top():
    for loss in LOSSES.values():
        assert getattr(keras_wcd, loss.__name__) is loss


def test_the_packages_with_many_names_are_lazy():
    lazy = {"keras_wcd", "keras_wcd.data", "keras_wcd.evaluation", "keras_wcd.export", "keras_wcd.ops"}
    assert lazy | {"keras_wcd.training"} <= set(LAZY)


@pytest.mark.parametrize("package", LAZY)
def test_every_name_of_a_stub_is_there_and_no_other(package):
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(promised(package))
    assert set(dir(module)) >= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="LorentzCD"):
        module.LorentzCD  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_that_of_a_file_too(package):
    # Importing the file would put it in the place of what bears its name.
    module = importlib.import_module(package)
    files = {found.name for found in pkgutil.iter_modules(module.__path__)}
    names = promised(package) if package in LAZY else vars(module)
    for name in files & set(names):
        assert getattr(module, name) is importlib.import_module(f"{package}.{name}"), name


@pytest.mark.parametrize("name", ["evaluation", "complete", "predictors", "frames", "visual", "parallel", "models"])
def test_every_part_is_an_attribute_of_the_library(name):
    done = run_blocked(f"import keras_wcd; assert keras_wcd.{name}.__name__ == 'keras_wcd.{name}'", [])
    assert done.returncode == 0, done.stderr[-2000:]


def test_jax_alone_is_enough_for_losses_and_networks():
    pytest.importorskip("jax")
    code = (
        "import numpy as np; import keras_wcd, keras_wcd.models; from keras_wcd.metrics import CDL1; "
        "x = np.random.rand(2, 32, 3).astype('float32'); "
        "model = keras_wcd.models.PCN(num_coarse=8, grid_size=2, latent=8, encoder=(8, 8, 8), hidden=8, folding=8); "
        "model.compile('sgd', loss=keras_wcd.LandauCD(), metrics=[CDL1()]); model.fit(x, x, verbose=0)"
    )
    done = run_blocked(code, ["tensorflow", "torch"], KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-2000:]


LIGHT = ("", ".cli", ".complete", ".data", ".evaluation", ".export", ".export.runtime", ".frames", ".ops", ".parallel")
LIGHT += (".predictors", ".training", ".types", ".visual")


@pytest.mark.parametrize("module", [f"keras_wcd{part}" for part in LIGHT])
def test_no_framework_is_loaded_before_it_is_used(module):
    done = run_blocked(f"import {module}", ["tensorflow", "jax", "torch", "keras"])
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_version_is_that_of_the_package():
    assert importlib.import_module("importlib.metadata").version("keras-wcd") == keras_wcd.__version__
