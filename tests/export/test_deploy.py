"""The program in C++ completes a scan as the library does, and what docs/deploy.md shows of Python runs."""

import importlib.metadata
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

import export_models
from networks import SMALL

from keras_wcd import export
from keras_wcd.export import runtime
from keras_wcd.models import BACKBONES

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
POINTS = 128
SIZES = [1, 100, POINTS, 700, 20_000]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return BACKBONES["pcn"](**SMALL["pcn"])


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export.to_tflite(model, tmp_path_factory.mktemp("model") / "pcn.tflite", num_points=POINTS)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The example, built as its first comment says, with every warning an error."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    litert = pytest.importorskip("ai_edge_litert").__path__[0]
    library = pathlib.Path(litert) / "libLiteRt.so"
    if platform.system() != "Linux" or not library.exists():
        pytest.skip(f"ai-edge-litert brings no {library.name} here")
    if tuple(map(int, importlib.metadata.version("ai-edge-litert").split(".")[:3])) < (2, 1, 6):
        pytest.skip("the C API of this ai-edge-litert opens models otherwise")
    out = tmp_path_factory.mktemp("program") / "complete"
    options = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    source = ROOT / "examples" / "cpp" / "complete.cpp"
    subprocess.run([compiler, *options, source, "-o", out, library, f"-Wl,-rpath,{litert}"], check=True)
    return out


def run(program, *arguments):
    return subprocess.run([program, *arguments], cwd=program.parent, capture_output=True, text=True, timeout=60)


def errors(result):
    return [line for line in result.stderr.splitlines() if not line.startswith("INFO")]


def scan_of(size, far=0.0):
    return np.random.default_rng(size).normal(size=(size, 3)) * [4, 1.5, 2] + far


@pytest.mark.parametrize("far", [0.0, 5.4e6])
@pytest.mark.parametrize("size", SIZES)
def test_the_program_completes_a_scan_as_the_runtime_does(program, exported, tmp_path, size, far):
    scan = scan_of(size, far)
    np.savetxt(tmp_path / "scan.txt", scan, fmt="%.17g")
    result = run(program, exported, tmp_path / "scan.txt", tmp_path / "out.ply")
    assert (result.returncode, errors(result)) == (0, []), result.stderr
    found, expected = runtime._read(str(tmp_path / "out.ply")), runtime.complete(exported, scan)
    assert found.dtype == expected.dtype == np.float64
    assert found.shape == expected.shape
    diagonal = np.linalg.norm(np.ptp(scan, axis=0)) or 1
    assert np.abs(found - expected).max() <= 1e-6 * diagonal
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out.ply", "scan.txt"]


def test_of_points_equally_far_the_program_keeps_the_first(program, exported, tmp_path):
    scan = np.stack(np.meshgrid(range(10), range(9), range(8), indexing="ij"), axis=-1).reshape(-1, 3).astype(float)
    np.savetxt(tmp_path / "scan.txt", scan)
    assert run(program, exported, tmp_path / "scan.txt", tmp_path / "out.ply").returncode == 0
    found, expected = runtime._read(str(tmp_path / "out.ply")), runtime.complete(exported, scan)
    assert np.abs(found - expected).max() <= 1e-6 * np.linalg.norm(np.ptp(scan, axis=0))


@pytest.mark.parametrize("quantization", ["float16", "dynamic"])
def test_the_program_runs_the_smaller_sizes(program, model, tmp_path, quantization):
    path = export.to_tflite(model, tmp_path / "small.tflite", quantization=quantization, num_points=POINTS)
    np.savetxt(tmp_path / "scan.txt", scan_of(700), fmt="%.17g")
    assert run(program, path, tmp_path / "scan.txt", tmp_path / "out.ply").returncode == 0
    found, expected = runtime._read(str(tmp_path / "out.ply")), runtime.complete(path, scan_of(700))
    assert np.abs(found - expected).max() <= 1e-6 * np.linalg.norm(np.ptp(scan_of(700), axis=0))


def test_the_program_passes_over_comments_further_columns_and_points_that_are_not_finite(program, exported, tmp_path):
    scan = scan_of(50)
    rows = [" ".join(f"{x:.17g}" for x in point) for point in scan]
    messy = ["# x y z intensity", "", *(f"  {row}\t0.5 7" for row in rows[:30]), "nan 0 0", "0 inf 0", *rows[30:]]
    (tmp_path / "scan.txt").write_bytes("\r\n".join(messy).encode())
    assert run(program, exported, tmp_path / "scan.txt", tmp_path / "out.ply").returncode == 0
    found = runtime._read(str(tmp_path / "out.ply"))
    np.testing.assert_allclose(found, runtime.complete(exported, scan), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be opened"),
        (b"", "holds no finite point"),
        (b"nan nan nan\n", "holds no finite point"),
        (b"1 2 3\n4 5\n", "line 2 does not"),
        (b"x,y,z\n1,2,3\n", "line 1 does not"),
        (b"-1e308 0 0\n1e308 0 0\n", "too large"),
    ],
)
def test_the_program_refuses_a_wrong_scan_in_one_line(program, exported, tmp_path, content, message):
    if content is not None:
        (tmp_path / "scan.txt").write_bytes(content)
    result = run(program, exported, tmp_path / "scan.txt", tmp_path / "out.ply")
    assert result.returncode == 2
    assert len(errors(result)) == 1, result.stderr
    assert message in errors(result)[0]
    assert not (tmp_path / "out.ply").exists()


