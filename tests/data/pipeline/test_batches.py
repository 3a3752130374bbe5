import multiprocessing
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from small_datasets import Changing, Files, Memory, Untrue, everything, rows, same

from keras_wcd.data.augment import Augment
from keras_wcd.data.datasets.shapes8 import Shapes8
from keras_wcd.data.pipeline.batches import Batches, to_arrays, to_tf_data
from keras_wcd.data.resampling import fps_order


def test_a_batch_holds_the_scan_resampled_and_its_own_ground_truth(tmp_path):
    data = Memory()
    batches = Batches(data, "val", 4, num_points=64, cache_dir=tmp_path)
    assert len(batches) == 3
    assert [len(batch[0]) for batch in batches] == [4, 4, 3]
    partial, complete = everything(batches)
    for i in range(11):
        assert partial[i].shape == (64, 3)
        assert rows(partial[i]) == rows(data.partial[i])
        assert rows(complete[i]) == rows(data.complete[i])


@pytest.mark.parametrize("options", [{}, {"augment": Augment()}])
def test_a_larger_scan_becomes_a_subset_without_repetition(options, tmp_path):
    data = Memory(points=90)
    partial, _ = to_arrays(data, "val", num_points=10, cache_dir=tmp_path, **options)
    for i in range(11):
        assert len(rows(partial[i])) == 10
        assert rows(partial[i]) < rows(data.partial[i])


@pytest.mark.parametrize("points", [None, 90, 50, 7])
def test_every_prefix_of_the_ground_truth_is_a_farthest_point_sampling(points, tmp_path):
    data = Memory()
    _, complete = to_arrays(data, "val", truth_points=points, cache_dir=tmp_path)
    assert complete.shape[1] == (points or 90)
    for cloud, found in zip(data.complete, complete, strict=True):
        np.testing.assert_array_equal(found, cloud[fps_order(cloud)][: points or 90])


def test_duplicated_points_are_kept_once_each_in_the_order(tmp_path):
    data = Memory(size=2)
    data.complete[0][10:] = data.complete[0][:80]
    _, complete = to_arrays(data, "val", cache_dir=tmp_path)
    np.testing.assert_array_equal(complete[0], data.complete[0][fps_order(data.complete[0])])


def test_shorter_ground_truth_is_filled_with_padding_or_repeated(tmp_path):
    data = Memory(size=3, points=[40, 90, 60])
    _, padded = to_arrays(data, "val", cache_dir=tmp_path)
    assert padded.shape == (3, 90, 3)
    assert np.isfinite(padded[:, :, 0]).sum(axis=1).tolist() == [40, 90, 60]
    assert np.isnan(padded[0, 40:]).all()
    _, repeated = to_arrays(data, "val", truth_points=60, cache_dir=tmp_path)
    assert repeated.shape == (3, 60, 3)
    np.testing.assert_array_equal(repeated[0, 40:], repeated[0, :20])


def test_training_batches_change_with_the_epoch_and_validation_does_not(tmp_path):
    for split, changes in (("train", True), ("val", False)):
        batches = Batches(Memory(), split, 11, num_points=8, cache_dir=tmp_path)
        assert same(*map(everything, (batches, batches))) != changes


@pytest.mark.parametrize("workers", [2, 5])
def test_batches_are_the_same_whatever_the_number_of_threads(workers, tmp_path):
    options = {"num_points": 32, "augment": Augment(True, 20, (0.9, 1.1), 0.01, 0.2), "cache_dir": tmp_path}
    one, other = (Batches(Memory(), "train", 3, workers=w, **options) for w in (1, workers))
    for _ in range(3):
        assert same(everything(one), everything(other))


def test_a_run_that_goes_on_sees_what_an_uninterrupted_one_sees(tmp_path):
    options = {"num_points": 32, "cache_dir": tmp_path, "augment": Augment(jitter=0.1)}
    whole = Batches(Changing(), "train", 4, **options)
    passes = [everything(whole) for _ in range(3)]
    assert same(passes[2], everything(Batches(Changing(), "train", 4, epoch=2, **options)))
    assert not same(passes[2], everything(Batches(Changing(), "train", 4, epoch=2, seed=1, **options)))


