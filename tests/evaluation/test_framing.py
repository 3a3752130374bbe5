"""A network sees scans in the frame that it was trained in; the scores are those of the data set's frame."""

import keras
import numpy as np
import published_trees as trees
import pytest
from backends import tensorflow_only
from scipy.spatial import cKDTree

from keras_wcd.data import KITTI, ShapeNet55, open_dataset
from keras_wcd.data.contract import BOX, SPHERE, PairDataset, Sample
from keras_wcd.evaluation import evaluate

SMALL = {"num_coarse": 16, "grid_size": 2, "latent": 16, "encoder": (8, 8, 16), "hidden": 16, "folding": 8}


class Shapes(PairDataset):
    """Ellipsoids anywhere and of any size, each with a part of its points as the scan."""

    splits, categories = ("test",), ("thing",)

    def __init__(self, frame=BOX, sizes=(1.0, 1.0, 1.0)):
        self.frame = frame
        rng = np.random.default_rng(3)
        self.samples = []
        for number, size in enumerate(sizes):
            sphere = rng.standard_normal((500, 3))
            cloud = sphere / np.linalg.norm(sphere, axis=1, keepdims=True) * rng.uniform(0.2, 0.5, 3)
            cloud = (size * (cloud + rng.uniform(-1, 1, 3))).astype("f4")
            self.samples.append(Sample(cloud[cloud[:, 0] > np.median(cloud[:, 0])], cloud, "thing", str(number)))

    def size(self, split):
        return len(self.samples)

    def load(self, split, index):
        return self.samples[index]


def seen_by(dataset, **options):
    """The scans that a network sees."""
    scans = []

    def network(batch):
        scans.extend(np.array(batch, np.float64))
        return batch

    found = evaluate(network, dataset, batch_size=2, metrics=("cd_l1",), progress=False, **options)
    return scans, found


def box(cloud):
    low, high = cloud.min(axis=0).astype("f8"), cloud.max(axis=0).astype("f8")
    return (low + high) / 2, np.linalg.norm(high - low)


def sphere(cloud):
    center = cloud.astype("f8").mean(axis=0)
    return center, np.linalg.norm(cloud - center, axis=1).max()


@pytest.mark.parametrize(("name", "rule"), [("box", box), ("sphere", sphere)])
def test_a_scan_is_moved_by_the_frame_of_its_own_shape(name, rule):
    data = Shapes("mine", sizes=(0.01, 1.0, 300.0))
    scans, found = seen_by(data, frame=name)
    for sample, scan in zip(data.samples, scans, strict=True):
        center, size = rule(sample.complete)
        expected = (sample.partial - center) / size
        assert cKDTree(expected).query(scan)[0].max() < 1e-6
        assert cKDTree(scan).query(expected)[0].max() < 1e-6
    assert found.settings["frame"] == name


@pytest.mark.parametrize("name", ["box", "sphere", "dataset"])
def test_scores_are_those_of_the_data_sets_frame(name):
    """The identity is the identity in every frame; a frame that was left would change the scores with the size."""
    data = Shapes("mine", sizes=(0.1, 1.0, 30.0))
    _, found = seen_by(data, frame=name)
    distances = [
        (cKDTree(s.partial).query(s.complete)[0].mean() + cKDTree(s.complete).query(s.partial)[0].mean()) * 500
        for s in data.samples
    ]
    np.testing.assert_allclose(found.values("cd_l1"), distances, rtol=1e-5, atol=1e-3)