def test_the_program_refuses_a_wrong_model_in_one_line(program, exported, tmp_path):
    """LiteRT itself crashes on a file that is cut off, or hangs."""
    whole = exported.read_bytes()
    wrong = {"missing": None, "empty": b"", "foreign": np.random.default_rng(0).bytes(5000)}
    wrong |= {f"cut to {share}": whole[: int(share * len(whole))] for share in np.linspace(0.05, 0.99, 9)}
    for place in np.random.default_rng(1).integers(0, len(whole), 5):
        wrong[f"bit {place}"] = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    np.savetxt(tmp_path / "scan.txt", scan_of(20))
    for name, content in wrong.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        result = run(program, tmp_path / name, tmp_path / "scan.txt", tmp_path / "out.ply")
        assert (result.returncode, len(errors(result))) == (2, 1), (name, result.stderr)
        assert not (tmp_path / "out.ply").exists(), name


def test_the_program_says_how_it_is_called_and_where_it_cannot_write(program, exported, tmp_path):
    np.savetxt(tmp_path / "scan.txt", scan_of(20))
    assert "usage" in run(program, exported).stderr
    result = run(program, exported, tmp_path / "scan.txt", tmp_path / "nowhere" / "out.ply")
    assert result.returncode == 2
    assert "cannot be written" in errors(result)[0]


def test_the_shell_commands_of_the_page_are_those_of_the_program():
    comment = (ROOT / "examples" / "cpp" / "complete.cpp").read_text().partition("#include")[0]
    options = re.findall(r"g\+\+ (.*) complete\.cpp", comment)
    assert options
    assert options == re.findall(r"g\+\+ (.*) complete\.cpp", PAGE)


def test_every_section_of_the_page_says_whether_it_is_tested():
    sections = PAGE.split("\n## ")[1:]
    assert len(sections) == 7
    for section in sections:
        assert re.search(r"\n\n\*\*(Tested|Untested)\b", section), section.splitlines()[0]


def test_the_python_of_the_page_runs(exported, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    shutil.copy(ROOT / "export" / "runtime.py", tmp_path)
    shutil.copy(exported, tmp_path / "chair.tflite")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names = {"scan": scan_of(700), "model": export_models.little(2048)}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for code in blocks:
        exec(compile(code, "deploy.md", "exec"), names)
    sys.modules.pop("runtime", None)
    np.testing.assert_array_equal(names["completed"], runtime.complete(exported, scan_of(700)))
    assert names["cloud"].shape == (64, 3)


def test_the_node_of_the_page_turns_a_scan_and_its_completion_back(exported, monkeypatch):
    """ROS is not installed here: its classes are replaced by the few methods that the node calls."""
    (code,) = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    sent, warnings = [], []

    class Node:
        def __init__(self, name):
            self.name = name

        def declare_parameter(self, name, default):
            return types.SimpleNamespace(value=exported)

        def create_publisher(self, kind, topic, depth):
            return types.SimpleNamespace(publish=sent.append)

        def create_subscription(self, kind, topic, callback, depth):
            self.callback = callback

        def get_logger(self):
            return types.SimpleNamespace(warning=warnings.append)

    def read(message, fields, skip_nans):
        return message.points[np.isfinite(message.points).all(axis=1)]

    def create(header, points):
        return types.SimpleNamespace(header=header, points=points)

    clouds = types.SimpleNamespace(read_points_numpy=read, create_cloud_xyz32=create)
    modules = {
        "rclpy": types.ModuleType("rclpy"),
        "rclpy.node": types.SimpleNamespace(Node=Node),
        "runtime": runtime,
        "sensor_msgs": types.ModuleType("sensor_msgs"),
        "sensor_msgs.msg": types.SimpleNamespace(PointCloud2=object),
        "sensor_msgs_py": types.SimpleNamespace(point_cloud2=clouds),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    names = {"__name__": "completer_node"}
    exec(compile(code, "deploy.md", "exec"), names)
    node, scan = names["CompleterNode"](), scan_of(300).astype(np.float32)
    node.callback(create("map", np.concatenate([scan, [[np.nan, 0, 0]]]).astype(np.float32)))
    upward = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)  # columns: x, z, -y become x, y, z
    expected = runtime.complete(exported, scan @ upward.T) @ upward
    assert sent[0].header == "map"
    np.testing.assert_allclose(sent[0].points, expected, atol=1e-6)
    node.callback(create("map", scan[:0]))
    assert len(sent) == 1
    assert "empty" in warnings[0]
