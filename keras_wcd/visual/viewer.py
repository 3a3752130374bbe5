"""A page of one HTML file with clouds one can turn: no library, no network, light and dark."""

import base64
import html
import json
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_wcd.files import replacing

MAX_POINTS = 60_000
"""Points of a layer that a page keeps; more are thinned at random. A point takes 8 characters, 12 with a colour."""
STEPS = 65535
PALETTE = ((230, 126, 34), (52, 131, 216), (46, 160, 103), (190, 92, 170))
"""Colours of layers without their own: legible on white and on black, told apart without green and red."""


class Layer(NamedTuple):
    """Points that are shown or hidden together.

    Attributes:
        title: What the page calls them.
        points: `(N, 3)`, y up, finite.
        colors: `(N, 3)`, uint8; None gives the layer one colour.
    """

    title: str
    points: np.ndarray
    colors: np.ndarray | None = None


def write_page(path: str | os.PathLike, layers: Sequence[Layer], title: str) -> None:
    """Write `cloud_page` to a file that appears whole or not at all.

    Raises:
        ValueError: for no layer, an empty or infinite one, or a missing folder.
    """
    text = cloud_page(layers, title)
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise ValueError(f"{path}: its folder does not exist; create it first")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def cloud_page(layers: Sequence[Layer], title: str) -> str:
    """The HTML of a page with a three-dimensional view of `layers`, turned with the mouse, a finger or the arrows."""
    clouds = [np.asarray(layer.points, np.float64) for layer in layers]
    if not clouds or any(c.ndim != 2 or c.shape[1] != 3 or not len(c) or not np.isfinite(c).all() for c in clouds):
        raise ValueError("layers must be one or more clouds (N, 3) of finite points, N >= 1")
    low = np.min([points.min(axis=0) for points in clouds], axis=0)
    high = np.max([points.max(axis=0) for points in clouds], axis=0)
    # One step for all axes keeps the proportions.
    step = float((high - low).max()) / STEPS or 1.0
    data = {
        "size": ((high - low) / step).round().tolist(),
        "layers": [
            _packed(layer, (c - low) / step, k) for k, (layer, c) in enumerate(zip(layers, clouds, strict=True))
        ],
    }
    # In a script element only "<" can end the data early.
    content = json.dumps(data).replace("<", "\\u003c")
    return PAGE.replace("TITLE", html.escape(title)).replace("STYLE", STYLE).replace("SCRIPT", SCRIPT % content)


def _packed(layer: Layer, steps: np.ndarray, number: int) -> dict:
    kept = np.arange(len(steps))
    if len(kept) > MAX_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(len(kept), MAX_POINTS, replace=False))
    colors = None if layer.colors is None else _base64(np.asarray(layer.colors, np.uint8)[kept])
    return {
        "title": layer.title,
        "count": len(steps),
        "points": _base64(steps[kept].round().astype("<u2")),
        "color": PALETTE[number % len(PALETTE)],
        "colors": colors,
    }


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title><style>STYLE</style></head>
<body><header><h1>TITLE</h1><div id="layers"></div></header>
<canvas id="view" tabindex="0" aria-label="Point clouds; drag or use the arrow keys to turn"></canvas>
<p>Drag to turn, wheel or pinch to zoom, arrow keys and + &minus; as well, double click to start again.</p>
<script>SCRIPT</script></body></html>
"""

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c1f23; --soft: #636c76; --line: #d5d9de; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171a; --ink: #e7eaed; --soft: #97a1ab; --line: #343a40; } }
* { box-sizing: border-box; } html, body { height: 100%; }
body { margin: 0; display: flex; flex-direction: column; background: var(--page); color: var(--ink);
  font: 15px/1.4 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; align-items: baseline; padding: .7rem 1rem;
  border-bottom: 1px solid var(--line); }
h1 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
label { margin-right: 1.1rem; cursor: pointer; white-space: nowrap; }
i { display: inline-block; width: .75em; height: .75em; border-radius: 50%; margin: 0 .35em; }
small, p { color: var(--soft); } p { margin: 0; padding: .4rem 1rem; font-size: .8rem; }
canvas { flex: 1; min-height: 0; width: 100%; touch-action: none; cursor: grab; outline-offset: -2px; }
canvas:active { cursor: grabbing; }
"""

