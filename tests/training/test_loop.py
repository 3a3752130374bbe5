"""A short run on a few procedural shapes."""

import csv

import keras
import numpy as np
import pytest
from backends import tensorflow_only

pytestmark = tensorflow_only


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from keras_wcd.data import Shapes8

    return Shapes8(16, 8, 8, num_points=256, cache_dir=tmp_path_factory.mktemp("shapes"))


def tiny_pcn():
    from keras_wcd.models import PCN

    keras.utils.set_random_seed(0)
    return PCN(num_coarse=64, grid_size=2, latent=32, encoder=(16, 16, 32), hidden=32, folding=16)


def test_lowers_the_loss_and_leaves_its_files(data, tmp_path):
    from keras_wcd.losses import LandauCD
    from keras_wcd.training import fit

    fitted = fit(tiny_pcn(), data, LandauCD(), epochs=4, batch_size=4, output=tmp_path / "run", progress=False)
    assert fitted.history["loss"][-1] < fitted.history["loss"][0]
    assert fitted.best == min(fitted.history["val_cd_l1"])
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["best.keras", "last.keras", "log.csv"]
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [float(row["val_cd_l1"]) for row in rows] == pytest.approx(fitted.history["val_cd_l1"])
    last = keras.saving.load_model(tmp_path / "run" / "last.keras")
    partial, _ = data.arrays("test")
    np.testing.assert_allclose(
        last.predict(partial, verbose=0), fitted.model.predict(partial, verbose=0), rtol=1e-5, atol=1e-6
    )


def test_the_same_seed_gives_the_same_run(data):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    runs = [fit(tiny_pcn(), data, CD(), epochs=1, batch_size=4, progress=False).history["loss"] for _ in range(2)]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-4)


def test_stops_at_a_loss_that_is_not_finite(data):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    model = tiny_pcn()
    model.get_layer("fine_3").bias.assign([np.nan] * 3)
    with pytest.raises(ValueError, match="the loss was nan at step 1: lower the learning rate"):
        fit(model, data, CD(), epochs=1, batch_size=4, progress=False)


@pytest.mark.parametrize("argument", ["epochs", "batch_size"])
def test_counts_below_one_are_named(data, argument):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got 0"):
        fit(tiny_pcn(), data, CD(), **{argument: 0})
