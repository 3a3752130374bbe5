"""One rule for every text: what separates, which mark is decimal, which columns are x, y and z."""

import time

import numpy as np
import pytest

from keras_wcd.data import Cloud, read_cloud, write_cloud
from keras_wcd.data.io.names import columns_by_name, meaning

ROW = [[1.5, 2.5, 3.5]]
READ = {
    "1,5;2,5;3,5\n": ROW,
    "1,5|2,5|3,5\n": ROW,
    "1,5\t2,5\t3,5\n": ROW,
    "1,5 2,5 3,5\n": ROW,
    "1,5   2,5\t 3,5\n": ROW,
    "1,5;2,5;3,5;\n": ROW,
    '"1,5","2,5","3,5"\n': ROW,
    "1.5,2.5,3.5\n": ROW,
    "1.5 , 2.5 , 3.5\n": ROW,
    "1.5,2.5,3.5,\n": ROW,
    "123,456,789\n": [[123, 456, 789]],
    "100,200,300,100,150,200\n": [[100, 200, 300]],
    "001.5,002.5,003.5\n": ROW,
    "7,123.5,2.5,3.5\n": [[7, 123.5, 2.5]],
    '"1.5","2.5","3.5"\n': ROW,
    "'1.5' '2.5' '3.5'\n": ROW,
    "+1,5;,5e1;-3,5E+0\n": [[1.5, 5, -3.5]],
    "1,234 5,678 9,012\n": [[1.234, 5.678, 9.012]],
    "1,5,2,5,3,7\n": [[1, 5, 2]],
    "1;2;3,5\n4;5;6\n": [[1, 2, 3.5], [4, 5, 6]],
    "x;y;z\n1,5;2,5;3,5\n": ROW,
    "x,y,z\r1.5,2.5,3.5\r": ROW,
    "x y z\r\n1.5 2.5 3.5\r\n": ROW,
    "1.5D+00 25.d-1 3.5\n": ROW,
    "1.5 2.5 3.5\n-1.#IND 0 0\n1.#QNAN 0 0\nnan(ind) 0 0\n-nan 1 1\n1.#INF 1 1\nNaN 1 1": ROW,
    "-1.#IND 1 1\n1.5 2.5 3.5\n": ROW,
    ",,,\n1.5,2.5,3.5,9\n": ROW,
    "1,5;2,5;3,5\n;;\n1;;3\n": ROW,
    "1\n1.5 2.5 3.5\n": ROW,
    "# a comment\n// another\n% and one\n1.5 2.5 3.5 # end\n# last\n": ROW,
}
NAMED = {
    "Point ID,X,Y,Z,Intensity\n7,1.5,2.5,3.5,9\n": ROW,
    "id,x,y,z\n,1.5,2.5,3.5\n": ROW,
    "id\tx\ty\tz\n\t1.5\t2.5\t3.5\n": ROW,
    "a;x;b;y;z\n;1,5;;2,5;3,5\n": ROW,
    "x,id,y,z\n1.5,,2.5,3.5\n": ROW,
    ",x,y,z\n0,1.5,2.5,3.5\n": ROW,
    "X [m];Y [m];Z [m]\n1,5;2,5;3,5\n": ROW,
    "X [m] Y [m] Z [m]\n1.5 2.5 3.5\n": ROW,
    "x(m),y(m),z(m)\n1.5,2.5,3.5\n": ROW,
    "x/m;y/m;z/m\n1.5;2.5;3.5\n": ROW,
    "x_mm y_mm z_mm\n1.5 2.5 3.5\n": ROW,
    '"Points:0","Points:1","Points:2"\n1.5,2.5,3.5\n': ROW,
    '"u","Points_0","Points_1","Points_2"\n9,1.5,2.5,3.5\n': ROW,
    "pos_x,pos_y,pos_z\n1.5,2.5,3.5\n": ROW,
    "Easting,Northing,Elevation\n1.5,2.5,3.5\n": ROW,
    "P;NORTHING;EASTING;ALTITUDE\nA;2.5;1.5;3.5\n": ROW,
    "East North Height\n1.5 2.5 3.5\n": ROW,
    "E,N,Z\n1.5,2.5,3.5\n": ROW,
    "x,y,height\n1.5,2.5,3.5\n": ROW,
    "x y z height\n1.5 2.5 3.5 9\n": ROW,
    "//X Y Z R G B\n1.5 2.5 3.5 1 2 3\n": ROW,
    "# x y z\n1.5 2.5 3.5\n": ROW,
    "# z y x\n3.5 2.5 1.5\n": ROW,
    "# scan of a car\n# columns: z y x\n3.5 2.5 1.5\n": ROW,
    "title\nZ,Y,X\n3.5,2.5,1.5\n": ROW,
    "z y x\nm m m\n3.5 2.5 1.5\n": ROW,
    "time,x,y,z\n2024-01-01 12:00:00,1.5,2.5,3.5\n": ROW,
    'label,x,y,z\n"a, b",1.5,2.5,3.5\nc,4,5,6\n': [*ROW, [4, 5, 6]],
}
REFUSED = {
    "1,5, 2,5, 3,5\n": r"reads as \(1, 5, 2, 5, 3, 5\) and, with decimal commas, as \(1.5, 2.5, 3.5\)",
    "x,y,z\n1,5,2,5,3,5\n": "6 numbers or, with decimal commas, as 3",
    "1,234.5 2 3\n": "between thousands",
    "1.234,5;2;3\n": "between thousands",
    "1,234,567 2 3\n": "between thousands",
    "1'234.5;2;3\n": "between thousands",
    "1 234,5;2;3\n": "between thousands",
    "1,000.5,2,3\n": "between thousands",
    "1,234.5,2,345.6,3,456.7\n9,876.5,8,765.4,7,654.3\n": "between thousands",
    "1 2 3\n1,234,567 2 3\n": "between thousands",
    "1.5;2,5;3\n": "point and others a comma",
    "1 2 3\n4,5,6\n": "row 2",
    "1,2,3\n4;5;6\n": "row 2",
    "1 2 3\n4 5\n": "row 2",
    "id x y z i\n1 2 3 4 5\n2 3 4 5\n": "row 2",
    "id,x,y,z\n1,2,3,4\n2,3,4\n": "row 2",
    "1,5;2,5;3,5\n1;2\n": "row 2",
    "a,b,c\n1,2,3\n": "'a', 'b', 'c'",
    "lat,lon,label\n1,2,3\n": "'lat', 'lon', 'label'",
    "x,y,label\n1,2,3\n": "'x', 'y', 'label'",
    "x,y,z,x\n1,2,3,4\n": "twice",
    "Point ID X Y Z\n1 2 3 4\n": "5 columns",
    '"x" "y" "z"\n"1" 1 2 3\n': "3 columns",
    "# id x y z\n1 2 3 4 5\n": "4 columns",
    "P1 1.0 2.0 3.0\n": "first column is not numbers",
    "ncols 4\nnrows 2\n1 2 3 4\n": "grid of heights",
    "5\n1 2 3\n4 5 6\n7 8 9\n1 1 1\n": "promises 5",
    "1 2\n3 4\n": "fewer than three",
    "just\nwords\n": "names no columns",
}