SCRIPT = """
"use strict";
const data = %s;
function bytes(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)); }
function unpack(layer, size) {
  const steps = new Uint16Array(bytes(layer.points).buffer), radius = Math.hypot(...size) / 2 || 1;
  const points = Float32Array.from(steps, (s, i) => (s - size[i %% 3] / 2) / radius);
  return { points, color: layer.color, colors: layer.colors && bytes(layer.colors), shown: true };
}
const layers = data.layers.map(layer => unpack(layer, data.size));
const start = { turn: -0.61, tilt: 0.38, zoom: 1 }, own = { used: true };

// Every point as a disc, the nearest one in front, darker the farther away.
function draw(pixels, depths, width, height, layers, view) {
  pixels.fill(0); depths.fill(-9);
  const ct = Math.cos(view.turn), st = Math.sin(view.turn), cu = Math.cos(view.tilt), su = Math.sin(view.tilt);
  const shown = layers.filter(layer => layer.shown);
  const count = shown.reduce((sum, layer) => sum + layer.points.length / 3, 0);
  const scale = 0.6 * Math.min(width, height) * view.zoom;
  const side = Math.max(2, Math.round(Math.min(0.022, 0.9 / Math.sqrt(count + 1)) * scale));
  for (const { points, color, colors } of shown) {
    for (let i = 0; i < points.length; i += 3) {
      const x = points[i], y = points[i + 1], z = points[i + 2];
      const right = ct * x - st * z, away = st * x + ct * z;
      const depth = su * y + cu * away, near = 3 / (3 - depth);
      const left = Math.round(width / 2 + right * scale * near - side / 2);
      const top = Math.round(height / 2 - (cu * y - su * away) * scale * near - side / 2);
      const shade = Math.min(1, Math.max(0.42, 0.74 + 0.36 * depth));
      const [r, g, b] = colors && own.used ? [colors[i], colors[i + 1], colors[i + 2]] : color;
      const value = (255 << 24 | b * shade << 16 | g * shade << 8 | r * shade) >>> 0;
      for (let v = Math.max(0, top); v < Math.min(height, top + side); v++) {
        // Rows of a disc.
        const off = (v - top + 0.5) * 2 / side - 1, cut = Math.floor(side * (1 - Math.sqrt(1 - off * off)) / 2);
        const end = Math.min(width, left + side - cut);
        for (let u = Math.max(0, left + cut), k = v * width + u; u < end; u++, k++)
          if (depth > depths[k]) { depths[k] = depth; pixels[k] = value; }
      }
    }
  }
}

function show() {
  const canvas = document.getElementById("view"), context = canvas.getContext("2d"), view = { ...start };
  let image, pixels, depths, waiting = false;
  function redraw() {
    waiting = false;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (!image || image.width !== width || image.height !== height) {
      canvas.width = width; canvas.height = height;
      image = context.createImageData(width, height);
      pixels = new Uint32Array(image.data.buffer); depths = new Float32Array(width * height);
    }
    draw(pixels, depths, width, height, layers, view);
    context.putImageData(image, 0, 0);
  }
  function later() { if (!waiting) { waiting = true; requestAnimationFrame(redraw); } }
  function turn(right, down) {
    view.turn += right; view.tilt = Math.max(-1.57, Math.min(1.57, view.tilt + down)); later();
  }
  function zoom(factor) { view.zoom = Math.max(0.2, Math.min(20, view.zoom * factor)); later(); }
  const fingers = new Map();
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, [event.clientX, event.clientY]); });
  canvas.addEventListener("pointermove", event => {
    const from = fingers.get(event.pointerId); if (!from) return;
    const to = [event.clientX, event.clientY], other = [...fingers].find(([id]) => id !== event.pointerId);
    if (other) zoom(Math.hypot(to[0] - other[1][0], to[1] - other[1][1])
      / Math.max(1, Math.hypot(from[0] - other[1][0], from[1] - other[1][1])));
    else turn((to[0] - from[0]) * -0.008, (to[1] - from[1]) * 0.008);
    fingers.set(event.pointerId, to); });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, event => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", event => {
    event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0012)); }, { passive: false });
  canvas.addEventListener("dblclick", () => { Object.assign(view, start); later(); });
  const keys = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
  canvas.addEventListener("keydown", event => {
    if (event.key in keys) { event.preventDefault(); turn(...keys[event.key]); }
    else if (event.key === "+" || event.key === "=") zoom(1.15);
    else if (event.key === "-") zoom(1 / 1.15); });
  function toggle(change, ...content) {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox"; box.checked = true;
    box.addEventListener("change", () => { change(box.checked); later(); });
    label.append(box, ...content);
    document.getElementById("layers").append(label);
  }
  data.layers.forEach((layer, k) => {
    const dot = document.createElement("i"), count = document.createElement("small");
    dot.style.background = `rgb(${layer.color})`;
    count.textContent = ` ${layer.count.toLocaleString()} points`;
    toggle(shown => { layers[k].shown = shown; }, dot, layer.title, count);
  });
  if (data.layers.some(layer => layer.colors)) toggle(used => { own.used = used; }, " measured colours");
  new ResizeObserver(later).observe(canvas);
  later();
}
if (typeof document !== "undefined") show();
"""
