"""The training of the preset that ships."""

import csv
import importlib.util
import pathlib

import keras
import pytest

if keras.config.backend() != "tensorflow":
    pytest.skip("batches are tf.data's", allow_module_level=True)

from keras_wcd.models import CompletionModel, MirrorNet

PROGRAM = pathlib.Path(__file__).parents[2] / "examples" / "train_preset.py"


@pytest.fixture
def train_preset():
    spec = importlib.util.spec_from_file_location("train_preset", PROGRAM)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program.train_preset


def test_leaves_a_preset_and_a_log(train_preset, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    best = train_preset(tmp_path / "preset", tmp_path / "run", shapes=16, epochs=2)
    model = CompletionModel.from_preset(tmp_path / "preset")
    assert isinstance(model, MirrorNet)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["last.keras", "log.csv"]
    with open(tmp_path / "run" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert best == pytest.approx(min(float(row["val_cd_l1"]) for row in rows))
