"""Files of trainings, distillations and data sets: recipes, settings, checkpoints, results, lists, boxes, arrays."""

import functools
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from damage import Kind
from model_files import zipped

RECIPES = (
    b"backbone: pcn\nbatch_size: 16\nschedule:\n  kind: Staircase\n  value: 1.0e-4\n  factor: 0.7\n  every: 50\n"
    b"stages:\n  - name: coarse\n    weight: 0.5\n  - {name: fine, weight: 1.0, target: whole}\nepochs: 3\n",
    b"# ours\nbase: small\nbatch_size: 4\nnetwork:\n  num_coarse: 32\n  grid: [2, 2]\n"
    b"augmentation: [mirror, random_2048]\n",
    b"schedule: {kind: WarmUp, epochs: 2, after: {kind: Exponential, value: 1.0e-3, factor: 0.98, every: 2}}\n"
    b"batch_norm: {kind: Piecewise, values: [0.1, 0.01], starts: [20]}\nsteps: 500\nepochs: null\nclip_norm: 10\n",
    b'{"base": "published", "optimizer": "AdamW", "beta_1": 0.5, "decay_vectors": false, "ema": 0.999, "note": "x"}',
)


@functools.cache
def recipes():
    """Recipes in YAML and JSON, short and whole."""
    import yaml

    from keras_wcd.training.recipe_files import plain, recipe_of

    whole = [plain(recipe_of("published", name)) for name in ("pcn", "crn", "pointr")]
    return [*RECIPES, *(yaml.safe_dump(recipe).encode() for recipe in whole), json.dumps(whole[1]).encode()]


def read_recipe(path):
    from keras_wcd.training.recipe_files import plain, recipe_of

    return json.dumps(plain(recipe_of(path, "pcn")))


@functools.cache
def configs():
    """What a run was begun with."""
    import keras

    from keras_wcd import losses
    from keras_wcd.training.recipe_files import plain, recipe_of

    config = {
        "recipe": plain(recipe_of("small", "pcn")),
        "loss": keras.saving.serialize_keras_object(losses.get("landau_cd")),
        "data": {"kind": "Shapes8", "title": "x", "train size": 10, "train points": "0123"},
        "seed": 3,
        "versions": {"keras": "3"},
    }
    return [json.dumps(config, indent=1).encode()]


def in_folder(name):
    """Puts a file of a name into the folder at a path."""

    def put(path, content):
        path.mkdir(parents=True, exist_ok=True)
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)

    return put


def read_config(path):
    from keras_wcd.training import by_recipe, run_folder

    by_recipe.begun_with(path)
    return run_folder.check_same(path, json.loads(configs()[0]))


