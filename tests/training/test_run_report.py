"""The page of a run, from folders written without training."""

import csv
import html
import re

import numpy as np
import pytest
from written_runs import write_run

from keras_wcd.training.run_report import write_report

TOOK = {"step": 5, "learning_rate": 1e-3, "weight_coarse": 1.0, "weight_fine": 1.0, "gradient_norm": 2.0}
TOOK |= {
    "training_seconds": 3.0,
    "validation_seconds": 0.5,
    "ended": 1e9,
    "peak_memory_mb": 700,
    "device_memory_mb": "",
}


def write_epochs(folder, *rows):
    with open(folder / "epochs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", *TOOK])
        writer.writeheader()
        writer.writerows({"epoch": i, **TOOK, **row} for i, row in enumerate(rows))


def write_evaluation(folder, *rows):
    folder.mkdir(parents=True)
    header = ["method", "metric", "difficulty", "average", "Car", "sample_mean"]
    (folder / "table.csv").write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")


def page_of(folder, **options):
    return write_report(folder, **options).read_text()


def cells(page, name):
    """What stands in the row of a name."""
    (row,) = re.findall(f"<tr><td>{re.escape(html.escape(name))}</td>(.*?)</tr>", page)
    return [html.unescape(cell) for cell in re.findall("<td>(.*?)</td>", row)]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3.0, "6.0 s"),
        (49.96, "99.9 s"),
        (62.6, "2:05 min"),
        (3599, "119:58 min"),
        (3600, "2:00 h"),
        (90_060, "50:02 h"),
    ],
)
def test_time_is_the_sum_over_epochs(seconds, said, tmp_path):
    folder = write_run(tmp_path / "a")
    write_epochs(folder, {"training_seconds": seconds}, {"training_seconds": seconds})
    assert cells(page_of(folder), "time") == [f"{said} of training, 1.0 s of validation"]


def test_memory_is_the_largest_and_a_gpu_is_told_of_where_there_is_one(tmp_path):
    folder = write_run(tmp_path / "a")
    write_epochs(folder, {"peak_memory_mb": 900}, {"peak_memory_mb": 800})
    page = page_of(folder)
    assert cells(page, "peak memory") == ["900 MB"]
    assert "peak memory of a GPU" not in page
    write_epochs(folder, {"device_memory_mb": 12}, {})
    assert cells(page_of(folder), "peak memory of a GPU") == ["12 MB"]


def test_what_was_changed_is_marked_in_the_whole_recipe(tmp_path):
    page = page_of(write_run(tmp_path / "a", last=False))
    assert cells(page, "state") == ["interrupted"]
    assert cells(page, "recipe") == ["small: epochs=4, network.encoder=[8, 16]"]
    # Both the epochs made and the recipe's.
    assert re.findall("<td>epochs</td><td>(.*?)</td>", page) == ["4 of 4", "4"]
    assert "<td>epochs</td><td>4</td><td>changed</td>" in page
    assert cells(page, "batch_size") == ["4", ""]
    assert cells(page, "stages.fine.weight") == ["1.0", ""]
    assert cells(page, "loss.alpha") == ["1000.0"]


def test_the_tables_have_a_part_for_each_score_and_difficulties_where_there_are_some(tmp_path):
    folder = write_run(tmp_path / "a")
    write_evaluation(
        folder / "evaluation" / "test",
        ["pcn", "cd_l2", "all", 1.23456, 1.5, 1.25],
        ["pcn", "cd_l2", "easy", 0.5, "nan", 0.25],
        ["pcn", "f_score", "all", 0.98765, 0.5, 0.25],
    )
    write_evaluation(folder / "evaluation" / "val", ["pcn", "cd_l1", "all", 12.3456, 1.5, 1.25])
    page = page_of(folder)
    assert page.index("The best network on val") < page.index("The best network on test")
    assert "<th>CD-L2 x 1000</th><th>difficulty</th><th>average</th><th>Car</th><th>sample_mean</th>" in page
    assert "<td>pcn</td><td>all</td><td>1.235</td><td>1.500</td><td>1.250</td>" in page
    assert "<td>pcn</td><td>easy</td><td>0.500</td><td>nan</td><td>0.250</td>" in page
    assert "<th>F-score @ 1 %</th><th>average</th>" in page
    assert "<td>pcn</td><td>12.35</td>" in page


def test_completions_over_many_epochs_are_the_first_the_last_and_some_between(tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / "pictures").mkdir()
    cloud = np.random.default_rng(0).uniform(-1, 1, (2, 30, 3))
    epochs = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    clouds = {f"epoch_{number:04d}": cloud for number in epochs}
    np.savez(folder / "pictures" / "clouds.npz", scan=cloud, truth=cloud, labels=np.array(["a", "b"]), **clouds)
    shown = []

    def drawn(rows, **options):
        shown.extend(rows)
        return b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_wcd.training.run_report.clouds_png", drawn)
        write_report(folder)
    assert len(shown) == 2
    titles = list(shown[0])
    assert (titles[0], titles[1], titles[-2], titles[-1]) == ("scan", "epoch 1", "epoch 300", "truth")
    assert len(titles) == 9
    assert page_of(folder).count("data:image/png;base64,") == 2


def test_names_in_a_page_are_text(tmp_path):
    data = {"title": "<script>alert(1)</script>", "train size": 18}
    assert "<script>" not in page_of(write_run(tmp_path / "a", data=data))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "no run with a recipe lies there, or its config.json or log.csv is damaged"),
        ("epochs.csv", b"epoch\nx\n", "epochs.csv: no table of numbers"),
        ("pictures/clouds.npz", b"PK", "clouds.npz: damaged"),
        ("evaluation/val/table.csv", b"a,metric\n1,cd_l1\n", "table.csv: no table of an evaluation"),
        ("evaluation/val/table.csv", b"method,metric,average\npcn,cd_l1,x\n", "table.csv: no table of an evaluation"),
    ],
)
def test_a_damaged_file_is_named_and_the_page_stays(name, content, message, tmp_path):
    folder = write_run(tmp_path / "a")
    before = page_of(folder)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        write_report(folder)
    assert (folder / "report.html").read_text() == before


def test_a_folder_that_takes_no_file_is_named(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "a")

    def refused(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(PermissionError, match="report.html: the folder .* takes no new file .Read-only file system"):
        write_report(folder)


def test_a_folder_without_a_run_has_no_report(tmp_path):
    with pytest.raises(ValueError, match="no run with a recipe lies there"):
        write_report(tmp_path)
    with pytest.raises(ValueError, match="no run with a recipe lies there"):
        write_report(write_run(tmp_path / "plain", config=False))
