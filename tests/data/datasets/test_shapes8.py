import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tasks
from scipy.spatial import cKDTree

from keras_wcd.data import Shapes8, cache
from keras_wcd.data.datasets.shapes8 import SYNSETS
from keras_wcd.data.datasets.table import DATASETS
from keras_wcd.data.procedural import generator
from keras_wcd.ops.sampling import farthest_point_indices

KINDS = [(category, kind) for category, kinds in generator.SUBTYPES.items() for kind in kinds]
SIZES = {"train": 40, "val": 16, "test": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dataset(folder):
    return Shapes8(**SIZES, views=2, cache_dir=folder, workers=1)


def test_every_pair_keeps_the_contract(dataset):
    assert isinstance(dataset, DATASETS["shapes8"])
    for split in dataset.splits:
        partial, complete = dataset.arrays(split)
        assert len(partial) == len(complete) == len(dataset.labels(split)) == dataset.size(split)
        assert partial.dtype == complete.dtype == np.float32
        assert np.isfinite(partial).all()
        assert np.isfinite(complete).all()
        sample = dataset.load(split, dataset.size(split) - 1)
        np.testing.assert_array_equal(sample.partial, partial[-1])
        np.testing.assert_array_equal(sample.complete, complete[-1])
        assert sample.category == dataset.categories[dataset.labels(split)[-1]]


@pytest.mark.parametrize(("category", "kind"), KINDS)
def test_every_sub_type_makes_shapes_in_the_canonical_frame(category, kind):
    for seed in range(12):
        mesh = generator.shape(np.random.default_rng(seed), category, kind)
        used = mesh.vertices[np.unique(mesh.faces)]
        low, high = used.min(axis=0), used.max(axis=0)
        np.testing.assert_allclose(low + high, 0, atol=1e-6)
        assert np.linalg.norm(high - low) == pytest.approx(1)
        assert mesh.faces.max() < len(mesh.vertices)


@pytest.mark.parametrize(("category", "kind"), KINDS)
def test_every_sub_type_varies(category, kind):
    extents = [np.ptp(generator.shape(np.random.default_rng(s), category, kind).vertices, axis=0) for s in range(4)]
    assert np.std(extents, axis=0).max() > 0.005


def test_all_categories_are_there_with_sub_types_of_their_own():
    assert set(generator.SUBTYPES) == set(SYNSETS) == set(Shapes8.categories)
    assert all(len(kinds) >= 7 for kinds in generator.SUBTYPES.values())
    assert {generator.plan(i) for i in range(8 * 12 * 11 * 10)} >= set(KINDS)


def test_scans_lie_on_the_ground_truth_and_leave_parts_unseen(dataset):
    partial, complete = dataset.arrays("train")
    unseen = []
    for scan, truth in zip(partial, complete, strict=True):
        assert cKDTree(truth).query(scan)[0].mean() < 0.03
        unseen.append((cKDTree(scan).query(truth)[0] > 0.03).mean())
    assert 0.2 < np.mean(unseen) < 0.7


@pytest.mark.parametrize("k", [1, 100, 1024, 2048])
def test_prefixes_of_the_ground_truth_are_farthest_point_samplings(dataset, k):
    complete = dataset.load("val", 3).complete
    np.testing.assert_array_equal(farthest_point_indices(complete, k), np.arange(k))


def test_a_denser_ground_truth_begins_with_a_farthest_point_sampling(folder):
    complete = Shapes8(1, 1, 1, num_points=16384, cache_dir=folder).load("val", 0).complete
    assert complete.shape == (16384, 3)
    np.testing.assert_array_equal(farthest_point_indices(complete, 2048), np.arange(2048))


def test_views_differ_and_share_their_ground_truth(dataset):
    first, second = dataset.load("train", 6), dataset.load("train", 7)
    np.testing.assert_array_equal(first.complete, second.complete)
    assert (first.partial != second.partial).any()
    assert first.name.rsplit("/", 1)[0] == second.name.rsplit("/", 1)[0]


def test_bytes_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    other = Shapes8(**SIZES, views=2, cache_dir=tmp_path, workers=2)
    for one, two in zip(dataset.arrays("train"), other.arrays("train"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_smaller_split_is_the_beginning_of_a_larger_one(dataset, tmp_path):
    small = Shapes8(train=5, views=2, cache_dir=tmp_path)
    np.testing.assert_array_equal(small.arrays("train")[0], dataset.arrays("train")[0][:10])


def test_seeds_and_splits_differ(dataset, tmp_path):
    other = Shapes8(**SIZES, views=2, seed=1, cache_dir=tmp_path)
    truths = [d.load(split, 0).complete for d in (dataset, other) for split in d.splits]
    assert len({truth.tobytes() for truth in truths}) == 6


def test_the_cache_is_used(dataset, folder, monkeypatch):
    expected = dataset.arrays("val")
    monkeypatch.setattr(generator, "item", None)
    for one, two in zip(Shapes8(**SIZES, views=2, cache_dir=folder).arrays("val"), expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("damage", ["truncated", "one bit", "replaced", "empty"])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    expected = Shapes8(test=2, cache_dir=tmp_path).arrays("test")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    damaged = {"truncated": whole[: len(whole) // 2], "one bit": flipped, "replaced": b"hello" * 30000, "empty": b""}
    file.write_bytes(damaged[damage])
    for one, two in zip(Shapes8(test=2, cache_dir=tmp_path).arrays("test"), expected, strict=True):
        np.testing.assert_array_equal(one, two)
    with np.load(file) as archive:
        np.testing.assert_array_equal(archive["complete"], expected[1])
    assert list(tmp_path.iterdir()) == [file]


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="KERAS_WCD_CACHE"):
        assert Shapes8(test=1, cache_dir=tmp_path / "file").arrays("test")[0].shape == (1, 2048, 3)


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "environment"))
    assert cache.folder() == tmp_path / "environment"
    assert cache.folder(tmp_path) == tmp_path
    monkeypatch.delenv("KERAS_WCD_CACHE")
    assert "keras-wcd" in cache.folder().parts


SCRIPT = """
    import hashlib, sys
    from keras_wcd.data import Shapes8
    print("started", flush=True)
    partial, complete = Shapes8(train={train}, views=2, cache_dir={folder!r}, workers=2).arrays("train")
    assert "keras" not in sys.modules and "tensorflow" not in sys.modules
    print(hashlib.sha256(partial.tobytes() + complete.tobytes()).hexdigest())
"""


def start(tmp_path, train):
    script = tmp_path / "plain_script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(train=train, folder=str(tmp_path / "cache"))))
    return subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_a_script_without_a_main_guard_works_and_loads_no_framework(dataset, tmp_path):
    output, errors = start(tmp_path, 40).communicate(timeout=60)
    partial, complete = dataset.arrays("train")
    digest = hashlib.sha256(partial.tobytes() + complete.tobytes()).hexdigest()
    assert output.split() == ["started", digest], errors


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals to a process group")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_file_and_no_process(tmp_path, kind):
    process = start(tmp_path, 5000)
    process.stdout.readline()
    time.sleep(1.5)
    # Ctrl-C reaches the whole foreground group, a kill only the parent.
    os.killpg(process.pid, kind) if kind == signal.SIGINT else os.kill(process.pid, kind)
    process.communicate(timeout=60)
    assert process.returncode != 0
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("a worker outlived its parent")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("workers", "reason"), [(1, "out of paper"), (2, r"EXIT\(3\)")])
def test_a_shape_that_cannot_be_made_is_one_error_with_its_reason(workers, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "item", tasks.no_paper if workers == 1 else tasks.no_process)
    with pytest.raises(RuntimeError, match=rf"shape \d+ of 'train' could not be made: .*{reason}"):
        Shapes8(train=64, cache_dir=tmp_path, workers=workers).arrays("train")
    assert not list(tmp_path.iterdir())


def test_batches_hold_every_pair_once(dataset):
    pytest.importorskip("tensorflow")
    expected = dataset.arrays("val")
    batches = list(dataset.to_tf_data("val", 5))
    assert len(dataset.to_tf_data("val", 5)) == len(batches) == 7
    for column in range(2):
        np.testing.assert_array_equal(np.concatenate([b[column] for b in batches]), expected[column])


def test_shuffled_batches_are_seeded_and_new_at_every_pass(dataset):
    pytest.importorskip("tensorflow")

    def orders(seed):
        data = dataset.to_tf_data("train", 80, seed=seed)
        return [next(iter(data))[0].numpy() for _ in range(2)]

    first, again, other = orders(3), orders(3), orders(4)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()
    assert (first[0] != other[0]).any()
    np.testing.assert_array_equal(np.sort(first[0][:, 0], axis=0), np.sort(dataset.arrays("train")[0][:, 0], axis=0))


def test_remainders_can_be_dropped_for_static_shapes(dataset):
    pytest.importorskip("tensorflow")
    data = dataset.to_tf_data("val", 5, drop_remainder=True)
    assert len(data) == 6
    assert [tuple(spec.shape) for spec in data.element_spec] == [(5, 2048, 3), (5, 2048, 3)]


@pytest.mark.parametrize("argument", ["train", "val", "test", "num_points", "views"])
def test_counts_below_one_are_errors(argument):
    with pytest.raises(ValueError, match=argument):
        Shapes8(**{argument: 0})


def test_unknown_splits_indices_and_batches_are_errors(dataset):
    with pytest.raises(ValueError, match="'valid'"):
        dataset.arrays("valid")
    with pytest.raises(IndexError, match="31"):
        dataset.load("val", 32)
    with pytest.raises(ValueError, match="batch_size"):
        dataset.to_tf_data("val", 0)


def test_arrays_cannot_be_overwritten(dataset):
    with pytest.raises(ValueError, match="read-only"):
        dataset.arrays("val")[0][0] = 0
