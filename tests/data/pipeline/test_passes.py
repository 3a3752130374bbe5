"""What one pass over a split has that another has not: epochs, order, and the points that are drawn."""

import numpy as np
import published_trees
import pytest
from scipy.spatial import cKDTree
from small_datasets import Changing, Memory, everything, rows, same

from keras_wcd.data.augment import Augment
from keras_wcd.data.contract import Clouds
from keras_wcd.data.datasets.shapenet55 import ShapeNet55
from keras_wcd.data.pipeline.batches import Batches
from keras_wcd.data.resampling import fps_order


class Recut(Changing):
    """The same through `clouds` and `pick`: another scan of the file in every epoch."""

    def clouds(self, split):
        scans = [truth[start : start + 30] for truth in self.complete for start in range(9)]
        keys = [f"{split}{i}" for i in range(len(scans))], [f"truth{i}" for i in range(len(self.complete))]
        return Clouds(keys[0], scans.__getitem__), Clouds(keys[1], self.complete.__getitem__)

    def pick(self, split, index, epoch):
        return 9 * index + (epoch if split == "train" else 0), index


@pytest.mark.parametrize("kind", [Changing, Recut])
@pytest.mark.parametrize("augment", [None, Augment(jitter=0.01)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_epoch_counts_wherever_the_data_change(kind, augment, shuffle, tmp_path):
    data = kind()
    options = {"num_points": 30, "shuffle": shuffle, "augment": augment, "cache_dir": tmp_path}
    train = Batches(data, "train", 11, **options)
    for epoch in range(3):
        order, (partial, _) = train.order(epoch), everything(train)
        for row, index in enumerate(order):
            expected = data.load("train", index, epoch=epoch).partial
            if augment is None:
                assert rows(partial[row]) == rows(expected)
            else:
                gaps = cKDTree(expected).query(partial[row])[0]
                assert gaps.max() < 0.1
    later = Batches(data, "train", 11, epoch=2, **options)
    assert same(everything(later), everything(Batches(data, "train", 11, epoch=2, **options)))


def test_cuts_of_shapenet_55_change_without_shuffling(tmp_path):
    published_trees.shapenet(tmp_path / "root", published_trees.synthetic(points=60))
    data = ShapeNet55(tmp_path / "root")
    batches = Batches(data, "train", 8, num_points=45, shuffle=False, cache_dir=tmp_path / "cache")
    passes = [everything(batches)[0] for _ in range(3)]
    assert not np.array_equal(passes[0], passes[1])
    for epoch, partial in enumerate(passes):
        for index in range(8):
            assert rows(partial[index]) == rows(data.load("train", index, epoch=epoch).partial)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("count", [8, 25, 64])
def test_a_pass_that_is_neither_shuffled_nor_augmented_draws_nothing(split, count, tmp_path):
    data = Memory()
    options = {"num_points": count, "shuffle": False, "cache_dir": tmp_path}
    batches = Batches(data, split, 4, seed=0, **options)
    first = everything(batches)
    assert same(first, everything(batches))
    assert same(first, everything(Batches(data, split, 4, seed=5, epoch=3, **options)))
    for scan, partial in zip(data.partial, first[0], strict=True):
        if count >= len(scan):  # Repeated evenly, in order.
            np.testing.assert_array_equal(partial, scan[np.arange(count) * len(scan) // count])
        else:
            np.testing.assert_array_equal(partial, scan[fps_order(scan)][:count])


@pytest.mark.parametrize("options", [{"shuffle": True}, {"augment": Augment()}])
def test_a_pass_that_is_shuffled_or_augmented_draws_other_points(options, tmp_path):
    batches = Batches(Memory(), "val", 11, num_points=8, cache_dir=tmp_path, **options)
    seen = [{row.tobytes() for row in everything(batches)[0]} for _ in range(2)]
    assert not seen[0] & seen[1]