def test_scans_cut_online_change_with_the_epoch_in_training_alone(tmp_path):
    data = Changing()
    train = Batches(data, "train", 11, num_points=30, shuffle=True, cache_dir=tmp_path)
    for epoch in range(3):
        order, (partial, complete) = train.order(epoch), everything(train)
        for row, index in enumerate(order):
            assert rows(partial[row]) == rows(data.complete[index][epoch : epoch + 30])
            assert rows(complete[row]) == rows(data.complete[index])


@pytest.mark.parametrize("shuffle", [True, False])
def test_shards_share_a_pass_among_them(shuffle, tmp_path):
    options = {"num_points": 8, "shuffle": shuffle, "cache_dir": tmp_path}
    whole = everything(Batches(Memory(), "train", 4, **options))
    shards = [everything(Batches(Memory(), "train", 4, shard=(i, 3), **options)) for i in range(3)]
    assert [len(shard[0]) for shard in shards] == [4, 4, 3]
    for i, shard in enumerate(shards):
        assert same(shard, [part[i::3] for part in whole])


def test_shards_without_a_remainder_have_equal_lengths(tmp_path):
    options = {"drop_remainder": True, "cache_dir": tmp_path, "num_points": 8}
    shards = [Batches(Memory(), "train", 2, shard=(i, 3), **options) for i in range(3)]
    assert [len(shard) for shard in shards] == [1, 1, 1]
    assert all(len(batch[0]) == 2 for shard in shards for batch in shard)


