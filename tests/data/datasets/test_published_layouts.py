"""Readers of published data sets, on trees in their layouts."""

import pickle
import shutil
import tracemalloc

import h5py
import numpy as np
import published_trees as trees
import pytest
from backends import tensorflow_only

from keras_wcd.data import DATASETS, Shapes8, open_dataset
from keras_wcd.data.categories import PCN_EIGHT
from keras_wcd.data.datasets.on_disk import DatasetOnDisk
from keras_wcd.data.datasets.table import MADE_UP

READERS = sorted(set(DATASETS) - set(MADE_UP))
CASES = [(name, kind) for name in READERS for kind in ("synthetic", "real")]


@pytest.fixture(scope="module")
def shapes():
    kept = {}

    def get(kind):
        if kind not in kept:
            kept[kind] = trees.synthetic() if kind == "synthetic" else trees.real()
        return kept[kind]

    return get


@pytest.fixture(scope="module")
def tree(shapes, tmp_path_factory):
    """The root of a tree, made once."""
    kept = {}

    def get(name, kind="synthetic"):
        builder = trees.BUILDERS[name]
        if (builder, kind) not in kept:
            root = tmp_path_factory.mktemp(f"{builder.__name__}-{kind}") / "root"
            builder(root, shapes(kind))
            kept[builder, kind] = root
        return kept[builder, kind]

    return get


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_every_data_set_with_files_has_a_tree():
    assert set(READERS) == set(trees.LAYOUTS)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_pair_keeps_the_contract(name, kind, tree):
    data = open_dataset(name, tree(name, kind))
    assert isinstance(data, DatasetOnDisk)
    assert set(data.changing_splits) <= set(data.splits)
    assert data.evaluation_split in data.splits
    assert len(set(data.categories)) == len(data.categories)
    for split in data.splits:
        size = data.size(split)
        assert size > 0
        names = set()
        for index in range(0, size, 1 if size < 50 else 7):
            sample = data.load(split, index)
            names.add(sample.name)
            for cloud in (sample.partial, sample.complete):
                if cloud is not None:
                    assert cloud.dtype == np.float32
                    assert cloud.ndim == 2
                    assert cloud.shape[1] == 3
                    assert cloud.flags.c_contiguous
                    assert np.isfinite(cloud).all()
            assert sample.category in data.categories or sample.complete is None
        assert len(names) == len(range(0, size, 1 if size < 50 else 7))


@pytest.mark.parametrize("name", READERS)
def test_loading_twice_gives_the_same(name, tree):
    first, second = (open_dataset(name, tree(name)) for _ in range(2))
    for split in first.splits:
        assert same(first.load(split, np.int64(1 % first.size(split))), second.load(split, 1 % first.size(split)))


@pytest.mark.parametrize("name", READERS)
def test_an_index_or_split_that_does_not_exist_is_refused(name, tree):
    data = open_dataset(name, tree(name))
    for split in data.splits:
        for index in (-1, data.size(split)):
            with pytest.raises(IndexError, match=f"between 0 and {data.size(split) - 1} in '{split}', got {index}"):
                data.load(split, index)
    for call in (lambda: data.load("dev", 0), lambda: data.size("dev"), lambda: next(iter(data.files("dev")))):
        with pytest.raises(ValueError, match="split must be one of .* got 'dev'"):
            call()


@pytest.mark.parametrize("name", READERS)
def test_clouds_by_number_are_those_of_the_pairs(name, tree):
    data = open_dataset(name, tree(name))
    for split in data.splits:
        scans, truths = data.clouds(split)
        for clouds in (scans, truths):
            assert clouds is None or len(set(clouds.keys)) == len(clouds.keys)
        changing = split in data.changing_splits
        for index in range(0, data.size(split), 5):
            for epoch in (0, 3) if changing else (0,):
                sample = data.load(split, index, epoch=epoch) if changing else data.load(split, index)
                scan, truth = data.pick(split, index, epoch)
                if scans:
                    np.testing.assert_array_equal(scans.read(scan), sample.partial)
                if truths:
                    np.testing.assert_array_equal(truths.read(truth), sample.complete)
                assert (truths is None) == (sample.complete is None)


