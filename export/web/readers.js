// Scans out of the bytes of files: { points: Float64Array, wide, note }. `wide` says that float32 would lose detail.

// What is wrong with a file, in one line that says what to do.
export class FileError extends Error {}

const KINDS = {
  i1: "Int8", u1: "Uint8", i2: "Int16", u2: "Uint16", i4: "Int32", u4: "Uint32", i8: "BigInt64", u8: "BigUint64",
  f4: "Float32", f8: "Float64",
};
const PLY = {
  char: "i1", int8: "i1", uchar: "u1", uint8: "u1", short: "i2", int16: "i2", ushort: "u2", uint16: "u2", int: "i4",
  int32: "i4", uint: "u4", uint32: "u4", float: "f4", float32: "f4", double: "f8", float64: "f8",
};
const AXES = ["x", "y", "z"];
const FAR = 16, EXACT = 2 ** 24; // As in keras_wcd/data/io/cloud.py.

export function readScan(name, buffer) {
  const end = name.includes(".") ? name.slice(name.lastIndexOf(".") + 1).toLowerCase() : "";
  if (!Object.hasOwn(READERS, end)) {
    throw new FileError(`${name}: ${end ? `.${end} files are` : "a file without an extension is"} not read here; ` +
      "give a ply, pcd, obj, xyz, txt, csv or npy file.");
  }
  if (!buffer.byteLength) throw new FileError(`${name} is empty; save the scan again.`);
  try {
    return finite(READERS[end](new Uint8Array(buffer)));
  } catch (error) {
    // A view that ends too early and a length that is too large are RangeErrors.
    const why = error instanceof FileError ? error.message : "it ends early or is damaged; save the scan again";
    throw new FileError(`${name}: ${why}.`);
  }
}

// The rows that are finite: scanners write NaN where a ray met nothing.
function finite(scan) {
  const { points } = scan, kept = new Float64Array(points.length);
  let size = 0;
  for (let i = 0; i < points.length; i += 3) {
    const x = points[i], y = points[i + 1], z = points[i + 2];
    // Infinities and NaN give NaN.
    if (x * 0 + y * 0 + z * 0 === 0) { kept[size] = x; kept[size + 1] = y; kept[size + 2] = z; size += 3; }
  }
  if (!points.length) throw new FileError("it holds no points; save the scan again");
  if (!size) throw new FileError("none of its points is finite; save the scan with what was measured");
  return { ...scan, points: kept.slice(0, size), dropped: (points.length - size) / 3 };
}

function ply(bytes) {
  const header = headerOf(bytes, "end_header", "ply");
  const elements = [];
  let format = "";
  for (const words of header.lines) {
    if (words[0] === "format") format = words[1];
    else if (words[0] === "element") elements.push({ name: words[1], count: whole(words[2]), properties: [] });
    else if (words[0] === "property") {
      const list = words[1] === "list";
      if (!elements.length) throw new FileError("its header is damaged; save the scan again");
      elements.at(-1).properties.push({
        name: String(words.at(-1)).toLowerCase(), kind: known(PLY, list ? words[3] : words[1]),
        length: list ? known(PLY, words[2]) : null,
      });
    }
  }
  const at = elements.findIndex((element) => element.name === "vertex"), vertex = elements[at];
  if (!vertex) throw new FileError("it names no vertices; save the scan as a point cloud");
  const places = AXES.map((axis) => vertex.properties.findIndex((p) => p.name === axis && !p.length));
  if (places.includes(-1) || vertex.properties.some((p) => p.length)) {
    throw new FileError("its vertices have no plain x, y and z; save the scan as a point cloud");
  }
  const before = elements.slice(0, at), kinds = places.map((k) => vertex.properties[k].kind);
  const faces = elements.some((element) => element.name === "face" && element.count);
  const note = faces ? "a mesh: its corners are completed" : "";
  if (format === "ascii") {
    const skipped = before.reduce((sum, element) => sum + element.count, 0);
    const points = table(bytes, header.end, places, { skipped, count: vertex.count });
    return { ...declared(points, kinds), note };
  }
  if (format !== "binary_little_endian" && format !== "binary_big_endian") {
    throw new FileError("its header names no format; save the scan again");
  }
  const little = format === "binary_little_endian", view = new DataView(bytes.buffer);
  const start = before.reduce((from, element) => after(view, from, element, little), header.end);
  const sizes = vertex.properties.map((p) => Number(p.kind[1]));
  const fields = places.map((k) => ({ kind: kinds[places.indexOf(k)], offset: sum(sizes.slice(0, k)) }));
  return { ...records(bytes, start, vertex.count, fields, sum(sizes), little), note };
}

