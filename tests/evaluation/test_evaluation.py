"""Evaluation against an independent float64 computation, its tables, its files and what it refuses."""

import csv
import json
import math
import pathlib

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from loss_oracles import ONE_WAY, value
from scipy.spatial import cKDTree

from keras_wcd.data.contract import PairDataset, Sample
from keras_wcd.evaluation import PAPER_ROWS, evaluate, paper_rows, paper_table, published
from keras_wcd.evaluation.baselines import BASELINES
from keras_wcd.frames import resample

ROOT = pathlib.Path(__file__).parent.parent.parent
REAL = ROOT.parent / "shared" / "data" / "real8_val.npz"
EIGHT = ("airplane", "cabinet", "car", "chair", "lamp", "sofa", "table", "watercraft")


class Clouds(PairDataset):
    """Random pairs of uneven categories; scans of uneven sizes."""

    splits = ("test",)

    def __init__(self, categories=EIGHT, count=19, points=300):
        self.categories = categories
        rng = np.random.default_rng(0)
        self.samples = []
        for i in range(count):
            complete = 0.1 * rng.normal(size=(points, 3)).astype("float32")
            partial = complete[: 60 + 7 * i] + np.float32(0.002)
            category = categories[(i * (i + 1) // 2) % len(categories)]
            self.samples.append(Sample(partial, complete, category, f"{category}/{i}"))

    def size(self, split):
        return len(self.samples)

    def load(self, split, index):
        return self.samples[index]


class Levels(Clouds):
    """Pairs whose scans are cut at three difficulties."""

    def __init__(self, difficulty="median", **arguments):
        super().__init__(**arguments)
        self.difficulty, self.arguments = difficulty, arguments

    def at(self, difficulty):
        return Levels(difficulty, **self.arguments)

    def load(self, split, index):
        sample = self.samples[index]
        left = {"easy": 60, "median": 40, "hard": 20}[self.difficulty]
        return sample._replace(partial=sample.partial[:left], name=f"{sample.name}/{self.difficulty}")


class Sweeps(Clouds):
    """Cars without ground truth: two tracked, of which one is missing from a sweep, one alone."""

    sweeps = (0, 0, 1, 1, 3, 4, 5)

    def __init__(self):
        super().__init__(("car",), len(self.sweeps))
        self.samples = [sample._replace(complete=None) for sample in self.samples]

    def sweep(self, index):
        return self.sweeps[index]

    def tracklets(self):
        return {"tracklet_0": (0, 2, 4, 5), "tracklet_1": (1, 3)}


def network(scans):
    """Half as many points as it sees, moved so that no two of them coincide."""
    points = scans[:, ::2] * 1.01
    return (points + 1e-4 * np.sin(np.arange(points.shape[1])[:, None] * [1, 2, 3])).astype("float32")


def answer(sample, index):
    return network(resample(sample.partial, 2048)[None])[0].astype("float64")


def nearest(x, y):
    return cKDTree(np.asarray(y, np.float64)).query(np.asarray(x, np.float64))[0]


def squares(x, y):
    return 1000 * ((nearest(x, y) ** 2).mean() + (nearest(y, x) ** 2).mean())


def f_score(true, pred):
    precision, recall = ((d < 0.01).mean() for d in (nearest(pred, true), nearest(true, pred)))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


ORACLES = {
    "cd_l1": lambda true, pred: 500 * (nearest(true, pred).mean() + nearest(pred, true).mean()),
    "cd_l2": squares,
    "f_score": f_score,
    "dcd": lambda true, pred: value(ONE_WAY["dcd"], true, pred),
    "hausdorff": lambda true, pred: max(nearest(true, pred).max(), nearest(pred, true).max()),
}


def test_every_figure_and_mean_is_that_of_an_independent_float64_computation():
    data = Clouds()
    found = evaluate(network, data, batch_size=4, metrics=tuple(ORACLES), progress=False)
    for name, oracle in ORACLES.items():
        expected = np.array([oracle(s.complete, answer(s, i)) for i, s in enumerate(data.samples)])
        np.testing.assert_allclose(found.values(name), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.sample_mean(name), expected.mean(), rtol=1e-9)
        labels = np.array([s.category for s in data.samples])
        means = {c: expected[labels == c].mean() for c in EIGHT if c in labels}
        assert found.per_category(name) == pytest.approx(means, rel=1e-9)
        assert found.class_mean(name) == pytest.approx(np.mean(list(means.values())), rel=1e-9)
    assert found.class_mean("cd_l1") != pytest.approx(found.sample_mean("cd_l1"), rel=1e-6)


def test_emd_is_the_exact_assignment():
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    data = Clouds(count=3, points=1024)
    found = evaluate(network, data, metrics=("emd",), progress=False)
    for i, sample in enumerate(data.samples):
        cost = cdist(answer(sample, i), sample.complete)
        np.testing.assert_allclose(found.values("emd")[i], cost[linear_sum_assignment(cost)].mean(), rtol=1e-9)


def test_the_figures_do_not_depend_on_the_batch():
    one, many = (evaluate(network, Clouds(), batch_size=size, progress=False).samples for size in (1, 7))
    assert one == many


def test_the_measured_points_may_be_kept():
    data = Clouds(count=5)
    found = evaluate(network, data, keep_partial=True, progress=False)
    for i, sample in enumerate(data.samples):
        merged = np.concatenate([sample.partial, answer(sample, i)])
        np.testing.assert_allclose(found.values("cd_l1")[i], ORACLES["cd_l1"](sample.complete, merged), rtol=1e-9)


@pytest.mark.parametrize("count", [1, 59, 60, 61, 120, 401])
@pytest.mark.parametrize("name", sorted(BASELINES))
def test_baselines_have_as_many_points_as_the_network(name, count):
    partial = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
    points = BASELINES[name](partial, count)
    assert points.shape == (count, 3)
    both = np.concatenate([partial, partial * np.float32([1, 1, -1])])
    assert nearest(points, both).max() == 0
    if name == "scan":
        assert nearest(points, partial).max() == 0


def test_baselines_are_measured_on_the_same_samples():
    data = Clouds()
    found = evaluate(network, data, baselines=True, progress=False)
    assert [b.model for b in found.baselines] == list(BASELINES)
    for baseline, complete in zip(found.baselines, BASELINES.values(), strict=True):
        expected = [ORACLES["cd_l1"](s.complete, complete(s.partial, 1024)) for s in data.samples]
        np.testing.assert_allclose(baseline.values("cd_l1"), expected, rtol=1e-9)
    assert "scan + mirror image" in found.table()


def test_the_mirror_image_halves_what_a_symmetric_shape_lacks():
    rng = np.random.default_rng(0)
    half = rng.uniform([-1, -1, 0], 1, size=(400, 3)).astype("float32")
    complete = np.concatenate([half, half * np.float32([1, 1, -1])])
    near = {name: nearest(complete, function(half, 800)).max() for name, function in BASELINES.items()}
    assert near["scan + mirror image"] == 0
    assert near["scan"] > 0.5


def test_the_table_has_the_columns_of_table_1():
    table = evaluate(network, Clouds(EIGHT[::-1]), progress=False).table()
    header = table.splitlines()[0].split()
    assert header[3:] == ["Average", "Plane", "Cabinet", "Car", "Chair", "Lamp", "Couch", "Table", "Boat", "Samples"]
    assert [block.split("  ")[0] for block in table.split("\n\n")] == ["CD-L1 x 1000", "CD-L2 x 1000", "F-score @ 1 %"]


def test_every_difficulty_is_measured():
    data = Levels(count=6)
    found = evaluate(network, data, baselines=True, progress=False)
    assert found.groups == ("easy", "median", "hard")
    assert len(found.samples) == 18
    for level in found.groups:
        samples = [data.at(level).load("test", i) for i in range(6)]
        expected = np.mean([squares(s.complete, answer(s, i)) for i, s in enumerate(samples)])
        np.testing.assert_allclose(found.sample_mean("cd_l2", group=level), expected, rtol=1e-9)
    levels = [found.class_mean("cd_l2", group=level) for level in found.groups]
    np.testing.assert_allclose(found.class_mean("cd_l2"), np.mean(levels), rtol=1e-12)
    assert found.table().split()[3:7] == ["Easy", "Median", "Hard", "Mean"]


def test_scans_without_truth_are_measured_by_fidelity_matching_distance_and_consistency():
    data = Sweeps()
    cars = [Clouds(count=3).samples[i].complete for i in range(3)]
    found = evaluate(network, data, reference_cars=cars, batch_size=2, progress=False)
    clouds = [answer(s, i) for i, s in enumerate(data.samples)]
    expected = 1000 * np.mean([(nearest(s.partial, c) ** 2).mean() for s, c in zip(data.samples, clouds, strict=True)])
    np.testing.assert_allclose(found.sample_mean("fidelity"), expected, rtol=1e-9)
    expected = np.mean([min(squares(cloud, car) for car in cars) for cloud in clouds])
    np.testing.assert_allclose(found.sample_mean("mmd"), expected, rtol=1e-9)
    # The first car is not seen in sweep 2: 1 and 3 are no neighbors.
    tracks = [[(0, 2), (4, 5)], [(1, 3)]]
    expected = np.mean([np.mean([squares(clouds[a], clouds[b]) for a, b in track]) for track in tracks])
    np.testing.assert_allclose(found.group_mean("consistency"), expected, rtol=1e-9)
    assert len(found.samples) == len(data.sweeps)
    assert f"{expected:.3f}" in found.table().splitlines()[1].split()
    assert "MMD" not in evaluate(network, data, progress=False).table()


def test_keras_models_of_any_kind_are_measured():
    inputs = keras.Input((2048, 3))
    data = Clouds(count=5)
    for outputs in (keras.layers.Identity()(inputs), [inputs[:, :5], keras.layers.Identity()(inputs)]):
        found = evaluate(keras.Model(inputs, outputs), data, batch_size=3, progress=False)
        scans = [resample(s.partial, 2048) for s in data.samples]
        expected = [ORACLES["cd_l1"](s.complete, scan) for s, scan in zip(data.samples, scans, strict=True)]
        np.testing.assert_allclose(found.values("cd_l1"), expected, rtol=1e-9)


@tensorflow_only
def test_a_network_and_its_litert_file_score_alike(tmp_path):
    from keras_wcd.export import to_tflite
    from keras_wcd.models import PCN

    model = PCN(num_coarse=16, grid_size=2, latent=16, encoder=(8, 8, 16), hidden=16, folding=8)
    path = to_tflite(model, tmp_path / "small.tflite")
    data = Clouds(count=5)
    network, file = (evaluate(kind, data, batch_size=2, progress=False) for kind in (model, path))
    assert file.model == "small"
    np.testing.assert_allclose(file.values("cd_l1"), network.values("cd_l1"), rtol=1e-4)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_files_hold_what_was_measured(tmp_path):
    found = evaluate(network, Clouds(), baselines=True, output=tmp_path / "eval", progress=False)
    names = {"samples.csv", "table.csv", "evaluation.json", "worst.png", "median.png"}
    assert {path.name for path in (tmp_path / "eval").iterdir()} == names
    rows = read(tmp_path / "eval" / "samples.csv")
    assert [row["name"] for row in rows] == [sample.name for sample in found.samples]
    assert [float(row["cd_l1"]) for row in rows] == list(found.values("cd_l1"))
    table = read(tmp_path / "eval" / "table.csv")
    assert len(table) == 9
    assert float(table[0]["average"]) == found.class_mean("cd_l1")
    assert float(table[0]["Boat"]) == found.per_category("cd_l1")["watercraft"]
    summary = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    assert summary["figures"]["cd_l2"]["sample_mean"] == found.sample_mean("cd_l2")
    assert [b["model"] for b in summary["baselines"]] == list(BASELINES)
    worst = summary["cases"]["worst"]
    assert worst[0] == max(found.samples, key=lambda s: s.scores["cd_l1"]).name
    ordered = sorted(found.samples, key=lambda s: s.scores["cd_l1"])
    assert ordered[len(ordered) // 2].name in summary["cases"]["median"]
    for name in ("worst.png", "median.png"):
        assert (tmp_path / "eval" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("data", [Levels(count=4), Sweeps()], ids=["difficulties", "sweeps"])
def test_files_are_written_for_every_kind_of_data(data, tmp_path):
    found = evaluate(network, data, output=tmp_path / "eval", progress=False)
    rows = read(tmp_path / "eval" / "samples.csv")
    assert [row["group"] for row in rows] == [sample.group for sample in found.samples]
    assert read(tmp_path / "eval" / "table.csv")
    summary = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    if data.categories == EIGHT:
        assert summary["groups"]["hard"]["cd_l2"]["sample_mean"] == found.sample_mean("cd_l2", group="hard")


def test_the_worst_f_score_is_the_smallest(tmp_path):
    found = evaluate(network, Clouds(), metrics=("f_score",), progress=False)
    values = found.values("f_score")
    assert values[found.ranking("f_score")[0]] == values.min()


def test_answers_that_are_not_finite_are_counted_and_come_first(tmp_path):
    def failing(scans):
        clouds = network(scans)
        clouds[scans[:, :, 0].max(axis=1) == biggest] = np.nan
        return clouds

    data = Clouds()
    biggest = max(sample.partial[:, 0].max() for sample in data.samples)
    hit = [i for i, s in enumerate(data.samples) if s.partial[:, 0].max() == biggest]
    found = evaluate(failing, data, output=tmp_path / "eval", progress=False)
    assert found.not_finite == len(hit)
    assert set(found.ranking("cd_l1")[: len(hit)]) == set(hit)
    assert math.isnan(found.sample_mean("cd_l1"))
    assert f"{len(hit)} of 19 answers are not finite" in found.table()
    summary = (tmp_path / "eval" / "evaluation.json").read_text()
    assert "NaN" not in summary
    assert json.loads(summary)["figures"]["cd_l1"]["sample_mean"] is None


@pytest.mark.parametrize("moment", ["measuring", "drawing"])
def test_an_interruption_leaves_nothing_behind(moment, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    folder = tmp_path / "eval"
    evaluate(network, Clouds(), output=folder, progress=False)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if moment == "drawing":
        monkeypatch.setattr("keras_wcd.evaluation.output.clouds_png", interrupted)
    model = interrupted if moment == "measuring" else lambda scans: 2 * scans
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, Clouds(), output=folder, overwrite=True, progress=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_interruption_while_writing_replaces_no_file(tmp_path, monkeypatch):
    folder = tmp_path / "eval"
    evaluate(network, Clouds(), output=folder, progress=False)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write, calls = pathlib.Path.write_bytes, []

    def failing(path, content):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(path, content)

    monkeypatch.setattr(pathlib.Path, "write_bytes", failing)
    with pytest.raises(KeyboardInterrupt):
        evaluate(lambda scans: 2 * scans, Clouds(), output=folder, overwrite=True, progress=False)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


MISTAKES = {
    "metric": ({"metrics": ("cd_l1", "psnr")}, "metrics must be names of"),
    "misspelled metric": ({"metrics": ("cd_l1", "fscore")}, "did you mean f_score"),
    "frame": ({"frame": "boxes"}, "frame must be one of .*did you mean box"),
    "no data set": ({"dataset": [1, 2]}, "dataset must be a data set of keras_wcd.data .*got list"),
    "no metric": ({"metrics": ()}, "metrics must be names of"),
    "batch": ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    "output": ({"output": __file__}, "is a file; name a folder"),
    "model": ({"model": 3}, "model must be a keras.Model, a function or the path of a model, got int"),
    "path": ({"model": __file__}, "not a model that Keras can read"),
    "answer": ({"model": lambda scans: scans[:, :, :2]}, "model must answer scans"),
    "one cloud": ({"model": lambda scans: scans[0]}, "model must answer scans"),
    "empty": ({"dataset": Clouds(count=0)}, "is empty; there is nothing to measure"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake):
    changed, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message):
        evaluate(**{"model": network, "dataset": Clouds(), "progress": False, **changed})


def test_the_published_rows_ship_as_the_csv_of_the_docs():
    assert (ROOT / "docs" / "paper_table1.csv").read_text() == published.to_csv()


@pytest.mark.parametrize("row", PAPER_ROWS, ids=lambda row: row.backbone)
def test_a_published_row_is_whole_sourced_and_consistent(row):
    from keras_wcd.models import BACKBONES

    assert row.backbone in BACKBONES
    assert len(row.figures) == 8
    assert row.source
    assert (abs(np.mean(row.figures) - row.average) < 0.01) != ("misprinted" in row.remark)


def test_published_rows_are_those_of_the_network_or_all():
    assert [row.method for row in paper_rows("seedformer")] == ["SeedFormer"]
    assert paper_rows("pointattn") == paper_rows() == PAPER_ROWS
    found = evaluate(network, Clouds(), baselines=True, progress=False)
    lines = paper_table(found, "seedformer").splitlines()
    assert lines[1].split()[:2] == ["SeedFormer", "6.74"]
    assert lines[2].split()[:3] == ["network", "(measured)", f"{found.class_mean('cd_l1'):.2f}"]
    assert len(lines) == 5


@pytest.mark.skipif(not REAL.exists(), reason="the real clouds of ../shared/data are not here")
def test_on_real_shapes_the_mirror_image_beats_the_scan():
    with np.load(REAL) as file:
        complete, partial, category = (file[key] for key in ("complete", "partial", "category"))
    data = Clouds(count=0)
    data.samples = [
        Sample(p[0].astype("float32"), c[:2048].astype("float32"), "sofa" if name == "couch" else str(name), str(i))
        for i, (c, p, name) in enumerate(zip(complete, partial, category, strict=True))
    ]
    found = evaluate(lambda scans: scans, data, metrics=("cd_l1",), baselines=True, progress=False)
    scan, mirror = (baseline.sample_mean("cd_l1") for baseline in found.baselines)
    assert scan == pytest.approx(found.sample_mean("cd_l1"), rel=1e-12)
    assert 20 < mirror < scan < 45