def test_measured_points_are_kept_where_they_are():
    data = Shapes("mine", sizes=(20.0,))
    found = evaluate(lambda s: s[:, :1], data, metrics=("hausdorff",), keep_partial=True, frame="box", progress=False)
    scan, truth = data.samples[0].partial, data.samples[0].complete
    expected = cKDTree(scan).query(truth)[0].max()
    assert found.values("hausdorff")[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("network", "dataset", "choice", "seen"),
    [
        (None, SPHERE, "auto", SPHERE),
        (BOX, SPHERE, "auto", BOX),
        (SPHERE, SPHERE, "auto", SPHERE),
        (SPHERE, BOX, "auto", SPHERE),
        (BOX, SPHERE, "dataset", SPHERE),
        (None, SPHERE, "box", BOX),
        ("mine", "mine", "auto", "mine"),
    ],
)
def test_auto_is_the_frame_that_the_network_records(network, dataset, choice, seen):
    inputs = keras.Input((2048, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    if network is not None:
        model.frame = network
    found = evaluate(model, Shapes(dataset), frame=choice, metrics=("cd_l1",), progress=False)
    assert found.settings["frame"] == seen


def test_a_frame_that_nothing_can_be_moved_into_is_refused():
    inputs = keras.Input((2048, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.frame = "mine"
    with pytest.raises(ValueError, match="trained in the frame 'mine' and Shapes is in 'box'; frame=\"dataset\""):
        evaluate(model, Shapes(), progress=False)


def test_shapenet_55_is_in_the_unit_sphere_and_others_in_the_box(tmp_path):
    shapes = trees.synthetic(points=200)
    for name, builder in trees.BUILDERS.items():
        if not (tmp_path / builder.__name__).exists():
            builder(tmp_path / builder.__name__, shapes)
        data = open_dataset(name, tmp_path / builder.__name__)
        sample = data.load(data.evaluation_split, 0)
        if data.frame == SPHERE:
            center, radius = sphere(sample.complete)
            np.testing.assert_allclose([*center, radius], [0, 0, 0, 1], atol=1e-6)
        assert data.frame == {"ShapeNet55": SPHERE, "KITTI": "car"}.get(type(data).__name__, BOX)


def test_scans_without_a_truth_stay_in_the_published_frame(tmp_path):
    trees.kitti(tmp_path, trees.synthetic(points=200))
    data = KITTI(tmp_path)
    inputs = keras.Input((2048, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.frame = BOX
    found = evaluate(model, data, progress=False)
    np.testing.assert_allclose(found.values("fidelity"), 0, atol=1e-9)
    assert found.settings["frame"] == "car"
    with pytest.raises(ValueError, match="frame='box' is taken from the ground truth, which KITTI lacks"):
        evaluate(model, data, frame="box", progress=False)


@tensorflow_only
def test_the_frame_of_the_training_data_goes_with_the_network(tmp_path, monkeypatch):
    """From `fit` into the .keras file, the preset and the LiteRT file, which then see the data as in training."""
    from keras_wcd.export import to_tflite
    from keras_wcd.losses import CD
    from keras_wcd.models import PCN
    from keras_wcd.predictors import load_model
    from keras_wcd.training import fit

    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    trees.shapenet(tmp_path / "shapenet", trees.synthetic(points=200))
    data = ShapeNet55(tmp_path / "shapenet")
    model = PCN(**SMALL)
    assert model.frame is None
    fit(model, data, CD(), epochs=1, batch_size=4, output=tmp_path / "run", progress=False)
    assert model.frame == SPHERE
    trained = load_model(tmp_path / "run" / "last.keras")
    trained.save_to_preset(tmp_path / "preset")
    to_tflite(trained, tmp_path / "model.tflite")
    expected = None
    for path in ("run/last.keras", "preset", "model.tflite"):
        found = evaluate(tmp_path / path, data, metrics=("cd_l1",), progress=False)
        assert found.settings["frame"] == SPHERE
        expected = found.values("cd_l1") if expected is None else expected
        np.testing.assert_allclose(found.values("cd_l1"), expected, rtol=1e-4)


@tensorflow_only
def test_the_preset_that_ships_sees_shapes_of_diagonal_1(tmp_path):
    """As PCN's truth has it: the scores in the unit sphere are those in the box times the sphere's size."""
    from keras_wcd.data import Shapes8

    trees.shapenet(tmp_path, trees.synthetic(points=400))
    data = ShapeNet55(tmp_path)
    small = data.at("median")
    found = evaluate("default", small, metrics=("cd_l1",), progress=False)
    assert found.settings["frame"] == BOX
    there = evaluate("default", small, frame="dataset", metrics=("cd_l1",), progress=False)
    assert found.sample_mean("cd_l1") < 0.9 * there.sample_mean("cd_l1")
    own = evaluate("default", Shapes8(1, 1, 2, cache_dir=tmp_path / "cache"), metrics=("cd_l1",), progress=False)
    assert own.settings["frame"] == BOX