// Where an element of a binary ply ends.
function after(view, start, element, little) {
  for (let row = 0; row < element.count; row++) {
    for (const { kind, length } of element.properties) {
      const count = length ? Number(view[`get${KINDS[length]}`](start, little)) : 1;
      start += (length ? Number(length[1]) : 0) + count * Number(kind[1]);
    }
  }
  return start;
}

function pcd(bytes) {
  const header = headerOf(bytes, "DATA");
  const named = Object.fromEntries(header.lines.map(([name, ...values]) => [name.toUpperCase(), values]));
  const fields = named.FIELDS ?? named.COLUMNS, types = named.TYPE, encoding = header.last[1]?.toLowerCase();
  if (!fields || !types || !named.SIZE) throw new FileError("its header is damaged; save the scan again");
  const repeats = (named.COUNT ?? fields.map(() => "1")).map(whole), sizes = named.SIZE.map(whole);
  const count = whole(named.POINTS?.[0] ?? String(whole(named.WIDTH?.[0]) * whole(named.HEIGHT?.[0] ?? "1")));
  const places = AXES.map((axis) => fields.findIndex((name) => name.toLowerCase() === axis));
  if (places.includes(-1)) throw new FileError("it has no fields x, y and z; save the scan with its coordinates");
  const kinds = places.map((k) => String(types[k]).toLowerCase() + sizes[k]);
  kinds.forEach((kind) => known(KINDS, kind));
  if (encoding === "ascii") {
    return declared(table(bytes, header.end, places.map((k) => sum(repeats.slice(0, k))), { count }), kinds);
  }
  const widths = sizes.map((size, k) => size * repeats[k]), offset = (k) => sum(widths.slice(0, k));
  if (encoding === "binary") {
    const layout = places.map((k, axis) => ({ kind: kinds[axis], offset: offset(k) }));
    return records(bytes, header.end, count, layout, sum(widths), true);
  }
  if (encoding !== "binary_compressed") throw new FileError("its data are of an unknown kind; save the scan as binary");
  const view = new DataView(bytes.buffer), packed = view.getUint32(header.end, true);
  if (packed > bytes.length - header.end - 8) throw new RangeError();
  const unpacked = lzf(bytes.subarray(header.end + 8, header.end + 8 + packed), view.getUint32(header.end + 4, true));
  // Field after field, not point after point.
  const columns = places.map((k, axis) => ({ kind: kinds[axis], offset: count * offset(k), step: widths[k] }));
  return records(unpacked, 0, count, columns, 0, true);
}

function lzf(packed, size) {
  if (size > 260 * packed.length + 64) throw new RangeError(); // One code holds 264 bytes at most.
  const found = new Uint8Array(size);
  let at = 0, to = 0;
  while (at < packed.length) {
    const code = packed[at++];
    if (code < 32) {
      found.set(packed.subarray(at, at + code + 1), to);
      at += code + 1; to += code + 1;
      continue;
    }
    let length = code >> 5;
    if (length === 7) length += packed[at++];
    let from = to - ((code & 31) << 8) - packed[at++] - 1;
    if (from < 0 || to + length + 2 > size) throw new RangeError();
    for (let k = 0; k < length + 2; k++) found[to++] = found[from++];
  }
  if (to !== size) throw new RangeError();
  return found;
}

function npy(bytes) {
  if (String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY") {
    throw new FileError("it is no npy file; write it with numpy.save");
  }
  const view = new DataView(bytes.buffer), long = bytes[6] > 1, begin = long ? 12 : 10;
  const start = begin + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder("latin1").decode(bytes.subarray(begin, start));
  const [, order, kind] = header.match(/'descr':\s*'([<>|=])([a-zA-Z]\d+)'/) ?? [];
  const shape = header.match(/'shape':\s*\(([^)]*)\)/)?.[1].split(",").filter((n) => n.trim()).map(Number) ?? [];
  if (!Object.hasOwn(KINDS, kind ?? "")) throw new FileError("its array holds no plain numbers; save it as float32");
  while (shape.length > 2 && shape[0] === 1) shape.shift();
  if (shape.length !== 2 || shape[1] !== 3) {
    const hint = shape[0] === 3 && shape.length === 2 ? "; transpose it" : "; save one cloud (N, 3)";
    throw new FileError(`its array has the shape (${shape.join(", ")})${hint}`);
  }
  const size = Number(kind[1]), count = shape[0], columns = /'fortran_order':\s*True/.test(header);
  const fields = AXES.map((_, k) => ({ kind, offset: k * size * (columns ? count : 1), step: columns ? size : 3 * size }));
  return records(bytes, start, count, fields, 0, order !== ">");
}

