"""What `keras-wcd data info` says of a file."""

import numpy as np
import pytest
from click.testing import CliRunner
from fuzzing import EXTENSIONS, seeds

from keras_wcd.cli import main
from keras_wcd.data import Cloud, inspect_file, read_cloud, write_cloud


def run(*arguments):
    return CliRunner().invoke(main, ["data", "info", *map(str, arguments)])


def rows(output):
    return {name.strip(): what.strip() for name, _, what in (line.partition("  ") for line in output.splitlines())}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_says_of_every_format_what_was_read(tmp_path, extension):
    for content in seeds(extension):
        path = tmp_path / f"c{extension}"
        path.write_bytes(content)
        found, cloud = inspect_file(path), read_cloud(path)
        assert found["format"] == extension[1:]
        assert found["points"] == str(len(cloud))
        assert found["precision"] == str(cloud.points.dtype)
        assert (found["colors"] == "none") == (cloud.colors is None)
        assert (found["normals"] == "none") == (cloud.normals is None)
        low, _, high = found["y"].partition(" to ")
        np.testing.assert_allclose([float(low), float(high)], [cloud.points[:, 1].min(), cloud.points[:, 1].max()])
        assert all("\n" not in what and what for what in found.values())


def test_says_how_a_text_was_understood(tmp_path):
    (tmp_path / "c.csv").write_text(
        "Point ID;X [m];Y [m];Z [m];r;g;b\n1;1,5;2,5;3,5;9;8;7\n2;;1;1;0;0;0\n3;1;1;1;0;0;0\n"
    )
    result = run(tmp_path / "c.csv")
    assert result.exit_code == 0, result.output
    assert rows(result.output) | {
        "format": "csv",
        "separator": "semicolon",
        "decimal mark": "comma",
        "header": "Point ID, X [m], Y [m], Z [m], r, g, b",
        "columns": "x = X [m], y = Y [m], z = Z [m], red = r, green = g, blue = b",
        "points": "2",
        "precision": "float64",
        "colors": "0 to 9 of 255",
        "normals": "none",
        "columns left out": "Point ID",
        "rows left out": "1 that are not finite",
    } == rows(result.output)


def test_names_a_row_or_an_array_of_many(tmp_path):
    np.savez(tmp_path / "c.npz", left=np.zeros((4, 9, 3)), right=np.ones((4, 9, 3)))
    with pytest.raises(ValueError, match="several clouds; name one with --dataset"):
        inspect_file(tmp_path / "c.npz")
    result = run(tmp_path / "c.npz", "--dataset", "right", "--index", 2)
    assert result.exit_code == 0
    assert rows(result.output)["array"] == "right (4, 9, 3), row 2"
    assert rows(result.output)["arrays not read"] == "left"


def test_says_that_a_mesh_is_sampled(tmp_path):
    (tmp_path / "m.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert inspect_file(tmp_path / "m.off")["mesh"] == "3 vertices, 1 triangles, sampled at 16384 points"


def test_what_cannot_be_read_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "c.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(ValueError, match=r"c\.csv: .*'a', 'b', 'c'"):
        inspect_file(tmp_path / "c.csv")


def test_notes_stay_with_a_cloud_that_is_cut(tmp_path):
    write_cloud(tmp_path / "c.csv", Cloud(np.eye(3)))
    assert read_cloud(tmp_path / "c.csv").select(np.array([0])).notes["separator"] == "comma"
