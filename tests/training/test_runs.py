"""Runs found in folders: what each says of itself, and several side by side."""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from backends import tensorflow_only
from written_runs import write_network, write_run

from keras_wcd.training.run_folder import locked
from keras_wcd.training.runs import find_runs, plot_runs, read_run, runs_table, write_comparison, write_csv


def test_a_run_says_what_it_was_and_how_far_it_came(tmp_path):
    run = read_run(write_run(tmp_path / "a"))
    assert (run.network, run.loss, run.data) == ("pcn", "hyper_cd(alpha=1000.0)", "Shapes8 (18)")
    assert (run.progress, run.state) == ("4/4", "finished")
    assert (run.best, run.best_epoch) == (20.0, 2)
    assert run.recipe == "small: epochs=4, network.encoder=[8, 16]"
    assert run.curve("val_loss") == ([1, 2, 3, 4], [30.0, 20.0, 25.0, 22.0])


@pytest.mark.parametrize(("steps", "size", "epochs"), [(9, 18, 2), (10, 18, 2), (11, 18, 3), (5, 20, 1), (6, 20, 2)])
def test_epochs_of_a_run_of_so_many_steps(steps, size, epochs, tmp_path):
    # Batches of four: 18 pairs are five steps, as 20 are.
    recipe, data = {"epochs": None, "steps": steps}, {"title": "Shapes8", "train size": size}
    run = read_run(write_run(tmp_path / "a", val=(3.0,), recipe=recipe, data=data))
    assert run.epochs == epochs
    assert run.progress == f"1/{epochs}"


def test_the_best_figure_is_a_number(tmp_path):
    assert read_run(write_run(tmp_path / "a", val=("nan", 7.0, "inf", ""))).best == 7.0
    nothing = read_run(write_run(tmp_path / "b", val=()))
    assert (nothing.best, nothing.best_epoch, nothing.progress) == (None, None, "0/4")


def test_the_state_of_a_run(tmp_path):
    assert read_run(write_run(tmp_path / "finished")).state == "finished"
    begun = write_run(tmp_path / "begun", last=False)
    assert read_run(begun).state == "interrupted"
    # What a process that was killed has left behind.
    (begun / ".lock").write_text("process 1 on nowhere")
    assert read_run(begun).state == "interrupted"
    (begun / "diverged").mkdir()
    assert read_run(begun).state == "diverged"


def test_a_run_in_which_another_process_trains_is_running(tmp_path):
    folder = write_run(tmp_path / "a")
    holder = (
        "import pathlib, sys, time\nfrom keras_wcd.training.run_folder import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", holder, folder]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert read_run(folder).state == "running"
        other.kill()
    assert read_run(folder).state == "finished"
    # Who only looks takes nothing.
    with locked(folder):
        assert read_run(folder).state == "running"
    with locked(folder):
        pass


def test_runs_are_found_at_any_depth_once_each_and_in_order(tmp_path):
    for name in ("b/2", "b/10", "a"):
        write_run(tmp_path / name)
    # What lies in a run is its own, what is hidden is nobody's, and a preset is no run.
    write_run(tmp_path / "a" / "old")
    write_run(tmp_path / ".trash" / "c")
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "config.json").write_text(json.dumps({"class_name": "PCN"}))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "log.csv").write_text("day,what\n")
    found = find_runs(tmp_path, tmp_path / "b", tmp_path / "b" / "10")
    assert [run.folder.relative_to(tmp_path).as_posix() for run in found] == ["a", "b/10", "b/2"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "none: there is no such folder; name the folder of a run"),
        ("file", "file: is a file; name the folder of a run"),
        ("empty", "empty: no run lies there or below; keras-wcd train -o"),
    ],
)
def test_a_folder_without_runs_is_one_clear_error(name, message, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=re.escape(message)):
        find_runs(tmp_path / name)


