"""`keras-wcd runs`: the table on the terminal, and what is written on request."""

import pytest
from click.testing import CliRunner
from written_runs import write_run

from keras_wcd.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["runs", *map(str, arguments)])


@pytest.fixture
def two(tmp_path):
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "b", val=(40.0,), config=False)
    return tmp_path / "runs"


def test_runs_are_listed_and_nothing_is_written(two):
    before = sorted(path for path in two.rglob("*"))
    result = run(two)
    assert result.exit_code == 0, result.output
    header, a, b = result.output.splitlines()
    assert header.split()[:4] == ["run", "network", "loss", "data"]
    assert "20.00" in a
    assert "finished" in a
    assert b.endswith("no recipe")
    assert sorted(path for path in two.rglob("*")) == before


def test_comparisons_are_written_where_they_are_asked_for(two, tmp_path):
    files = {"--plot": tmp_path / "c.png", "--html": tmp_path / "c.html", "--csv": tmp_path / "c.csv"}
    result = run(two / "a", two / "b", *[part for pair in files.items() for part in pair])
    assert result.exit_code == 0, result.output
    assert files["--plot"].read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64," in files["--html"].read_text()
    assert len(files["--csv"].read_text().splitlines()) == 3


def test_a_report_is_written_into_runs_with_a_recipe(two):
    result = run(two, "--report")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == str(two / "a" / "report.html")
    assert not (two / "b" / "report.html").exists()
    page = (two / "a" / "report.html").read_text()
    assert "20.00 after epoch 2" in page
    assert "small: epochs=4, network.encoder=[8, 16]" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: there is no such folder; name the folder of a run, or one that holds some"),
        (["."], ".: no run lies there or below; keras-wcd train -o mine makes one"),
        (["runs", "--plot", "no/c.png"], "no/c.png: lies in a folder that does not exist: 'no'; create it first"),
        (["runs", "--plot", "c.xyz"], "c.xyz': unknown suffix '.xyz'; known are"),
        (["runs", "--html", "runs"], "runs: is a folder; give the name of a file to write"),
        ([], "Missing argument 'FOLDERS...'"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, two, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty" if arguments == ["."] else tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert result.output.strip().splitlines()[-1].startswith("Error: ")
