"""The page in a real browser: files are dropped into it, and what it completes is what Keras completes."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

from click.testing import CliRunner
from scipy.spatial import KDTree

from keras_wcd import export
from keras_wcd.cli import main
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import read_points, write_cloud
from keras_wcd.export import site
from keras_wcd.export.serving import HEADERS, serving
from keras_wcd.models import CompletionModel

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    # WebGL without a graphics card.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
NEAR = 1e-3
"""Of the scan's diagonal."""
CHOSEN_OTHERWISE = 16
"""Points of 2048 that may be others, as in test_shipped_file."""


@pytest.fixture(scope="module")
def model():
    return CompletionModel.from_preset("default")


@pytest.fixture(scope="module")
def network(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    return site.write_model(export.to_tflite(model, folder / "default.tflite"), folder)


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory):
    """The built page; npm fetches what it is made of."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the page cannot be built")
    try:
        return site.build_page(tmp_path_factory.mktemp("page"))
    except ValueError as error:
        if "cannot fetch" in str(error):
            pytest.skip(f"{error}")
        raise


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser is driven")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: the page is not tried in a browser")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(page_folder, network):
    with serving(page_folder, network) as address:
        yield address


class Page:
    """A page in a tab of its own, and what it asked for and complained of."""

    def __init__(self, browser, address, **options):
        options = {"reduced_motion": "reduce", **options}
        self.context = browser.new_context(accept_downloads=True, **options)
        self.tab = self.context.new_page()
        self.asked, self.errors = [], []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.tab.goto(address)
        self.tab.wait_for_selector("#stage[aria-busy=false]", timeout=60_000)

    def drop(self, path):
        """Drop a file of the disk onto the view, as a file manager does."""
        target = self.tab.locator("#view").bounding_box()
        place = {"x": target["x"] + target["width"] / 2, "y": target["y"] + target["height"] / 2}
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        session = self.context.new_cdp_session(self.tab)
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
        session.detach()

    def complete(self, path):
        """Drop a file and wait for its completion."""
        self.drop(path)
        self.shown(path.name)

    def shown(self, name):
        self.tab.wait_for_selector(f"#stage[data-shown='{name}'][aria-busy=false]", timeout=60_000)

    def error(self):
        self.tab.wait_for_selector("#error:not([hidden])", timeout=30_000)
        return self.tab.inner_text("#error")

    def download(self, kind, folder):
        with self.tab.expect_download() as waiting:
            self.tab.click(f"#{kind}")
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path


@pytest.fixture(scope="module")
def page(browser, address):
    return Page(browser, address)


def box(rng, size):
    """Points on three sides of a box, as a scanner sees it."""
    points = rng.uniform(size=(size, 3))
    points[np.arange(size), rng.integers(0, 3, size)] = 1
    return points * [4, 1.5, 2]


def assert_one_completion(found, expected, scan):
    diagonal = np.linalg.norm(np.ptp(scan, axis=0))
    assert found.dtype == expected.dtype
    distance = np.linalg.norm(found.astype(np.float64) - expected, axis=1) / diagonal
    assert (distance > NEAR).sum() <= CHOSEN_OTHERWISE
    assert np.median(distance) < 1e-5
    there, back = KDTree(found).query(expected)[0], KDTree(expected).query(found)[0]
    assert 500 * (there.mean() + back.mean()) <= 0.05 * diagonal


@pytest.mark.parametrize(
    ("name", "size", "dtype", "far"),
    [
        ("near.ply", 1500, "float32", 0),
        ("many.pcd", 30_000, "float32", 0),
        ("few.npy", 40, "float32", 10),
        ("far.xyz", 5000, "float64", 5.4e6),
        ("far.npy", 2048, "float64", 4e5),
    ],
)
def test_a_dropped_file_is_completed_as_keras_completes_it(page, model, tmp_path, name, size, dtype, far):
    scan = (box(np.random.default_rng(size), size) + far).astype(dtype)
    write_cloud(tmp_path / name, Cloud(scan))
    page.complete(tmp_path / name)
    expected = model.complete(read_points(tmp_path / name))
    for kind in ("ply", "npy"):
        path = page.download(kind, tmp_path)
        assert path.name == f"{name.partition('.')[0]}_completed.{kind}"
        assert_one_completion(read_points(path), expected, scan)
    assert re.fullmatch(
        r"Completed in \d+ ms, on this machine\. Nothing was uploaded\. *", page.tab.inner_text("#status")
    )
    assert page.tab.inner_text("#scan-size") == f"{size:,} points"


def test_a_scan_whose_z_points_up_is_completed_standing(page, model, tmp_path):
    scan = box(np.random.default_rng(1), 900).astype(np.float32)
    turned = scan[:, [0, 2, 1]] * np.float32([1, -1, 1])
    write_cloud(tmp_path / "standing.ply", Cloud(turned))
    page.complete(tmp_path / "standing.ply")
    page.tab.check("input[name=up][value=z]")
    page.shown("standing.ply")
    found = read_points(page.download("ply", tmp_path))
    assert_one_completion(found[:, [0, 2, 1]] * np.float32([1, 1, -1]), model.complete(scan), scan)
    page.tab.check("input[name=up][value=y]")
    page.shown("standing.ply")


def test_a_million_points_leave_the_page_awake(page, model, tmp_path):
    scan = box(np.random.default_rng(2), 1_000_000).astype(np.float32)
    write_cloud(tmp_path / "million.ply", Cloud(scan))
    page.tab.evaluate(
        "window.longest = 0; window.last = performance.now(); setInterval(() => { const now = performance.now();"
        " longest = Math.max(longest, now - last); last = now; }, 10)"
    )
    page.complete(tmp_path / "million.ply")
    assert page.tab.inner_text("#scan-size") == "1,000,000 points, 150,000 drawn"
    assert_one_completion(read_points(page.download("ply", tmp_path)), model.complete(scan), scan)
    # Drawing without a graphics card takes its time; reading and completing would take longer.
    assert page.tab.evaluate("longest") < 2500


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.ply", b"", "empty.ply is empty; save the scan again."),
        ("damaged.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nproperty float y\n"
         b"property float z\nend_header\n\0", "promises 9 points, and its data end before"),
        ("scan.stl", b"solid", ".stl files are not read here; give a ply, pcd"),
        ("nan.xyz", b"nan nan nan\n", "none of its points is finite"),
        ("one.xyz", b"1 2 3\n", "its only point is at one place; a scan needs an extent"),
        ("far.xyz", b"1e308 0 0\n-1e308 0 0\n", "too far apart; drop those that are strays"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_and_the_next_one_is_completed(page, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    page.drop(tmp_path / name)
    error = page.error()
    assert words in error
    assert "\n" not in error
    write_cloud(tmp_path / "good.ply", Cloud(box(np.random.default_rng(3), 300)))
    page.complete(tmp_path / "good.ply")
    assert not page.tab.is_visible("#error")


def test_nothing_leaves_the_machine_and_nothing_is_complained_of(page, address):
    assert page.asked
    assert all(url.startswith((address, "data:", "blob:")) for url in page.asked)
    assert page.errors == []
    # The page's own rule holds against code in it, too.
    outside = page.tab.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => 'refused')")
    assert outside == "refused"
    assert any("Content Security Policy" in error for error in page.errors)
    page.errors.clear()


def picture(page):
    return page.tab.evaluate("document.getElementById('view').toDataURL()")


def test_keys_do_everything(page):
    tab = page.tab
    tab.focus("#theme")
    order = []
    for _ in range(14):
        order.append(tab.evaluate("document.activeElement.id || document.activeElement.dataset.name || "
                                  "document.activeElement.name || document.activeElement.tagName"))  # fmt: skip
        tab.keyboard.press("Tab")
    assert order[:3] == ["theme", "view", "open"]
    assert order[3:9] == ["Car", "Airplane", "Chair", "Sofa", "Lamp", "Table"]
    assert order[9:13] == ["view", "up", "ply", "npy"]
    tab.focus("[data-name=Lamp]")
    tab.keyboard.press("Enter")
    page.shown("lamp.ply")
    assert tab.get_attribute("[data-name=Lamp]", "aria-pressed") == "true"
    tab.focus("#view")
    seen = [picture(page)]
    for key in ("ArrowLeft", "ArrowUp", "+", "-", "Home"):
        tab.keyboard.press(key)
        tab.wait_for_timeout(250)
        seen.append(picture(page))
        assert seen[-1] != seen[-2], key
    assert seen[-1] == seen[0]
    tab.focus("input[value=split]")
    tab.keyboard.press("ArrowRight")
    assert tab.get_attribute("#stage", "data-view") == "overlay"
    tab.keyboard.press("ArrowLeft")
    choosers = []
    tab.on("filechooser", lambda chooser: choosers.append(chooser))
    for key in ("Enter", " ", "o"):
        tab.focus("#open")
        tab.keyboard.press(key)
        tab.wait_for_timeout(300)
    assert len(choosers) == 3


def test_a_page_at_rest_draws_nothing(browser, address):
    page = Page(browser, address, reduced_motion="no-preference")
    page.shown("car.ply")
    page.tab.evaluate(
        "window.drawn = 0; const own = WebGL2RenderingContext.prototype; const draw = own.drawArrays;"
        "own.drawArrays = function (...given) { drawn += 1; return draw.apply(this, given); }; 0"
    )
    page.tab.wait_for_timeout(2500)
    before = page.tab.evaluate("drawn")
    page.tab.wait_for_timeout(700)
    assert page.tab.evaluate("drawn") == before
    page.tab.press("#view", "ArrowLeft")
    page.tab.wait_for_timeout(700)
    assert page.tab.evaluate("drawn") > before
    assert page.tab.evaluate("document.getAnimations().length") == 0
    page.context.close()


def test_every_control_has_a_name(page):
    nameless = page.tab.evaluate(
        "[...document.querySelectorAll('button, input:not([hidden]), canvas[tabindex], [role=progressbar]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || (e.closest('label') ?? e).textContent.trim()))"
        ".map((e) => e.outerHTML)"
    )
    assert nameless == []


def test_fits_a_phone_in_the_dark(browser, address):
    page = Page(browser, address, viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True)
    tab = page.tab
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    first, second = tab.locator(".caption.first").bounding_box(), tab.locator(".caption.second").bounding_box()
    assert second["y"] > first["y"] + 100
    for view in ("split", "overlay"):
        tab.check(f"input[value={view}]")
        words = [tab.locator(name).bounding_box() for name in (".caption.first", ".caption.second", ".legend")]
        for k, one in enumerate(words):
            assert one["x"] + one["width"] <= 360
            for other in words[:k]:
                assert one["y"] >= other["y"] + other["height"]
    for target in tab.locator("button, .segments label").all():
        assert target.bounding_box()["height"] >= 36
    ground = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(ground)
    tab.tap("#theme")
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    assert tab.evaluate(ground) != before
    assert page.errors == []
    page.context.close()


def test_a_browser_that_computes_wrongly_completes_nothing(browser, page_folder, network, tmp_path):
    record = json.loads((network / "model.json").read_text())
    record["test"]["answer"] = site._packed(np.zeros((record["points_out"], 3)))
    shutil.copy(network / "model.tflite", tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(record))
    with serving(page_folder, tmp_path) as address:
        page = Page(browser, address)
        assert "answers its test scan wrongly" in page.error()
        assert page.tab.is_disabled("#ply")
        page.context.close()


def test_a_damaged_network_is_not_served(network, tmp_path):
    content = bytearray((network / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        site.write_model(tmp_path / "model.tflite", tmp_path / "served")
    assert not (tmp_path / "served").exists()


# The server and the command.


def fetch(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.headers, answer.read()


@pytest.fixture
def bare(tmp_path):
    """A server of a page that npm did not build."""
    for name in ("index.html", "app.js", "litert/litert.wasm"):
        (tmp_path / "page" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "page" / name).write_text(name)
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "model.tflite").write_text("model")
    (tmp_path / "secret").write_text("secret")
    with serving(tmp_path / "page", tmp_path / "network") as address:
        yield address


def test_files_are_served_under_their_types(bare):
    types = {"": "text/html", "app.js": "text/javascript", "litert/litert.wasm": "application/wasm"}
    for name, kind in {**types, "model.tflite": "application/octet-stream"}.items():
        headers, content = fetch(bare + name)
        assert headers.get_content_type() == kind
        assert content
        assert all(headers[name] == value for name, value in HEADERS.items())


@pytest.mark.parametrize("path", ["../secret", "%2e%2e/secret", "model.tflite/../../secret", "litert/", "none"])
def test_only_the_page_is_served(bare, path):
    with contextlib.closing(socket.create_connection(("127.0.0.1", int(bare.rsplit(":", 1)[1][:-1])))) as line:
        line.sendall(f"GET /{path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(4096), b""))
    assert b" 404 " in answer.partition(b"\r\n")[0]
    assert b"\nsecret" not in answer


def test_other_names_of_this_machine_are_refused(bare):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(bare, Host="example.org")
    assert fetch(bare, Host="localhost:80")[1]


def test_a_port_in_use_is_one_line(tmp_path):
    with serving(tmp_path, tmp_path) as address:
        second = serving(tmp_path, tmp_path, int(address.rsplit(":", 1)[1][:-1]))
        with pytest.raises(ValueError, match="is in use; give another one"):
            second.__enter__()


def test_without_npm_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = CliRunner().invoke(main, ["web", "--no-open"])
    assert answer.exit_code == 2
    assert answer.stderr.strip() == (
        "Error: npm is missing, which fetches what the page is made of; install Node.js (18 or later)"
    )


def test_npm_without_a_network_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho 'npm error network no route' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ValueError, match=r"npm cannot fetch .* go online .* \(npm error network no route\)"):
        site.build_page(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@functools.cache
def pages():
    return {path.name: path.read_text() for path in site.SOURCES.iterdir() if path.is_file()}


def test_the_page_names_no_other_machine_and_no_floating_version():
    for name, text in pages().items():
        links = set(re.findall(r"https?://[^'\"\s)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not links, name
    package = json.loads(pages()["package.json"])
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert set(versions) == {"@litertjs/core", "three", "esbuild"}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values())
    assert not list(site.SOURCES.glob("*lock*"))


def test_page_and_server_state_one_policy():
    (stated,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', pages()["index.html"])
    assert HEADERS["Content-Security-Policy"] == f"{stated}; frame-ancestors 'none'"


@pytest.fixture(scope="module")
def cache(page_folder, network, tmp_path_factory):
    """A cache in which the page is built already."""
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(page_folder, folder / "web" / page_folder.name)
    return folder


def test_the_command_serves_until_it_is_interrupted(cache, network, tmp_path):
    command = [sys.executable, "-m", "keras_wcd.cli", "web", "--no-open", "--port", "0"]
    command += ["--model", str(network / "model.tflite")]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "KERAS_WCD_CACHE": str(cache)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        address = line.split()[0]
        assert b"Complete a point cloud" in fetch(address)[1]
        record = json.loads(fetch(f"{address}model.json")[1])
        assert record["backbone"] == "MirrorNet"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert errors == "Stopped.\n"


def test_the_command_writes_a_folder_for_any_web_server(cache, network, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(cache))
    command = ["web", "--model", str(network / "model.tflite"), "-o", str(tmp_path / "site")]
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 0, answer.output
    names = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.*")}
    assert {"index.html", "app.js", "worker.js", "model.tflite", "model.json", "samples/car.ply"} <= names
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "give a new one" in again.stderr


def test_the_preset_is_exported_once(cache, tmp_path, monkeypatch):
    from keras_wcd.commands import web

    monkeypatch.setenv("KERAS_WCD_CACHE", str(cache))
    path = web._tflite(None, tmp_path)
    assert export.runtime.read_metadata(path)["backbone"] == "MirrorNet"
    written = path.stat().st_mtime_ns
    assert web._tflite(None, tmp_path) == web._tflite("default", tmp_path) == path
    assert path.stat().st_mtime_ns == written