def test_one_file_is_read_once_however_many_pairs_use_it(tmp_path):
    data = Files(tmp_path)
    made = everything(Batches(data, "val", 4, num_points=16, cache_dir=tmp_path))
    assert data.reads == 22
    for index in range(22):
        assert rows(made[1][index]) == rows(data.complete[index // 2])


def test_a_second_run_reads_no_cloud_and_a_changed_file_is_read_again(tmp_path):
    data, options = Files(tmp_path), {"num_points": 16, "cache_dir": tmp_path / "cache"}
    first = to_arrays(data, "val", **options)
    data.reads = 0
    assert same(first, to_arrays(data, "val", **options))
    assert data.reads == 0
    np.save(tmp_path / "complete3.npy", np.random.default_rng(5).normal(size=(91, 3)))
    changed = to_arrays(data, "val", **options)
    assert data.reads == 11
    assert changed[1].shape == (22, 91, 3)
    assert not rows(changed[1][6]) & rows(first[1][6])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other"])
def test_a_damaged_cache_is_made_again(damage, tmp_path):
    cache = tmp_path / "cache"
    first = to_arrays(Memory(), "val", cache_dir=cache)
    (path,) = cache.rglob("*.npy")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-100] ^= 1
    path.write_bytes({"truncated": content[:-50], "flipped": content, "empty": b"", "other": b"no array"}[damage])
    assert same(first, to_arrays(Memory(), "val", cache_dir=cache))
    (path,) = cache.rglob("*.npy")
    assert np.load(path).shape == (11, 90, 3)


def test_equal_ground_truth_is_kept_once(tmp_path):
    data = Memory(size=6)
    data.complete = [data.complete[i // 3] for i in range(6)]
    _, complete = to_arrays(data, "val", cache_dir=tmp_path)
    (path,) = tmp_path.rglob("*.npy")
    assert np.load(path).shape == (2, 90, 3)
    for i in range(6):
        assert rows(complete[i]) == rows(data.complete[i])


def test_a_cache_that_cannot_be_written_warns_and_serves(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="KERAS_WCD_CACHE"):
        made = to_arrays(Memory(), "val", cache_dir=tmp_path / "file")
    assert same(made, to_arrays(Memory(), "val", cache_dir=tmp_path / "folder"))


def _fill(folder, queue):
    queue.put(to_arrays(Memory(300), "val", num_points=8, cache_dir=folder)[1].sum())


def test_processes_that_start_together_make_the_same_cache(tmp_path):
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The test process has threads; the children use none of theirs.
        processes = [context.Process(target=_fill, args=(tmp_path, queue)) for _ in range(3)]
        for process in processes:
            process.start()
    sums = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(sums)) == 1
    assert len(list(tmp_path.rglob("*"))) == 1 + 3


def test_data_without_ground_truth_gives_scans_alone(tmp_path):
    (partial,) = to_arrays(Untrue(), "val", num_points=16, cache_dir=tmp_path)
    assert partial.shape == (11, 16, 3)
    tf = pytest.importorskip("tensorflow")
    batch = next(iter(to_tf_data(Untrue(), "val", 4, num_points=16, cache_dir=tmp_path)))
    assert isinstance(batch, tf.Tensor)
    assert same([batch], [partial[:4]])


def test_tensorflow_gets_the_same_batches_pass_after_pass(tmp_path):
    pytest.importorskip("tensorflow")
    options = {"num_points": 32, "augment": Augment(mirror=True), "cache_dir": tmp_path}
    batches = Batches(Memory(), "train", 4, **options)
    data = to_tf_data(Memory(), "train", 4, **options)
    assert int(data.cardinality()) == 3
    for _ in range(2):
        assert same(everything(batches), everything(data.as_numpy_iterator()))


def test_tensorflow_sees_static_shapes_without_a_remainder(tmp_path):
    pytest.importorskip("tensorflow")
    data = Memory().to_tf_data("train", 4, num_points=32, truth_points=50, drop_remainder=True, cache_dir=tmp_path)
    assert [tuple(spec.shape) for spec in data.element_spec] == [(4, 32, 3), (4, 50, 3)]


def test_leaving_a_pass_early_ends_its_threads(tmp_path):
    before = set(threading.enumerate())
    batches = iter(Batches(Memory(200), "train", 2, cache_dir=tmp_path, workers=3))
    next(batches)
    batches.close()
    assert set(threading.enumerate()) <= before


def test_shapes8_is_served_from_its_arrays(tmp_path):
    shapes = Shapes8(8, 8, 8, num_points=256, views=2, cache_dir=tmp_path, workers=1)
    partial, complete = to_arrays(shapes, "val", truth_points=64)
    arrays = shapes.arrays("val")
    np.testing.assert_array_equal(complete, arrays[1][:, :64])
    for found, kept in zip(partial, arrays[0], strict=True):
        assert rows(found) == rows(kept)


def test_a_cloud_that_cannot_be_read_is_named(tmp_path):
    data = Memory()
    data.partial[7] = np.zeros((0, 3))
    with pytest.raises(ValueError, match="scan of pair 7"):
        to_arrays(data, "val", cache_dir=tmp_path)
    data = Memory()
    data.complete[2] = None
    with pytest.raises(ValueError, match="pair 2 of 'val' has no ground truth, and pair 0 has"):
        to_arrays(data, "val", cache_dir=tmp_path)
    data = Memory()
    data.complete[2] = np.full((5, 3), np.nan)
    with pytest.raises(ValueError, match="ground truth of pair 2 .*NaN"):
        to_arrays(data, "val", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_points": 0}, "num_points"),
        ({"truth_points": 0}, "truth_points"),
        ({"shard": (2, 2)}, "shard"),
        ({"shard": (0, 1, 2)}, "shard"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 12, "drop_remainder": True}, "batch of 12"),
    ],
)
def test_refuses_what_makes_no_batch(options, named, tmp_path):
    with pytest.raises(ValueError, match=named):
        Batches(Memory(), "train", **{"batch_size": 4, "cache_dir": tmp_path, **options})


def test_arrays_for_other_backends_load_no_framework():
    code = (
        "import sys, keras_wcd.data.pipeline.batches as p, keras_wcd.data.augment;"
        "assert p.Batches and not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