function obj(bytes) {
  const points = new Points();
  let faces = false;
  for (const [from, to] of lines(bytes, 0)) {
    let at = from;
    while (at < to && bytes[at] <= 32) at++;
    if (bytes[at] === 102) faces = true;
    if (bytes[at] !== 118 || bytes[at + 1] > 32) continue; // "v" and a blank.
    const row = numbers(bytes, at + 2, to, { separator: 32, comma: false }, [0, 1, 2]);
    if (!row) throw new FileError("a vertex holds no three numbers; save the scan again");
    points.add(row);
  }
  if (!points.size) throw new FileError("it holds no vertices (lines v); save the scan again");
  return { ...declared(points.done(), ["f8"]), note: faces ? "a mesh: its corners are completed" : "" };
}

function text(bytes) {
  if (bytes.subarray(0, 4096).includes(0)) throw new FileError("it is not text; check its extension");
  return { points: table(bytes, 0, null, {}), wide: true, note: "" };
}

export const READERS = { ply, pcd, obj, npy, xyz: text, txt: text, csv: text };

// Columns of lines of numbers. Without `places`, those that a line of names calls x, y and z, else the first three.
function table(bytes, start, places, { skipped = 0, count = Infinity }) {
  const points = new Points();
  let layout = null, line = 0;
  for (const [from, to] of lines(bytes, start)) {
    line++;
    if (points.size >= count) break;
    if (skipped-- > 0 || isRemark(bytes, from, to)) continue;
    layout ??= layoutOf(bytes, from, to);
    const row = layout && numbers(bytes, from, to, layout, places ?? [0, 1, 2]);
    if (row) { points.add(row); continue; }
    layout = null;
    // Before the first point there may be names, or the number of points.
    if (places || points.size || line > 100) {
      throw new FileError(points.size ? `row ${points.size + 1} of its points holds no three numbers; remove it`
        : "it holds no lines of three numbers; save the scan as x y z");
    }
    places = namedColumns(bytes, from, to);
  }
  if (points.size < count && count < Infinity) {
    throw new FileError(`it promises ${count} points and holds ${points.size}; it is cut off: save the scan again`);
  }
  if (!points.size) throw new FileError("it holds no lines of three numbers; save the scan as x y z");
  return points.done();
}

// What separates the numbers of a line, and whether commas are decimal marks.
function layoutOf(bytes, from, to) {
  const line = new TextDecoder("latin1").decode(bytes.subarray(from, to)).trim();
  if (line.includes(";")) return { separator: 59, comma: line.includes(",") };
  const words = line.split(/\s+/);
  const blanks = words.length >= 3 && words.every((word) => !/^,|,$/.test(word));
  return blanks ? { separator: 32, comma: line.includes(",") } : { separator: line.includes(",") ? 44 : 32, comma: false };
}