def test_a_run_without_a_recipe_is_marked_and_known_by_its_network(tmp_path):
    folder = write_run(tmp_path / "plain", config=False)
    write_network(folder / "best.keras")
    (run,) = find_runs(tmp_path)
    assert (run.network, run.loss, run.recipe, run.progress) == ("pcn", "landau_cd", "no recipe", "4")
    (folder / "best.keras").write_bytes(b"PK")
    assert (read_run(folder).network, read_run(folder).state) == ("", "finished")


@pytest.mark.parametrize("other", ["[]", "{}", '{"class_name": "PCN"}'])
def test_a_log_beside_the_configuration_of_something_else_is_a_run_without_a_recipe(other, tmp_path):
    folder = write_run(tmp_path / "a", config=False)
    (folder / "config.json").write_text(other)
    (run,) = find_runs(tmp_path)
    assert (run.recipe, run.state, run.best) == ("no recipe", "finished", 20.0)


DAMAGES = {
    "cut": lambda config, log: (config[: len(config) // 2], log),
    "epochs no number": lambda config, log: (config.replace('"batch_size": 4', '"batch_size": 0'), log),
    "data no mapping": lambda config, log: (re.sub(r'"data": {.*?}', '"data": [1]', config), log),
    "no numbers": lambda config, log: (config, log.replace("20.0", "twenty")),
    "no text": lambda config, log: (config, "\udcff"),
    "no table": lambda config, log: (config, "epoch,loss\n1,2,3\n"),
    "nested": lambda config, log: ("[" * 100_000, log),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_stands_in_the_table_beside_the_others(damage, tmp_path):
    write_run(tmp_path / "good")
    bad = write_run(tmp_path / "bad", recipe={"epochs": None, "steps": 9})
    (bad / "checkpoint.npz").write_bytes(b"")
    config, log = DAMAGES[damage]((bad / "config.json").read_text(), (bad / "log.csv").read_text())
    (bad / "config.json").write_text(config)
    (bad / "log.csv").write_text(log, errors="surrogateescape")
    found = {run.folder.name: run.state for run in find_runs(tmp_path)}
    assert found == {"bad": "damaged", "good": "finished"}
    assert "good" in runs_table(find_runs(tmp_path))


def test_a_folder_that_cannot_be_written_to_is_listed(tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / ".lock").write_text("process 1 on nowhere")
    before = sorted(os.listdir(folder))
    folder.chmod(0o555)
    try:
        assert read_run(folder).state == "finished"
    finally:
        folder.chmod(0o755)
    assert sorted(os.listdir(folder)) == before


def test_the_table_has_a_line_for_each_run(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "longer", val=(9.125,), last=False)
    write_run(tmp_path / "plain", val=(), config=False, last=False).joinpath("log.csv").write_text("epoch,loss\n")
    header, *lines = runs_table(find_runs(tmp_path)).splitlines()
    assert header.split() == ["run", "network", "loss", "data", "epochs", "CD-L1", "at", "state", "recipe"]
    assert len(lines) == 3
    small = "small: epochs=4, network.encoder=[8, 16]"
    known = ["pcn", "hyper_cd(alpha=1000.0)", "Shapes8 (18)"]
    assert re.split(" {2,}", lines[0]) == [str(tmp_path / "a"), *known, "4/4", "20.00", "2", "finished", small]
    assert re.split(" {2,}", lines[1])[4:] == ["1/4", "9.12", "1", "interrupted", small]
    assert re.split(" {2,}", lines[2])[1:] == ["-", "-", "-", "0", "-", "-", "interrupted", "no recipe"]


def test_a_line_is_cut_where_a_recipe_changes_much(tmp_path):
    values = {f"network.argument{i}": i for i in range(9)}
    write_run(tmp_path / "a", changed={"from": "small", "values": values})
    line = runs_table(find_runs(tmp_path)).splitlines()[1]
    assert re.split(" {2,}", line)[-1].startswith("small: network.argument0=0, network.argument1=1, ")
    assert line.endswith(" ...")
    assert len(re.split(" {2,}", line)[-1]) <= 80
    write_csv(find_runs(tmp_path), tmp_path / "t.csv")
    assert "network.argument8=8" in (tmp_path / "t.csv").read_text()


def test_the_csv_has_all_digits(tmp_path):
    write_run(tmp_path / "a", val=(9.123456789,))
    write_csv(find_runs(tmp_path), tmp_path / "t.csv")
    (row,) = csv.DictReader((tmp_path / "t.csv").open(newline=""))
    assert float(row["val_cd_l1"]) == 9.123456789
    assert (row["run"], row["epochs_done"], row["epochs"]) == ((tmp_path / "a").as_posix(), "1", "4")


def test_comparisons_are_drawn_and_written(tmp_path):
    for number in range(9):
        write_run(tmp_path / f"run{number}", val=[30.0 - number, 20.0, 25.0])
    runs = find_runs(tmp_path)
    (path,) = plot_runs(runs, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert path == str(tmp_path / "curves.png")
    write_comparison(runs, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert all(f"<td>{run.folder}</td>" in page for run in runs)


def test_runs_without_an_epoch_have_no_curves(tmp_path):
    write_run(tmp_path / "a", val=())
    with pytest.raises(ValueError, match="none of these runs has made a whole pass"):
        plot_runs(find_runs(tmp_path), tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_looking_at_runs_loads_no_framework():
    code = (
        "import sys, keras_wcd.training.runs, keras_wcd.training.run_report, keras_wcd.commands.runs\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=os.path.dirname(sys.executable), check=True)


@tensorflow_only
def test_what_a_recipe_changes_is_said_of_the_nearest_known_one():
    from keras_wcd.training import RECIPES, changed, small
    from keras_wcd.training.described import changes_of

    assert changes_of(RECIPES["pointr"]) == {"from": "published", "values": {}}
    assert changes_of(small("pcn")) == {"from": "small", "values": {}}
    recipe = changed(small("pcn"), {"batch_size": 8, "stages.fine.weight": 2.0, "network.num_coarse": 16})
    values = {"stages.fine.weight": 2.0, "batch_size": 8, "network.num_coarse": 16}
    assert changes_of(recipe) == {"from": "small", "values": values}
    scheduled = changed(RECIPES["pcn"], {"schedule": {"kind": "Exponential", "value": 1e-3, "factor": 0.5, "every": 5}})
    assert changes_of(scheduled)["values"]["schedule.kind"] == "Exponential"


@tensorflow_only
@pytest.mark.parametrize(
    ("loss", "title"),
    [
        ("cd_l1", "cd_l1"),
        ("cd_l2", "cd_l2"),
        ("landau_cd", "landau_cd"),
        ({"name": "hyper_cd", "alpha": 1000.0}, "hyper_cd(alpha=1000.0)"),
        ({"name": "cd_l1", "pred_weight": 2.0}, "cd(pred_weight=2.0)"),
        ({"name": "landau_cd", "variant": "released", "scale": 0.5}, "landau_cd(variant=released, scale=0.5)"),
    ],
)
def test_a_loss_is_called_by_its_name_and_what_was_given(loss, title):
    from keras_wcd import losses
    from keras_wcd.training.described import title_of

    assert title_of(losses.get(loss)) == title


@tensorflow_only
def test_a_loss_of_the_users_has_a_title():
    import keras

    from keras_wcd.training.described import title_of

    class Mine(keras.losses.Loss):
        def __init__(self, table=(1.0, 2.0), power=1, **kwargs):
            super().__init__(**kwargs)
            self.table, self.power = np.asarray(table), power

        def get_config(self):
            return {**super().get_config(), "table": self.table, "power": self.power}

    assert title_of(Mine(power=2, name="mine")).startswith("mine(table=")
    assert title_of(Mine(power=2, name="mine")).endswith("power=2)")
    assert len(title_of(Mine(range(9999), name="mine"))) < 80
    assert title_of(keras.losses.MeanSquaredError()) == "mean_squared_error"


@tensorflow_only
def test_every_loss_has_a_title():
    from keras_wcd.losses import LOSSES, get
    from keras_wcd.training.described import title_of

    for name in set(LOSSES) - {"weighted_cd", "cd"}:
        assert title_of(get(name)) == name