def read(tmp_path, text, extension=".txt"):
    path = tmp_path / f"c{extension}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cloud(path)


@pytest.mark.parametrize("extension", [".txt", ".csv", ".asc", ".dat", ".tsv", ".pts", ".xyz"])
@pytest.mark.parametrize("text", [*READ, *NAMED])
def test_reads_a_text_by_the_rule(tmp_path, text, extension):
    np.testing.assert_array_equal(read(tmp_path, text, extension).points, (READ | NAMED)[text])


@pytest.mark.parametrize("text", READ)
def test_a_long_file_is_read_as_its_first_rows_are(tmp_path, text):
    expected = READ[text] * 3000
    row = text if text.endswith("\n") else text + "\n"
    if any(row.startswith(word) for word in ("x", "1\n")) or "\r" in row:
        pytest.skip("its first line stands there once")
    np.testing.assert_array_equal(read(tmp_path, row * 3000).points, expected)


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_the_rule_does_not_fit(tmp_path, text):
    with pytest.raises(ValueError, match=f"c.txt: .*{REFUSED[text]}"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("odd", "message"),
    [("7;8;9", "row 2501"), ("7 8", "row 2501"), ("7,5 8 9,5,1", "row 2501"), ("a 8 9", "row 2501.*'a'")],
)
def test_a_row_far_down_that_breaks_the_rule_is_named(tmp_path, odd, message):
    lines = ["1,5 2 3"] * 5000
    lines[2500] = odd
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "\n".join(lines))


