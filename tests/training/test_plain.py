"""A short run on a few procedural shapes."""

import csv
import os
import warnings

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
    fitted.model.export(tmp_path / "exported", verbose=False)
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


@pytest.mark.parametrize(
    ("argument", "value"),
    [("epochs", 0), ("epochs", -3), ("epochs", 1.5), ("epochs", float("nan")), ("batch_size", 0), ("batch_size", 2.5)],
)
def test_counts_below_one_or_broken_are_named(argument, value):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    with pytest.raises(ValueError, match=f"{argument} must be at least 1 and whole, got {value}"):
        fit(None, None, CD(), **{argument: value})


@pytest.mark.parametrize("rate", [0, -1, -1e-9, float("nan"), float("inf")])
def test_a_learning_rate_that_is_none_is_named(rate):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    with pytest.raises(ValueError, match=f"learning_rate must be a finite number above 0, got {rate}"):
        fit(None, None, CD(), learning_rate=rate)


@pytest.mark.parametrize("name", ["log.csv", "best.keras", "last.keras"])
def test_an_earlier_run_is_left_as_it_is(name, tmp_path):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    (tmp_path / name).write_text("results of weeks")
    with pytest.raises(ValueError, match=f"holds the {name} of an earlier run; name another folder, or overwrite"):
        fit(None, None, CD(), output=tmp_path)
    assert (tmp_path / name).read_text() == "results of weeks"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_earlier_run_is_overwritten_whole_where_that_is_asked_for(data, tmp_path):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    for name in ("log.csv", "best.keras", "last.keras", "notes.txt"):
        (tmp_path / name).write_text("earlier")
    keep = keras.callbacks.LambdaCallback()
    arguments = {"epochs": 1, "batch_size": 8, "output": tmp_path, "progress": False}
    fit(tiny_pcn(), data, CD(), checkpoint=keep, overwrite=True, **arguments)
    # With a checkpoint of one's own the earlier best network would stand beside a log that is not its own.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.keras", "log.csv", "notes.txt"]
    assert len(list(csv.DictReader((tmp_path / "log.csv").open()))) == 1


@pytest.mark.skipif(os.name == "nt", reason="folders are written to by other rules")
def test_a_folder_that_takes_no_file_is_named_before_the_work(tmp_path):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match="file; name a folder"):
            fit(None, None, CD(), output=output)
    with pytest.raises(PermissionError, match="takes no new file"):
        fit(None, None, CD(), output="/proc/run")


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(7.0, momentum=0.3),
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(7.0, 10, 0.5), momentum=0.3),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(7.0, momentum=0.3), initial_scale=4.0),
    ],
    ids=["a rate", "a schedule", "one around another"],
)
def test_an_optimizer_of_ones_own_follows_the_schedule(data, optimizer):
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    rates = []
    arguments = {"epochs": 10, "batch_size": 4, "learning_rate": 0.02, "progress": False}
    fitted = fit(tiny_pcn(), data, CD(), optimizer=optimizer, checkpoint=Rates(), **arguments)
    used = fitted.model.optimizer
    assert type(used) is type(optimizer)
    assert getattr(used, "inner_optimizer", used).momentum == 0.3
    if "inner_optimizer" in used.get_config():
        assert used.initial_scale == 4.0
    # Two steps up of the forty, then half a cosine down to a hundredth.
    down = [0.02 * (0.01 + 0.99 * (1 + np.cos(np.pi * step / 38)) / 2) for step in range(39)]
    np.testing.assert_allclose(rates, [0.01, *down], rtol=1e-4)


def test_pairs_are_augmented_where_that_is_asked_for(data):
    from keras_wcd.data import Augment
    from keras_wcd.losses import CD
    from keras_wcd.training import fit

    first = [
        fit(tiny_pcn(), data, CD(), epochs=1, batch_size=16, augment=augment, progress=False).history["loss"][0]
        for augment in (None, Augment(scale=(3.0, 3.0)))
    ]
    # An untrained network answers about the origin: the loss grows with the shapes.
    assert first[1] > 1.3 * first[0]


def scaled(dataset, factor):
    """The same data set in other units."""

    class Scaled(type(dataset)):
        def __init__(self):
            self.__dict__.update(dataset.__dict__)

        def load(self, split, index):
            sample = super().load(split, index)
            return sample._replace(partial=sample.partial * factor, complete=sample.complete * factor)

        def arrays(self, split):
            return tuple(clouds * np.float32(factor) for clouds in super().arrays(split))

    return Scaled()


class Ended(Exception):
    """Instead of the first step."""


class Nothing:
    """A network that takes no step."""

    def compile(self, *args, **kwargs):
        pass

    def make_train_function(self):
        raise Ended


@pytest.mark.parametrize("factor", [1000.0, 6.0, 0.15])
def test_shapes_in_other_units_are_told_of_once(data, factor):
    from keras_wcd.losses import LandauCD
    from keras_wcd.training import fit

    first = data.arrays("train")[1][:4]
    diagonal = factor * np.median(np.linalg.norm(first.max(axis=1) - first.min(axis=1), axis=1))
    with pytest.warns(UserWarning, match="bounding boxes of diagonal") as told, pytest.raises(Ended):
        fit(Nothing(), scaled(data, factor), LandauCD(), epochs=2, batch_size=4, progress=False)
    about = [str(one.message) for one in told if "bounding boxes of diagonal" in str(one.message)]
    assert len(about) == 1
    assert f"diagonal {diagonal:.3g}, and landau_cd is made for about 1" in about[0]
    assert f"scale={diagonal:.3g}" in about[0]
    assert told[0].filename == __file__


@pytest.mark.parametrize(("factor", "scale"), [(1.0, 1.0), (3.4, 1.0), (0.25, 1.0), (1000.0, 1000.0), (1000.0, 400.0)])
def test_shapes_of_the_size_that_the_loss_is_made_for_pass_silently(data, factor, scale):
    from keras_wcd.losses import LandauCD
    from keras_wcd.training import fit

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*bounding boxes of diagonal.*")
        with pytest.raises(Ended):
            fit(Nothing(), scaled(data, factor), LandauCD(scale=scale), epochs=1, batch_size=16, progress=False)