function namedColumns(bytes, from, to) {
  const line = new TextDecoder().decode(bytes.subarray(from, to)).toLowerCase().replace(/^[\ufeff#/\s]+/, "");
  const names = line.split(/[\s,;]+/).map((name) => name.replace(/^"|"$/g, ""));
  const places = AXES.map((axis) => names.indexOf(axis));
  return places.includes(-1) ? null : places;
}

function isRemark(bytes, from, to) {
  while (from < to && bytes[from] <= 32) from++;
  return from === to || bytes[from] === 35 || (bytes[from] === 47 && bytes[from + 1] === 47); // "#" and "//".
}

function* lines(bytes, start) {
  const feed = bytes.indexOf(10, start) < 0 ? 13 : 10;
  while (start < bytes.length) {
    const end = bytes.indexOf(feed, start), to = end < 0 ? bytes.length : end;
    yield [start, to];
    start = to + 1;
  }
}

// The numbers in some columns of a line, null where it has none there.
const ROW = [0, 0, 0];
function numbers(bytes, from, to, { separator, comma }, places) {
  let found = 0;
  while (to > from && bytes[to - 1] <= 32) to--;
  for (let column = 0, at = from; at < to && found < 3; column++) {
    while (at < to && bytes[at] <= 32) at++;
    const begin = at;
    while (at < to && bytes[at] !== separator && !(separator === 32 && bytes[at] <= 32)) at++;
    const end = at;
    if (separator !== 32) at++;
    for (let k = 0; k < 3; k++) {
      if (places[k] !== column) continue;
      ROW[k] = number(bytes, begin, end, comma);
      if (ROW[k] === undefined) return null;
      found++;
    }
  }
  return found === 3 ? ROW : null;
}

// The number in a piece of text, correctly rounded; undefined where it is none.
function number(bytes, from, to, comma) {
  let at = from, digits = 0, mantissa = 0, exponent = 0, point = false, any = false;
  const negative = bytes[at] === 45;
  if (negative || bytes[at] === 43) at++;
  for (; at < to; at++) {
    const digit = bytes[at] - 48;
    if (digit >= 0 && digit <= 9) {
      any = true;
      mantissa = mantissa * 10 + digit;
      if (mantissa) digits++;
      if (point) exponent--;
    } else if (!point && (bytes[at] === 46 || (comma && bytes[at] === 44))) point = true;
    else break;
  }
  // Of 15 digits and a power of ten up to 22 one division rounds correctly; the rest is left to the language.
  if (at === to && any && digits <= 15 && exponent >= -22) {
    const value = exponent ? mantissa / 10 ** -exponent : mantissa;
    return negative ? -value : value;
  }
  let word = new TextDecoder("latin1").decode(bytes.subarray(from, to)).trim().replace(/^"|"$/g, "");
  if (comma) word = word.replace(",", ".");
  if (/^[-+]?(nan|inf(inity)?)$/i.test(word)) return NaN;
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(word) ? Number(word) : undefined;
}

// Coordinates that lie in rows of bytes; a field may have a step of its own.
function records(bytes, start, count, fields, stride, little) {
  const last = Math.max(...fields.map(({ kind, offset, step = stride }) => offset + (count - 1) * step + Number(kind[1])));
  // A header may promise anything.
  if (count && start + Math.max(last, count * stride) > bytes.length) {
    throw new FileError(`its header promises ${count} points, and its data end before; save the scan again`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset), points = new Float64Array(3 * count);
  fields.forEach(({ kind, offset, step = stride }, axis) => {
    const get = view[`get${KINDS[kind]}`].bind(view);
    for (let i = 0, at = start + offset; i < count; i++, at += step) points[3 * i + axis] = Number(get(at, little));
  });
  return { points, wide: fields.some(({ kind }) => isWide(kind, points)), note: "" };
}

// Points that were written as text and declared to be of some kinds.
function declared(points, kinds) {
  if (!kinds.every((kind) => kind === "f4")) return { points, wide: kinds.some((kind) => isWide(kind, points)) };
  let low = Infinity, high = -Infinity;
  const span = [0, 1, 2].map((axis) => {
    let least = Infinity, most = -Infinity;
    for (let i = axis; i < points.length; i += 3) {
      if (points[i] < least) least = points[i];
      if (points[i] > most) most = points[i];
    }
    low = Math.min(low, least); high = Math.max(high, most);
    return most - least;
  });
  // Far away the digits beyond a declared float32 matter.
  const far = Math.max(Math.abs(low), Math.abs(high)), extent = Math.max(...span);
  const wide = 0 < FAR * extent && FAR * extent <= far && points.some((value) => value !== Math.fround(value));
  return { points: wide ? points : Float64Array.from(points, Math.fround), wide };
}

function isWide(kind, points) {
  if (kind[0].toLowerCase() === "f") return kind === "f8";
  return kind[1] !== "1" && points.some((value) => Math.abs(value) > EXACT);
}

function headerOf(bytes, last, magic) {
  const decoder = new TextDecoder("latin1"), found = [];
  for (const [from, to] of lines(bytes, 0)) {
    if (found.length > 1000 || to - from > 4096) break;
    const line = decoder.decode(bytes.subarray(from, to)).trim(), words = line.split(/\s+/);
    if (magic && !found.length && line !== magic) break;
    if (words[0].toUpperCase() === last.toUpperCase()) return { lines: found, last: words, end: to + 1 };
    if (words[0] !== "comment" && words[0] !== "obj_info" && !line.startsWith("#")) found.push(words);
  }
  throw new FileError("its header is damaged, or its extension is wrong; save the scan again");
}

class Points {
  constructor() { this.values = new Float64Array(3072); this.used = 0; }
  get size() { return this.used / 3; }
  add([x, y, z]) {
    if (this.used + 3 > this.values.length) {
      const more = new Float64Array(2 * this.values.length);
      more.set(this.values);
      this.values = more;
    }
    this.values[this.used] = x; this.values[this.used + 1] = y; this.values[this.used + 2] = z;
    this.used += 3;
  }
  done() { return this.values.slice(0, this.used); }
}

function whole(word) {
  if (!/^\d{1,12}$/.test(word ?? "")) throw new FileError("its header is damaged; save the scan again");
  return Number(word);
}

function known(kinds, name) {
  if (!Object.hasOwn(kinds, name ?? "")) throw new FileError("its header names an unknown type; save the scan again");
  return kinds[name];
}

function sum(values) { return values.reduce((total, value) => total + value, 0); }
