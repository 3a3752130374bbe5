// The network, off the page's own thread: scans come in as bytes of files, completions go out.
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { framed, frameOf, resample, rows, spread, thinned, turnedBack, unframed, upright } from "./frame.js";
import { FileError, readScan } from "./readers.js";

const SHOWN = 150_000; // Points of a scan that are drawn.
const NEAR = 1e-3, OTHERS = 16; // Of the self-test: the frame's diagonal is 1; ties may choose some other points.

const base = new URL(".", self.location.href).href;
let network = null, scan = null;

async function open() {
  const [record, file] = await Promise.all([
    fetched("model.json").then((answer) => answer.json()),
    fetched("model.tflite").then((answer) => answer.arrayBuffer()),
  ]);
  self.Module = {
    // The runtime looks for its code beside the worker otherwise, and says much that is no error.
    locateFile: (name) => `${base}litert/${name}`,
    printErr: (line) => { if (line.startsWith("ERROR")) console.error(line); },
  };
  // It would wait for a graphics card, of which the network makes no use.
  Object.defineProperty(self.navigator, "gpu", { value: { requestAdapter: async () => null } });
  await loadLiteRt(`${base}litert/`);
  const model = await loadAndCompile(new Uint8Array(file), { accelerator: "wasm" });
  network = { model, record };
  await selfTest(floats(record.test.input), floats(record.test.answer));
}

async function fetched(name) {
  const answer = await fetch(base + name);
  if (!answer.ok) throw new Error(`${name} is missing beside the page`);
  return answer;
}

// An operator that fails gives zeros, and no error.
async function selfTest(input, expected) {
  const found = await run(input);
  const off = new Float64Array(expected.length / 3).map((_, i) =>
    Math.hypot(...[0, 1, 2].map((k) => found[3 * i + k] - expected[3 * i + k])));
  if (found.length !== expected.length || off.filter((d) => !(d <= NEAR)).length > OTHERS) {
    throw new Error("the network answers its test scan wrongly in this browser; try another one");
  }
}

async function run(points) {
  const { model } = network, tensor = new Tensor(points, [1, points.length / 3, 3]);
  try {
    const [answer] = await model.run(tensor);
    const values = (await answer.data()).slice();
    answer.delete();
    return values;
  } finally {
    tensor.delete();
  }
}

async function complete(up) {
  const { record } = network, began = performance.now();
  const standing = upright(scan.points, up);
  const frame = frameOf(standing, record.normalization.seen, record.frame.diagonal);
  if (!frame.extent) {
    const size = scan.points.length / 3;
    throw new FileError(`${scan.name}: ${size > 1 ? `all its ${size} points are` : "its only point is"} at one place; ` +
      "a scan needs an extent to be completed.");
  }
  const input = resample(framed(thinned(standing, record.points_in), frame), record.points_in);
  const answer = await run(input);
  if (!answer.every(Number.isFinite)) throw new Error("the network's answer is not finite; try another scan");
  const took = performance.now() - began;
  let completed = turnedBack(unframed(answer, frame), up);
  if (!scan.wide) completed = Float64Array.from(completed, Math.fround);
  const size = standing.length / 3;
  const drawn = framed(size > SHOWN ? rows(standing, spread(size, SHOWN)) : standing, frame);
  return { ...neighbors(answer, input), input, answer, completed, drawn, took, up };
}

// For every point its nearest of others, and how far that is.
function neighbors(points, others) {
  const nearest = new Uint32Array(points.length / 3), distance = new Float32Array(points.length / 3);
  for (let i = 0; i < nearest.length; i++) {
    const x = points[3 * i], y = points[3 * i + 1], z = points[3 * i + 2];
    let least = Infinity;
    for (let k = 0; k < others.length; k += 3) {
      const dx = others[k] - x, dy = others[k + 1] - y, dz = others[k + 2] - z;
      const square = dx * dx + dy * dy + dz * dz;
      if (square < least) { least = square; nearest[i] = k / 3; }
    }
    distance[i] = Math.sqrt(least);
  }
  return { nearest, distance };
}

function floats(text) {
  return new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

const opened = open().then(
  () => postMessage({ kind: "ready", parameters: network.record.parameters }),
  (error) => { postMessage({ kind: "failed", message: line(error) }); throw error; },
);
opened.catch(() => {});

function line(error) { return String(error?.message ?? error).split("\n")[0].slice(0, 300); }

// One scan after the other.
let queue = Promise.resolve();
self.onmessage = ({ data }) => { queue = queue.then(() => answer(data)); };

async function answer({ id, name, buffer, up }) {
  try {
    if (buffer) scan = { name, ...readScan(name, buffer) };
    if (!scan) return;
    await opened;
    const done = await complete(up);
    const { wide, note, dropped } = scan;
    postMessage({ kind: "done", id, name: scan.name, size: scan.points.length / 3, wide, note, dropped, ...done });
  } catch (error) {
    postMessage({ kind: "error", id, message: line(error) });
  }
}