@pytest.mark.parametrize("name", READERS)
def test_a_wrong_root_says_what_is_missing_and_how_it_should_look(name, tree, tmp_path):
    with pytest.raises(ValueError, match="no such folder; an? .* tree is ROOT/"):
        open_dataset(name, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is no .* in it; an? .* tree is ROOT/"):
        open_dataset(name, tmp_path)
    with pytest.raises(ValueError, match="is .*root meant\\? an? .* tree is ROOT/"):
        open_dataset(name, tree(name).parent)
    with pytest.raises(ValueError, match=f"{name} needs the folder"):
        open_dataset(name)


def test_names_that_no_data_set_has_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'modelnet'; known are completion3d, kitti"):
        open_dataset("modelnet", tmp_path)
    with pytest.raises(ValueError, match="made on the spot and takes no folder"):
        open_dataset("shapes8", tmp_path)


@pytest.mark.parametrize(
    ("view", "count", "val"), [("random", 8, 8), ("first", 8, 8), ("all", 64, 8)], ids=lambda v: str(v)
)
def test_pcn_has_the_pairs_of_its_views(view, count, val, tree, shapes):
    data = DATASETS["pcn"](tree("pcn"), views=view)
    assert [data.size(split) for split in data.splits] == [count, val, val]
    # The tables' order, whatever the order of the index.
    assert data.categories == tuple(trees.NAMES)
    for index in range(count):
        shape, name = shapes("synthetic")[index // (count // 8)], data.load("train", index).name
        assert name.startswith(f"{shape.synset}/{shape.id}/")
        sample = data.load("train", index)
        np.testing.assert_array_equal(sample.complete, shape.complete)
        np.testing.assert_array_equal(sample.partial, shape.partials[int(name[-2:])])
        if view != "random":
            assert name.endswith(f"/{index % (count // 8):02d}")


def test_pcn_draws_every_view_in_some_epoch(tree):
    data = DATASETS["pcn"](tree("pcn"))
    drawn = {data.load("train", 2, epoch=epoch).name[-2:] for epoch in range(60)}
    assert drawn == {f"{view:02d}" for view in range(8)}
    again = DATASETS["pcn"](tree("pcn"), seed=1)
    assert [data.load("train", i).name for i in range(8)] != [again.load("train", i).name for i in range(8)]


def test_pcn_takes_categories_of_the_users_own(tmp_path):
    trees.write_pcd(tmp_path / "train" / "complete" / "mugs" / "a b.pcd", np.eye(3))
    trees.write_pcd(tmp_path / "train" / "partial" / "mugs" / "a b" / "00.pcd", np.eye(3))
    trees.write_pcd(tmp_path / "train" / "partial" / "mugs" / "a b" / "01.pcd", np.eye(3))
    (tmp_path / "PCN.json").write_text('[{"taxonomy_id": "mugs", "taxonomy_name": "mug", "train": ["a b"]}]')
    data = DATASETS["pcn"](tmp_path, views="all")
    assert data.categories == ("mug",)
    assert [data.size(split) for split in data.splits] == [2, 0, 0]
    assert data.load("train", 1).name == "mugs/a b/01"
    with pytest.raises(ValueError, match="views must be one of"):
        DATASETS["pcn"](tmp_path, views="some")


def test_mvp_pairs_every_shape_with_its_26_scans(tree, shapes):
    data = open_dataset("mvp", tree("mvp"))
    assert [data.size(split) for split in data.splits] == [8 * 26, 3 * 26, 3 * 26]
    sample = data.load("train", 3 * 26 + 5)
    np.testing.assert_array_equal(sample.complete, shapes("synthetic")[3].complete)
    assert sample.category == "chair"
    assert sample.name == "train/0003/05"
    with h5py.File(tree("mvp") / "MVP_Train_CP.h5") as file:
        np.testing.assert_array_equal(sample.partial, file["incomplete_pcds"][83])
        assert file["labels"][83] == 3


def mistaken(root, **changes):
    arrays = {"incomplete_pcds": np.zeros((52, 8, 3), "f4"), "complete_pcds": np.zeros((2, 8, 3), "f4")}
    arrays = {**arrays, "labels": np.zeros(52, "i4"), **changes}
    trees.write_h5(root / "MVP_Test_CP.h5", **{k: v for k, v in arrays.items() if v is not None})
    return open_dataset("mvp", root)


MVP_MISTAKES = {
    "no labels": ({"labels": None}, "holds no array 'labels'"),
    "25 scans": ({"incomplete_pcds": np.zeros((50, 8, 3))}, "do not belong together"),
    "not clouds": ({"complete_pcds": np.zeros((2, 8, 4))}, "must be numbers of shape"),
    "text": ({"labels": np.array([b"car"] * 52)}, "must be numbers of shape"),
    "label 16": ({"labels": np.full(52, 16)}, "label 16 of pair 0"),
    "nothing finite": ({"incomplete_pcds": np.full((52, 8, 3), np.nan)}, "row 0 holds no finite point"),
}


@pytest.mark.parametrize("mistake", MVP_MISTAKES)
def test_mvp_names_what_is_wrong_in_a_file(mistake, tmp_path):
    changes, message = MVP_MISTAKES[mistake]
    data = mistaken(tmp_path, **changes)
    with pytest.raises(ValueError, match=f"MVP_Test_CP.h5: .*{message}"):
        data.load("test", 0)


def test_mvp_follows_no_link_and_reads_no_broken_file(tmp_path):
    data = mistaken(tmp_path)
    assert data.load("test", 0).partial.shape == (8, 3)
    with pytest.raises(ValueError, match="MVP_Train_CP.h5: no such file"):
        data.load("train", 0)
    (tmp_path / "MVP_Train_CP.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="MVP_Train_CP.h5: not a readable HDF5 file"):
        data.load("train", 0)
    with h5py.File(tmp_path / "MVP_Train_CP.h5", "w") as file:
        file["incomplete_pcds"] = h5py.ExternalLink("MVP_Test_CP.h5", "incomplete_pcds")
    with pytest.raises(ValueError, match="holds no array 'incomplete_pcds'"):
        data.load("train", 0)


def test_mvp_reads_a_row_and_never_the_whole_array(tmp_path):
    with h5py.File(tmp_path / "MVP_Test_CP.h5", "w") as file:
        # 2.4 GiB by its header; nothing of it is stored.
        file.create_dataset("incomplete_pcds", (104000, 2048, 3), "f4")
        file.create_dataset("complete_pcds", (4000, 2048, 3), "f4")
        file.create_dataset("labels", (104000,), "i4")
    data = open_dataset("mvp", tmp_path)
    data.load("test", 1)  # Modules that a first reading imports are not the reading's memory.
    tracemalloc.start()
    try:
        for index in (0, 51999, 103999):
            assert data.load("test", index).partial.shape == (2048, 3)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("storage", [{}, {"chunks": (1, 2**23, 3)}])
def test_mvp_refuses_clouds_and_chunks_that_no_memory_holds(storage, tmp_path):
    with h5py.File(tmp_path / "MVP_Test_CP.h5", "w") as file:
        file.create_dataset("incomplete_pcds", (26, 2**28, 3), "f4", **storage)
        file.create_dataset("complete_pcds", (1, 8, 3), "f4")
        file.create_dataset("labels", (26,), "i4")
    with pytest.raises(ValueError, match="points; .* at most are read|stored in pieces above"):
        open_dataset("mvp", tmp_path).load("test", 0)


@pytest.mark.parametrize("name", READERS)
def test_a_data_set_goes_to_another_process(name, tree):
    data = open_dataset(name, tree(name))
    split = data.evaluation_split
    before = data.load(split, 0)
    assert same(pickle.loads(pickle.dumps(data)).load(split, 0), before)


def test_pcn_reads_the_scans_of_the_release(tmp_path, shapes):
    demo = trees.SHARED / "demo" / "pcn_car.pcd"
    if not demo.exists():
        pytest.skip(f"{demo} is absent: published scans are not part of the repository")
    trees.pcn(tmp_path, shapes("synthetic"))
    shutil.copy(demo, next((tmp_path / "test" / "partial" / "02958343").glob("*/00.pcd")))
    sample = open_dataset("pcn", tmp_path).load("test", 2)
    assert sample.category == "car"
    np.testing.assert_array_equal(sample.partial, np.loadtxt(demo, skiprows=11, dtype="f4"))


def test_eight_categories_have_the_same_synsets_everywhere():
    assert tuple(Shapes8.synsets.values()) == PCN_EIGHT == tuple(trees.SYNSETS)


def test_completion3d_has_no_truth_for_its_test_scans(tree, shapes):
    data = open_dataset("completion3d", tree("completion3d"))
    sample = data.load("test", 0)
    assert sample.complete is None
    assert sample.name == "all/0000"
    np.testing.assert_array_equal(sample.partial, shapes("synthetic")[0].partials[1])
    assert data.evaluation_split == "val"
    np.testing.assert_array_equal(data.load("val", 2).complete, shapes("synthetic")[10].complete)
    assert data.load("val", 2).category == "car"


@pytest.mark.parametrize("kind", ["synthetic", "real"])
def test_kitti_stands_in_the_boxes_frame_and_goes_back(kind, shapes, tmp_path):
    canonical = trees.kitti(tmp_path, shapes(kind))
    data = open_dataset("kitti", tmp_path)
    # Numbers, not text: frame 2 comes before frame 10.
    assert data.names == tuple(f"frame_{frame}_car_{car}" for frame in range(11) for car in range(2))
    for index in range(data.size("test")):
        sample = data.load("test", index)
        np.testing.assert_allclose(sample.partial, canonical[sample.name], atol=1e-5)
        raw = np.loadtxt(tmp_path / "cars" / f"{sample.name}.pcd", skiprows=11)
        np.testing.assert_allclose(data.to_world(index, sample.partial), raw, atol=1e-4)


def test_kitti_tracklets_hold_one_car_in_order(tree):
    data = open_dataset("kitti", tree("kitti"))
    cars = data.tracklets()
    assert list(cars) == ["tracklet_0", "tracklet_1"]
    for track, indices in enumerate(cars.values()):
        assert [data.sweep(index) for index in indices] == list(range(11))
        assert [data.names[index][-1] for index in indices] == [str((track + f) % 2) for f in range(11)]


def test_a_missing_cloud_is_named_with_the_command_that_finds_all(shapes, tmp_path):
    trees.kitti(tmp_path, shapes("synthetic"))
    (tmp_path / "bboxes" / "frame_1_car_0.txt").unlink()
    data = open_dataset("kitti", tmp_path)
    with pytest.raises(ValueError, match=r"frame_1_car_0.txt: no such file; `keras-wcd data check .*`"):
        data.load("test", 2)
    (tmp_path / "cars" / "frame_1_car_1.pcd").unlink()
    with pytest.raises(ValueError, match=r"tracklet_0.txt: there is no cars/frame_1_car_1.pcd"):
        open_dataset("kitti", tmp_path).tracklets()


def put(root, file, text):
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


BAD_LISTS = {
    "id leads out": ("pcn", {"PCN.json": '[{"taxonomy_id": "03001627", "train": ["../../secret"]}]'}, "lead elsewhere"),
    "synset leads out": ("pcn", {"PCN.json": '[{"taxonomy_id": "..", "train": []}]'}, "'..' is not the name"),
    "id is a number": ("pcn", {"PCN.json": '[{"taxonomy_id": "03001627", "train": [7]}]'}, "7 is not the name"),
    "ids are text": ("pcn", {"PCN.json": '[{"taxonomy_id": "03001627", "train": "ab"}]'}, "must be a list of ids"),
    "twice": ("pcn", {"PCN.json": '[{"taxonomy_id": "a"}, {"taxonomy_id": "a"}]'}, "stands in it twice"),
    "no list": ("pcn", {"PCN.json": '{"a": 1}'}, "must be a list with an entry"),
    "no JSON": ("pcn", {"PCN.json": "[" * 100000}, "not a JSON file"),
    "line leads out": ("shapenet55", {"ShapeNet-55/test.txt": "02691156-../../../x.npy"}, "lead elsewhere"),
    "unknown synset": ("shapenet55", {"ShapeNet-55/test.txt": "00000000-x.npy"}, "a synset of ShapeNet"),
    "no dash": ("unseen21", {"ShapeNet-Unseen21/test.txt": "x.npy"}, "not of the form <synset>-<id>"),
    "empty": ("unseen21", {"ShapeNet-Unseen21/test.txt": "\n\n"}, "the list is empty"),
    "one list absent": ("shapenet34", {"ShapeNet-34/test.txt": "02691156-x.npy"}, "train.txt: the list cannot be read"),
    "path leads out": ("completion3d", {"val.list": "03001627/../../x"}, "lead elsewhere"),
    "absolute": ("completion3d", {"val.list": "/etc/passwd"}, "'' is not the name"),
    "other synset": ("completion3d", {"val.list": "02773838/x"}, "does not begin with one of"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_bad_list_is_refused_by_name(case, tmp_path):
    name, files, message = BAD_LISTS[case]
    put(tmp_path, "train.list", "03001627/a")
    for file, text in files.items():
        put(tmp_path, file, text)
    with pytest.raises(ValueError, match=message) as error:
        open_dataset(name, tmp_path)
    assert str(tmp_path) in str(error.value)


def test_tracklets_lead_nowhere_else(shapes, tmp_path):
    trees.kitti(tmp_path, shapes("synthetic"))
    put(tmp_path, "tracklets/tracklet_7.txt", "../../secret\n")
    with pytest.raises(ValueError, match=r"tracklet_7.txt: '../../secret' is not the name"):
        open_dataset("kitti", tmp_path).tracklets()


@tensorflow_only
@pytest.mark.parametrize("name", sorted(set(READERS) - {"kitti", "unseen21"}))
def test_every_data_set_with_training_data_makes_batches(name, tree, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path))
    data = open_dataset(name, tree(name))
    for split in ("train", "val"):
        partial, complete = next(iter(data.to_tf_data(split, 3)))
        assert partial.shape == (3, 2048, 3)
        assert complete.shape[::2] == (3, 3)