def test_decimal_commas_far_down_count_as_such(tmp_path):
    lines = ["1;2;3"] * 5000 + ["1,5;2,5;3,5"]
    assert read(tmp_path, "\n".join(lines)).points[-1].tolist() == ROW[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("text", ["1.5 2.5 3.5\n", "Länge,x,y,z\n9,1.5,2.5,3.5\n"])
def test_reads_every_encoding_of_letters(tmp_path, text, encoding):
    assert read(tmp_path, text.encode(encoding)).points.tolist() == ROW


@pytest.mark.parametrize(
    ("extension", "text", "colors", "normals"),
    [
        (".xyzn", "1 2 3 0 0 1\n", None, [[0, 0, 1]]),
        (".xyzrgb", "1 2 3 0 0.5 1\n", [[0, 128, 255]], None),
        (".xyzrgb", "1 2 3 0 128 255\n", [[0, 128, 255]], None),
        (".xyznrgb", "1 2 3 0 0 1 9 8 7\n", [[9, 8, 7]], [[0, 0, 1]]),
        (".pts", "2\n1 2 3 -700 9 8 7\n4 5 6 -1 0 0 255\n", [[9, 8, 7], [0, 0, 255]], None),
        (".pts", "2\n1 2 3 50 9 8 7\n4 5 6 60 0 0 255\n", [[9, 8, 7], [0, 0, 255]], None),
        (".pts", "1\n1 2 3 5 9 8 7\n2\n1 2 3 5 9 8 7\n1 2 3 5 9 8 7\n", [[9, 8, 7]] * 3, None),
        (".pts", "1\n1 2 3 5 9 8 7\n1 2 3 5 6 5 4\n", [[9, 8, 7]], None),
        (".txt", "//X Y Z R G B\n1 2 3 9 8 7\n", [[9, 8, 7]], None),
        (".csv", "x,y,z,r,g,b\n1,2,3,65535,0,2570\n", [[255, 0, 10]], None),
        (".csv", "x,y,z,r,g,b\n1,2,3,0.5,0,1\n", [[128, 0, 255]], None),
        (".csv", "x,y,z,R [0-255],G [0-255],B [0-255]\n1,2,3,9,8,7\n", [[9, 8, 7]], None),
        (".csv", "X;Y;Z;Rf;Gf;Bf;Nx;Ny;Nz\n1;2;3;0,5;0;1;0;0;1\n", [[128, 0, 255]], [[0, 0, 1]]),
        (".csv", '"RGB:0","RGB:1","RGB:2","Points:0","Points:1","Points:2"\n9,8,7,1,2,3\n', [[9, 8, 7]], None),
        (".csv", "x,y,z,normal_x,normal_y,normal_z\n1,2,3,0,0,1\n", None, [[0, 0, 1]]),
    ],
)
def test_colors_and_normals_of_a_text(tmp_path, extension, text, colors, normals):
    found = read(tmp_path, text, extension)
    assert found.points[0].tolist() == [1, 2, 3]
    assert (None if found.colors is None else found.colors.tolist()) == colors
    assert (None if found.normals is None else found.normals.tolist()) == normals


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("X", "x"),
        ('"Points:2"', "z"),
        ("X coordinate", "x"),
        ("coord_y", "y"),
        ("cartesianZ", "z"),
        ("Normals:1", "ny"),
        ("NormalZ", "nz"),
        ("color_r", "red"),
        ("Diffuse_Blue", "blue"),
        ("Height [m]", "height"),
        ("Intensity", "intensity"),
        ("number_of_returns", "number_of_returns"),
        ("scalar_R", "scalar_r"),
    ],
)
def test_a_name_has_one_meaning(name, word):
    assert meaning(name) == word


def test_names_that_belong_together_are_taken_together():
    assert columns_by_name(["x", "y", "easting", "northing", "height"]) == {"x": 2, "y": 3, "z": 4}
    assert columns_by_name(["x", "y", "z", "easting", "northing", "height"]) == {"x": 0, "y": 1, "z": 2}
    assert columns_by_name(["x", "y"]) is None


def test_every_row_without_numbers_is_counted(tmp_path):
    found = read(tmp_path, "x;y;z\n1;2;3\n;2;3\n4;5;6\n")
    assert found.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found.notes["rows left out"] == "1 that are not finite"


def test_a_million_points_take_seconds_whatever_their_marks(tmp_path):
    cloud = Cloud(np.random.default_rng(0).normal(size=(200_000, 3)))
    write_cloud(tmp_path / "c.csv", cloud)
    content = (tmp_path / "c.csv").read_bytes()
    (tmp_path / "c.csv").write_bytes(content.replace(b",", b";").replace(b".", b","))
    start = time.process_time()
    np.testing.assert_array_equal(read_cloud(tmp_path / "c.csv").points, cloud.points)
    assert time.process_time() - start < 4
