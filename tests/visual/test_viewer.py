import base64
import html.parser
import json
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from keras_wcd.visual.viewer import MAX_POINTS, PAGE, Layer, cloud_page, write_page

NASTY = '</script><b>"scan" & é'
RENDER = """
const fs = require("fs"), script = fs.readFileSync(0, "utf8");
const { draw, layers, start } = new Function(script + "; return { draw, layers, start };")();
const pixels = new Uint32Array(64 * 64);
draw(pixels, new Float32Array(64 * 64), 64, 64, layers, { ...start, turn: 0, tilt: 0 });
process.stdout.write(JSON.stringify({ pixels: [...pixels], points: [...layers[0].points] }));
"""
TURN = """
const fs = require("fs"), script = fs.readFileSync(0, "utf8"), handlers = {}, shown = [], boxes = [];
function element(name) {
  const made = { name, style: {}, children: [], clientWidth: 40, clientHeight: 30,
    append: (...added) => made.children.push(...added), setPointerCapture() {},
    addEventListener: (event, handler) => { (name === "input" ? made : handlers)[event] = handler; },
    getContext: () => ({
      createImageData: (width, height) => ({ width, height, data: new Uint8ClampedArray(4 * width * height) }),
      putImageData: image => shown.push(image.data.some(v => v) ? image.data.join() : "nothing") }) };
  if (name === "input") boxes.push(made);
  return made;
}
const all = { view: element("canvas"), layers: element("div") };
global.document = { getElementById: id => all[id], createElement: element };
global.window = { devicePixelRatio: 1 };
global.requestAnimationFrame = draw => draw();
global.ResizeObserver = class { constructor(later) { this.later = later; } observe() { this.later(); } };
new Function(script)();
const first = shown.at(-1), changed = [];
function act(name, event) { handlers[name]({ preventDefault() {}, ...event }); changed.push(shown.at(-1) !== first); }
act("pointerdown", { pointerId: 1, clientX: 5, clientY: 5 });
act("pointermove", { pointerId: 1, clientX: 95, clientY: 45 });
act("pointerup", { pointerId: 1 });
act("dblclick", {});
act("wheel", { deltaY: -300 });
act("dblclick", {});
act("keydown", { key: "ArrowLeft" });
act("dblclick", {});
boxes.forEach(box => { box.checked = false; box.change(); });
console.log(JSON.stringify({ changed, labels: all.layers.children.length, hidden: shown.at(-1) }));
"""


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(500, 3)) * (1, 2, 3) + 1e5


def data_of(page):
    return json.loads(re.search(r"const data = (.*);\n", page)[1])


def test_the_page_holds_the_points_to_one_step_of_65535(points):
    layer = data_of(cloud_page([Layer("a", points)], "t"))["layers"][0]
    steps = np.frombuffer(base64.b64decode(layer["points"]), "<u2").reshape(-1, 3)
    step = np.ptp(points, axis=0).max() / 65535
    np.testing.assert_allclose(steps * step + points.min(axis=0), points, atol=0.51 * step)
    assert steps.max() == 65535


def test_colors_stay_with_their_points_when_a_layer_is_thinned():
    points = np.repeat(np.arange(MAX_POINTS + 5000)[:, None], 3, axis=1).astype(float)
    colors = np.repeat((np.arange(len(points)) * 255 // len(points))[:, None], 3, axis=1).astype(np.uint8)
    layer = data_of(cloud_page([Layer("a", points, colors)], "t"))["layers"][0]
    steps = np.frombuffer(base64.b64decode(layer["points"]), "<u2")
    found = np.frombuffer(base64.b64decode(layer["colors"]), np.uint8)
    assert len(steps) == len(found) == 3 * MAX_POINTS
    assert layer["count"] == len(points)
    np.testing.assert_allclose(steps / 65535 * 255, found, atol=1.1)


def test_names_are_escaped_and_nothing_comes_from_the_network(points):
    page = cloud_page([Layer(NASTY, points)], NASTY)
    assert NASTY not in page
    assert data_of(page)["layers"][0]["title"] == NASTY
    assert page.count("<script") == page.count("</script") == 1
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    parser = html.parser.HTMLParser()
    parser.feed(page)
    parser.close()


@pytest.mark.parametrize("title", ["STYLE", "{{data}}", "{{title}} SCRIPT %s", "TITLE"])
def test_a_title_is_shown_as_it_is_whatever_the_page_calls_its_parts(points, title):
    page = cloud_page([Layer("{{title}}", points)], title)
    assert re.search("<h1>(.*)</h1>", page)[1] == title
    assert data_of(page)["layers"][0]["title"] == "{{title}}"


def test_the_page_is_in_the_wheel():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    settings = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert PAGE.match(settings["package-data"]["keras_wcd.visual"][0])


def test_the_page_is_for_light_and_dark(points):
    page = cloud_page([Layer("a", points)], "t")
    assert "color-scheme: light dark" in page
    assert "prefers-color-scheme: dark" in page


def ran(page, program):
    if not shutil.which("node"):
        pytest.skip("node is not installed; it runs the page's script")
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)[1]
    done = subprocess.run(["node", "-e", program], input=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rendered(page):
    found = ran(page, RENDER)
    return np.array(found["pixels"], np.uint32).reshape(64, 64), np.array(found["points"])


def test_the_script_shows_a_point_where_it_lies():
    corners = np.array([[-1, -1, 0], [1, 1, 0]], float)
    pixels, points = rendered(cloud_page([Layer("a", corners, np.array([[255, 0, 0], [0, 0, 255]]))], "t"))
    np.testing.assert_allclose(points.reshape(2, 3), corners / np.sqrt(2), atol=1e-4)
    rows, columns = np.nonzero(pixels)
    low_left, up_right = rows > 32, rows < 32
    assert (columns[low_left] < 32).all()
    assert (columns[up_right] > 32).all()
    red, blue = pixels & 255, pixels >> 16 & 255
    assert (red[rows, columns] > 0).tolist() == low_left.tolist()
    assert (blue[rows, columns] > 0).tolist() == up_right.tolist()


def test_the_nearest_point_hides_the_others():
    near_and_far = np.array([[0, 0, 1], [0, 0, -1]], float)
    pixels, _ = rendered(cloud_page([Layer("a", near_and_far, np.array([[255, 0, 0], [0, 255, 0]]))], "t"))
    assert ((pixels & 255) > 0).any()
    assert not ((pixels >> 8 & 255) > 0).any()


@pytest.mark.parametrize("layers", [[], [Layer("a", np.zeros((0, 3)))], [Layer("a", np.full((2, 3), np.nan))]])
def test_refuses_what_cannot_be_shown(layers):
    with pytest.raises(ValueError, match="layers must be"):
        cloud_page(layers, "t")


def test_one_point_is_a_page(points):
    assert data_of(cloud_page([Layer("a", points[:1])], "t"))["size"] == [0, 0, 0]


def test_a_file_is_written_whole(points, tmp_path):
    write_page(tmp_path / "v.html", [Layer("a", points)], "t")
    assert (tmp_path / "v.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(ValueError, match="does not exist"):
        write_page(tmp_path / "none" / "v.html", [Layer("a", points)], "t")


def test_the_view_turns_zooms_starts_again_and_hides_its_layers(points):
    colors = np.full((500, 3), 200, np.uint8)
    found = ran(cloud_page([Layer("a", points, colors), Layer("b", points + 1)], "t"), TURN)
    assert found["changed"] == [False, True, True, False, True, False, True, False]
    assert found["labels"] == 3
    assert found["hidden"] == "nothing"