@functools.cache
def trained():
    """A small model whose optimizer has a state."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@functools.cache
def checkpoints():
    """A run of two passes."""
    from keras_wcd.training.checkpoint import save_checkpoint
    from keras_wcd.training.loop import Position

    position = Position(2, 3, 23, 48, {"loss": 0.5}, [{"loss": 1.0, "val_loss": 2.0}, {"loss": 0.7}])
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "a.npz", trained(), position)
        return [Path(folder, "a.npz").read_bytes()]


def in_checkpoint(state):
    """A damaged state beside whole variables."""
    with np.load(io.BytesIO(checkpoints()[0])) as file:
        arrays = {**file, "state": np.frombuffer(state, np.uint8)}
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def states():
    with np.load(io.BytesIO(checkpoints()[0])) as file:
        return [file["state"].tobytes()]


def read_checkpoint(path):
    from keras_wcd.training.checkpoint import load_checkpoint

    position = load_checkpoint(path, trained())
    return position.means(), position.epoch + position.batch + position.step


def saved(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def arrays():
    rng = np.random.default_rng(0)
    found = []
    for array in (rng.normal(size=(30, 3)), rng.normal(size=200).astype("float32"), np.arange(12).reshape(4, 3)):
        stream = io.BytesIO()
        np.save(stream, array)
        found.append(stream.getvalue())
    return found


def batches():
    """The batch at which a run ended."""
    clouds = np.zeros((2, 5, 3), np.float32)
    return [saved(partial=clouds, complete=clouds, samples=np.array(["a", "b"]), step=np.array(7))]


def read_batch(path):
    from keras_wcd.training.diverged import read_batch

    return read_batch(path)


def square(distance):
    return distance * distance


@functools.cache
def distillations():
    """Results of a loss and of a function."""
    from keras_wcd.distill import DistanceDistribution, distill
    from keras_wcd.losses import HyperCD

    few = DistanceDistribution.half_normal(0.3, size=6)
    found = [distill(teacher, families=["landau", "normal"], distances=few) for teacher in (HyperCD(), square)]
    return [result.to_json().encode() for result in found]


def read_distillation(path):
    from keras_wcd.distill import DistillationResult

    result = DistillationResult.from_json(path)
    return result.table(), [result.loss(found.family) for found in result.ranking]


SETTINGS = {"normalize": "partial", "points": 2048, "clean": False, "model": "0123"}


def records():
    """Two results of one setting."""
    from keras_wcd.record import Record

    with tempfile.TemporaryDirectory() as folder:
        record = Record(folder)
        record.add(record.folder / "a.ply", SETTINGS)
        record.add(record.folder / "b" / "c.ply", SETTINGS)
        record.write()
        return [record.path.read_bytes()]


def read_record(path):
    from keras_wcd.record import Record

    record = Record(path)
    record.begin([path / "a.ply", path / "b" / "c.ply"], SETTINGS, overwrite=False)


EVALUATION = (
    b'{"model": "m", "dataset": "d", "split": "val", "settings": {"points": 2048}, "figures": {"cd_l1": 3.5}, "n": 2}'
)


def read_evaluation(path):
    from keras_wcd.evaluation.output import check_free

    check_free(path, {"model": "m", "dataset": "d", "split": "val", "metrics": ["cd_l1"]})


BOX = b"".join(b"%d.5 %d %d\n" % (x, y, z) for z in (0, 1) for x, y in ((0, 0), (0, 2), (4, 2), (4, 0)))


def read_box(path):
    from keras_wcd.data.datasets.kitti_boxes import read_box

    return read_box(path)


INDEX = json.dumps(
    [
        {"taxonomy_id": "02691156", "taxonomy_name": "airplane", "train": ["a", "b"], "val": ["c"], "test": ["d"]},
        {"taxonomy_id": "02933112", "taxonomy_name": "cabinet", "train": ["e"], "val": [], "test": ["f"]},
    ],
    indent=1,
).encode()


def read_index(path):
    from keras_wcd.data.datasets.pcn import PCN

    for split in ("train", "val", "test"):
        (path / split / "complete").mkdir(parents=True, exist_ok=True)
        (path / split / "partial").mkdir(parents=True, exist_ok=True)
    return list(PCN(path).listed("train"))


def read_numbers(path):
    from keras_wcd.commands.shared import numbers

    return numbers(path)


def read_on_device(path):
    from keras_wcd.export import runtime

    return runtime._read(str(path))


KINDS = {
    ".recipe.yaml": Kind(recipes, read_recipe),
    ".run-config": Kind(configs, read_config, in_folder("config.json")),
    ".checkpoint.npz": Kind(checkpoints, read_checkpoint, inner=states, pack=in_checkpoint),
    ".batch.npz": Kind(batches, read_batch, inner=arrays, pack=lambda content: zipped({"partial.npy": content})),
    ".distillation.json": Kind(distillations, read_distillation),
    ".record": Kind(records, read_record, in_folder(".keras-wcd.json")),
    ".evaluation": Kind(lambda: [EVALUATION], read_evaluation, in_folder("evaluation.json")),
    ".box.txt": Kind(lambda: [BOX], read_box),
    ".pcn": Kind(lambda: [INDEX], read_index, in_folder("PCN.json")),
    ".distances.npy": Kind(arrays, read_numbers),
    ".device.npy": Kind(lambda: arrays()[:1], read_on_device),
    ".device.csv": Kind(lambda: [b"1,2,3\n4,5,6\n", b"# x\n1.5,2,3,4\n"], read_on_device),
}
"""Every kind by the ending that the path is given."""
