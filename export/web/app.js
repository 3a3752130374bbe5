// What the user does and sees; the work is done in worker.js, the drawing in stage.js.
import { frameOf, framed } from "./frame.js";
import { readScan } from "./readers.js";
import { Stage } from "./stage.js";
import { npy, ply } from "./writers.js";

const SAMPLES = ["Car", "Airplane", "Chair", "Sofa", "Lamp", "Table"];
const LARGEST = 1.5e9; // Bytes of a file: browsers hold no much larger ones.
const WRITERS = { ply, npy };

const get = (id) => document.getElementById(id);
const stage = get("stage"), error = get("error"), status = get("status");
const dark = matchMedia("(prefers-color-scheme: dark)");
const number = new Intl.NumberFormat("en");
const worker = new Worker(new URL("worker.js", document.baseURI));
let asked = 0, shown = null, sample = null, failed = false, view = null;

try {
  view = new Stage(get("view"));
} catch {
  status.textContent = "This browser shows no view in space (WebGL is off); completions can still be downloaded.";
}

// Themes.
let theme = stored() ?? (dark.matches ? "dark" : "light");
function stored() { try { return localStorage.getItem("theme"); } catch { return null; } }
function paint() {
  document.documentElement.dataset.theme = theme;
  get("theme").setAttribute("aria-pressed", theme === "dark");
  const style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(name).trim();
  view?.look({ measured: color("--measured"), added: color("--added"), air: color("--stage"), dark: theme === "dark" });
  thumbnails.forEach((draw) => draw(color("--measured")));
}
get("theme").onclick = () => {
  theme = theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", theme); } catch { /* Then the choice lasts as long as the page. */ }
  paint();
};
dark.onchange = () => { if (!stored()) { theme = dark.matches ? "dark" : "light"; paint(); } };

// Scans.
async function take(file, name = file.name) {
  const id = ++asked;
  if (file.size > LARGEST) return wrong(`${name} is larger than a browser can read; thin it out first.`);
  busy(`Reading ${name}`);
  try {
    const buffer = await file.arrayBuffer();
    if (id === asked) worker.postMessage({ id, name, buffer, up: chosen("up") }, [buffer]);
  } catch {
    if (id === asked) wrong(`${name} cannot be read; a folder, or a file that is gone? Choose it once more.`);
  }
}

async function takeSample(name) {
  const id = ++asked;
  // The samples' y points up.
  document.querySelector("input[name=up][value=y]").checked = true;
  const file = `${name.toLowerCase()}.ply`;
  busy(`Reading ${file}`);
  const answer = await fetch(`samples/${file}`).catch(() => null);
  if (id !== asked) return;
  if (!answer?.ok) return wrong(`${file} is gone from the page's folder; start the server again.`);
  press(name);
  const buffer = await answer.arrayBuffer();
  worker.postMessage({ id, name: file, buffer, up: "y" }, [buffer]);
}

worker.onmessage = ({ data }) => {
  if (data.kind === "failed") { failed = true; wrong(`The network does not run here: ${data.message}.`); }
  else if (data.kind === "ready") stage.dataset.ready = "";
  else if (data.id !== asked) return;
  else if (data.kind === "error") wrong(data.message);
  else done(data);
};
worker.onerror = () => { failed = true; wrong("The network does not run here: this browser is too old, or the page is incomplete."); };

function done(found) {
  shown = found;
  stage.toggleAttribute("data-empty", false);
  const origin = new Float32Array(found.answer.length);
  found.nearest.forEach((from, to) => origin.set(found.input.subarray(3 * from, 3 * from + 3), 3 * to));
  view?.show(found.drawn, found.answer, origin, found.distance);
  const drawn = found.drawn.length / 3, fewer = drawn < found.size ? `, ${number.format(drawn)} drawn` : "";
  get("scan-size").textContent = `${number.format(found.size)} points${fewer}`;
  get("completed-size").textContent = `${number.format(found.completed.length / 3)} points`;
  const remarks = [
    found.note && `It is ${found.note}.`,
    found.dropped && `${number.format(found.dropped)} points without finite coordinates were left out.`,
  ].filter(Boolean).join(" ");
  const time = document.createElement("b");
  time.textContent = `Completed in ${Math.max(1, Math.round(found.took))} ms`;
  status.replaceChildren(time, `, on this machine. Nothing was uploaded. ${remarks}`);
  for (const kind of Object.keys(WRITERS)) get(kind).disabled = false;
  error.hidden = true;
  stage.dataset.shown = found.name;
  stage.setAttribute("aria-busy", "false");
}

function busy(what) {
  if (failed) return;
  get("doing").textContent = stage.dataset.ready === undefined ? "Loading the network" : what;
  error.hidden = true;
  delete stage.dataset.shown;
  press(null);
  stage.setAttribute("aria-busy", "true");
}

