"""Damaged files of trainings, distillations and data sets: a value or one clear error; longer: benchmarks/fuzz.py."""

import io
import json
import math
import re
import time
import zipfile

import keras
import numpy as np
import pytest
import run_files
from fuzzing import memory_limit
from run_files import KINDS

from keras_wcd import losses, weighting
from keras_wcd.data.io.npy import read_array, read_arrays
from keras_wcd.distill import DistillationResult
from keras_wcd.files import read_json
from keras_wcd.training.recipe_files import recipe_of

if keras.config.backend() != "tensorflow":
    pytest.skip("these files are read alike on every backend", allow_module_level=True)

EXAMPLES = 150
MEMORY = 2**30
LONGEST = 20
"""Seconds for one."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", KINDS)
def test_a_damaged_file_is_a_value_or_one_clear_error(tmp_path, ending):
    kind, path, read = KINDS[ending], tmp_path / f"c{ending}", set()
    for content in kind.seeds():
        kind.put(path, content)
        assert kind.try_to_read(path)
    with memory_limit(MEMORY):
        for number in range(EXAMPLES):
            kind.put(path, kind.damaged(number))
            start = time.monotonic()
            read.add(kind.try_to_read(path))
            assert time.monotonic() - start < LONGEST, number
    assert False in read


def refused(kind, path, content):
    """The message with which a file is refused."""
    KINDS[kind].put(path, content)
    with pytest.raises(ValueError, match=re.escape(str(path))) as found:
        KINDS[kind].read(path)
    return str(found.value)


NESTED = b"[" * 100_000


@pytest.mark.parametrize(
    "kind", [".recipe.yaml", ".run-config", ".distillation.json", ".record", ".evaluation", ".pcn"]
)
def test_brackets_deeper_than_the_stack_are_refused(tmp_path, kind):
    refused(kind, tmp_path / "c", b'{"a": ' + NESTED if kind != ".pcn" else NESTED)


BOMB = b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (k + 1, k + 1, *([k] * 9)) for k in range(97, 110)
)
RECIPES = {
    "a bomb of aliases": BOMB,
    "a cycle": b"network: &a {x: *a}\n",
    "a date": b"note: 2001-12-14\n",
    "a date that is none": b"batch_size: 2001-99-99\n",
    "a number without digits": b"batch_size: 0b\n",
    "an empty whole number": b"batch_size: !!int ''\n",
    "an empty number": b"batch_size: !!float ''\n",
    "a time that is none": b"batch_size: !!timestamp x\n",
    "a set": b"augmentation: !!set {mirror}\n",
    "bytes": b"note: !!binary aGVsbG8=\n",
    "an object": b"note: !!python/name:os.system x\n",
    "a list for a network": b"backbone: [pcn]\n",
    "keys that are numbers": b"network: {1: 2}\n",
    "a number beyond floats": b"batch_size: 1" + b"0" * 400,
    "a number for a list": b"schedule: {kind: Piecewise, values: 3, starts: 4}\n",
    "a list for a number": b"schedule: {kind: Constant, value: [1, 2]}\n",
    "a schedule for a number": b"schedule: {kind: Constant, value: {kind: Constant, value: 1}}\n",
    "a long name": b"x" * 3000 + b": 1\n",
    "a long value": b"optimizer: " + b"x" * 3000 + b"\n",
    "no UTF-8": b"note: \xff\n",
    "too large": b"[" * 2**21,
    "brackets without end": b"[" * 2**16,
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_of_something_else_is_refused(tmp_path, case):
    start = time.monotonic()
    message = refused(".recipe.yaml", tmp_path / "c.yaml", RECIPES[case])
    assert time.monotonic() - start < LONGEST
    assert len(message) < 600 + len(str(tmp_path))


def test_a_constant_rate_may_follow_a_rise(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("schedule: {kind: WarmUp, epochs: 4, after: 0.5}\n")
    assert recipe_of(path, "pcn").learning_rate(1) == pytest.approx(0.25)


@pytest.mark.parametrize("part", ["recipe", "loss", "seed"])
@pytest.mark.parametrize("value", [[1], 3.5, "x", {"class_name": "x"}, {"class_name": [], "config": {}}])
def test_a_run_of_another_beginning_is_refused(tmp_path, part, value):
    config = {**json.loads(run_files.configs()[0]), part: value}
    refused(".run-config", tmp_path / "c", json.dumps(config).encode())


def checkpoint_with(state=None, **arrays):
    with np.load(io.BytesIO(run_files.checkpoints()[0])) as file:
        kept = {**file, **arrays}
    if state is not None:
        whole = json.loads(kept["state"].tobytes())
        kept["state"] = np.frombuffer(json.dumps({**whole, **state}).encode(), np.uint8)
    return run_files.saved(**kept)


BAD_POSITIONS = [
    3,
    {},
    {"epoch": "x"},
    {"epoch": -1},
    {"sums": {"loss": "x"}},
    {"sums": 3},
    {"pairs": 0},
    {"history": [[1]]},
]


@pytest.mark.parametrize("position", BAD_POSITIONS)
def test_a_checkpoint_of_no_place_in_a_run_is_refused(tmp_path, position):
    whole = json.loads(run_files.states()[0])["position"]
    given = {**whole, **position} if position and isinstance(position, dict) else position
    if given == {}:
        given = {"place": 3}
    refused(".checkpoint.npz", tmp_path / "c.npz", checkpoint_with({"position": given}))


@pytest.mark.parametrize(
    "array", [np.array(["x"] * 9).reshape(3, 3), np.zeros((3, 3), "float64"), np.zeros((3, 3), "M8[s]")]
)
def test_a_checkpoint_of_arrays_of_another_type_is_refused(tmp_path, array):
    before = [keras.ops.convert_to_numpy(v) for v in run_files.trained().variables]
    refused(".checkpoint.npz", tmp_path / "c.npz", checkpoint_with(v00000=array))
    for variable, value in zip(run_files.trained().variables, before, strict=True):
        np.testing.assert_array_equal(variable.value, value)


def npy(shape, dtype="<f4", data=b""):
    header = b"{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (dtype.encode(), shape.encode())
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


HEADERS = {
    "more than any memory": npy("(1000000000000,)"),
    "a shape that is no number": npy("(x,)"),
    "brackets left open": npy("((((((("),
    "objects": npy("(2,)", "|O", bytes(16)),
    "a negative shape": npy("(-1,)"),
    "nothing": b"",
    "text": b"1 2 3\n",
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("kind", [".distances.npy", ".device.npy"])
def test_an_array_of_a_header_that_lies_is_refused(tmp_path, case, kind):
    refused(kind, tmp_path / "c.npy", HEADERS[case])


@pytest.mark.parametrize("case", [*HEADERS, "a bomb"])
@pytest.mark.parametrize("kind", [".checkpoint.npz", ".batch.npz"])
def test_an_archive_of_a_header_that_lies_is_refused(tmp_path, case, kind):
    content = npy("(300000000,)", data=bytes(3 * 10**8)) if case == "a bomb" else HEADERS[case]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("state", "partial"):
            archive.writestr(f"{name}.npy", content)
    with memory_limit(MEMORY):
        refused(kind, tmp_path / "c.npz", stream.getvalue())


@pytest.mark.parametrize("shape", [(), (0,), (4, 0), (2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "uint32", "int64", "bool", "<U4"])
def test_arrays_of_every_kind_are_read(tmp_path, shape, dtype):
    array = np.ones(shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", a=array, b=np.asfortranarray(array))
    for found in (read_array(tmp_path / "a.npy"), *read_arrays(tmp_path / "a.npz").values()):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype


BAD_RESULTS = {
    "no ranking": {"ranking": []},
    "a teacher that is a number": {"teacher": 3},
    "a teacher of another kind": {"teacher": {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}},
    "a gradient of words": {"teacher_gradient": ["a"] * 6},
    "a gradient too short": {"teacher_gradient": [1.0]},
    "a gradient of no numbers": {"teacher_gradient": [math.nan] * 6},
    "distances that fall": {"distances": {"support": [2, 1], "weights": [1, 1]}},
    "distances of words": {"distances": {"support": "x", "weights": "y"}},
    "a list": [],
}


@pytest.mark.parametrize("case", BAD_RESULTS)
def test_a_distillation_of_something_else_is_refused(tmp_path, case):
    bad = BAD_RESULTS[case]
    record = {**json.loads(run_files.distillations()[0]), **bad} if isinstance(bad, dict) else bad
    message = refused(".distillation.json", tmp_path / "c.json", json.dumps(record).encode())
    assert "not written by DistillationResult.to_json" in message


BAD_FAMILIES = [
    {"weighting": 3},
    {"weighting": {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}},
    {"weighting": {"class_name": "system", "module": "os", "config": "x", "registered_name": "function"}},
    {"scale": 0.0},
    {"scale": "x"},
    {"shift": None},
    {"objective": math.inf},
    {"parameters": {"a": "x"}},
    {"at_edge": [1]},
    {"family": 3},
    {"unknown": 3},
]


@pytest.mark.parametrize("bad", BAD_FAMILIES)
def test_a_family_of_something_else_is_refused(tmp_path, bad):
    record = json.loads(run_files.distillations()[0])
    record["ranking"][1] |= bad
    refused(".distillation.json", tmp_path / "c.json", json.dumps(record).encode())


def test_a_distillation_given_as_text_is_named_source():
    with pytest.raises(ValueError, match="^source: not written by"):
        DistillationResult.from_json("{" + NESTED.decode())


@pytest.mark.parametrize("get", [losses.get, weighting.get])
@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "Nothing", "config": {}},
        {"class_name": [], "config": {}},
        {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}, "registered_name": None},
        {"class_name": "CD", "module": "no.such", "config": {}, "registered_name": "keras_wcd>Nothing"},
        {"class_name": "x" * 5000, "config": 3},
    ],
)
def test_a_config_of_something_else_is_refused(get, config):
    with pytest.raises(ValueError, match="config of .* (cannot be read|is of a)"):
        get(config)


@pytest.mark.parametrize("content", [b"\xff", NESTED, b"", b"{", b"1" * 5000, b"[1, 2"])
def test_what_is_no_json_is_refused_with_its_file(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.json: not a JSON file"):
        read_json(path)
    with pytest.raises(ValueError, match="none.json: not a JSON file"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    "bad", [{"made_with": {"ab": 3}}, {"results": {"a.ply": []}}, {"results": 3}, {"made_with": None}]
)
def test_a_record_of_something_else_is_refused(tmp_path, bad):
    record = {"format": 1, "made_with": {"ab": {}}, "results": {"a.ply": "ab"}, **bad}
    assert "is damaged" in refused(".record", tmp_path / "c", json.dumps(record).encode())