function wrong(message) {
  error.textContent = message;
  error.hidden = false;
  stage.setAttribute("aria-busy", "false");
}

function press(name) {
  sample = name;
  for (const button of get("samples").children) button.setAttribute("aria-pressed", button.dataset.name === name);
}

function chosen(name) { return document.querySelector(`input[name=${name}]:checked`).value; }

// Controls.
get("open").onclick = () => get("file").click();
get("file").onchange = () => { if (get("file").files[0]) take(get("file").files[0]); get("file").value = ""; };
for (const input of document.querySelectorAll("input[name=view]")) {
  input.onchange = () => { stage.dataset.view = input.value; view?.arrange(input.value); };
}
for (const input of document.querySelectorAll("input[name=up]")) {
  input.onchange = () => {
    if (!shown) return;
    const was = sample;
    busy("Completing");
    press(was);
    worker.postMessage({ id: ++asked, up: input.value });
  };
}
for (const [kind, write] of Object.entries(WRITERS)) {
  get(kind).onclick = () => {
    const link = document.createElement("a"), url = URL.createObjectURL(write(shown.completed, shown.wide));
    link.href = url;
    link.download = `${shown.name.replace(/\.[^.]*$/, "")}_completed.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  };
}

// Files from outside.
let inside = 0;
const dragging = (change) => { inside = Math.max(0, change); document.body.classList.toggle("dragging", inside > 0); };
addEventListener("dragenter", (event) => { event.preventDefault(); dragging(inside + 1); });
addEventListener("dragleave", () => dragging(inside - 1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dragging(0);
  const [file] = event.dataTransfer.files;
  if (file) take(file);
});

// Keys.
const KEYS = {
  ArrowLeft: () => view.turn(-0.15, 0), ArrowRight: () => view.turn(0.15, 0), ArrowUp: () => view.turn(0, -0.1),
  ArrowDown: () => view.turn(0, 0.1), "+": () => view.zoom(1.15), "=": () => view.zoom(1.15),
  "-": () => view.zoom(1 / 1.15), Home: () => view.reset(), 0: () => view.reset(),
};
get("view").addEventListener("keydown", (event) => {
  if (!view || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});
get("view").addEventListener("dblclick", () => view?.reset());
addEventListener("keydown", (event) => {
  const plain = !(event.ctrlKey || event.metaKey || event.altKey);
  if (plain && event.key.toLowerCase() === "o") { event.preventDefault(); get("open").click(); }
});

// Samples, each with a small picture.
const thumbnails = [];
for (const name of SAMPLES) {
  const button = document.createElement("button"), canvas = document.createElement("canvas");
  button.type = "button";
  button.dataset.name = name;
  button.setAttribute("aria-pressed", "false");
  canvas.setAttribute("aria-hidden", "true");
  button.append(canvas, name);
  button.onclick = () => takeSample(name);
  get("samples").append(button);
  fetch(`samples/${name.toLowerCase()}.ply`).then((answer) => answer.arrayBuffer()).then((buffer) => {
    const { points } = readScan("sample.ply", buffer), small = framed(points, frameOf(points, 1, 1));
    thumbnails.push((color) => thumbnail(canvas, small, color));
    paint();
  }).catch(() => {});
}

function thumbnail(canvas, points, color) {
  const width = (canvas.width = 192), height = (canvas.height = 128), pen = canvas.getContext("2d");
  const turn = -0.72, tilt = 0.36, places = [];
  for (let i = 0; i < points.length; i += 3) {
    const right = Math.cos(turn) * points[i + 2] + Math.sin(turn) * points[i];
    const away = Math.sin(turn) * points[i + 2] - Math.cos(turn) * points[i];
    places.push({
      right: -right, up: Math.cos(tilt) * points[i + 1] + Math.sin(tilt) * away,
      near: Math.sin(tilt) * points[i + 1] - Math.cos(tilt) * away,
    });
  }
  const range = (name) => [Math.min, Math.max].map((most) => most(...places.map((place) => place[name])));
  const [left, end] = range("right"), [low, high] = range("up");
  const scale = Math.min((width - 36) / (end - left), (height - 20) / (high - low));
  pen.fillStyle = color;
  for (const { right, up, near } of places.sort((a, b) => a.near - b.near)) {
    pen.globalAlpha = Math.min(0.95, Math.max(0.3, 0.66 + near));
    pen.beginPath();
    pen.arc(width / 2 + (right - (left + end) / 2) * scale, height / 2 - (up - (low + high) / 2) * scale, 1.25, 0, 7);
    pen.fill();
  }
}

stage.toggleAttribute("data-empty", true);
paint();
takeSample(SAMPLES[0]);
