// The rule for a scan, as `export/runtime.py` states it: the same scan gives the same input, bit by bit.
// Clouds are flat: x, y, z of the first point, then of the next; float64, or float32 where a step rounds to it.

const CANDIDATES = 8; // Farthest point sampling looks at no more than this many points for each that it keeps.

// Where each axis of a cloud that stands upright comes from, and with which sign: [axis, sign] for x, y and z.
const UPRIGHT = {
  x: [[1, -1], [0, 1], [2, 1]],
  y: [[0, 1], [1, 1], [2, 1]],
  z: [[0, 1], [2, 1], [1, -1]],
};

export function upright(points, up) {
  const turned = new points.constructor(points.length);
  for (const [to, [from, sign]] of UPRIGHT[up].entries()) {
    for (let i = 0; i < points.length; i += 3) turned[i + to] = sign * points[i + from];
  }
  return turned;
}

export function turnedBack(points, up) {
  const turned = new points.constructor(points.length);
  for (const [to, [from, sign]] of UPRIGHT[up].entries()) {
    for (let i = 0; i < points.length; i += 3) turned[i + from] = sign * points[i + to];
  }
  return turned;
}

// The point that becomes the origin, and the length that becomes 1.
export function frameOf(points, seen, diagonal) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 3) {
    for (let k = 0; k < 3; k++) {
      const value = points[i + k];
      if (value < low[k]) low[k] = value;
      if (value > high[k]) high[k] = value;
    }
  }
  const [x, y, z] = high.map((value, k) => value - low[k]);
  const length = Math.sqrt(x * x + y * y + z * z);
  if (!Number.isFinite(length)) throw new RangeError("the points lie too far apart; drop those that are strays");
  return { center: low.map((value, k) => (value + high[k]) / 2), scale: length / seen / diagonal || 1, extent: length };
}

// Points in the network's frame, float32.
export function framed(points, { center, scale }) {
  const found = new Float32Array(points.length);
  for (let i = 0; i < points.length; i++) found[i] = (points[i] - center[i % 3]) / scale;
  return found;
}

export function unframed(points, { center, scale }) {
  return Float64Array.from(points, (value, i) => value * scale + center[i % 3]);
}

// `count` indices below `size`, evenly spaced and in order.
export function spread(size, count) {
  return Uint32Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
}

export function rows(points, indices) {
  const found = new points.constructor(3 * indices.length);
  indices.forEach((from, to) => found.set(points.subarray(3 * from, 3 * from + 3), 3 * to));
  return found;
}

export function thinned(points, count) {
  const size = points.length / 3, most = CANDIDATES * count;
  return size > most ? rows(points, spread(size, most)) : points;
}

// `count` points of a float32 cloud that `thinned` has seen: repeated evenly, or the farthest ones.
export function resample(points, count) {
  const size = points.length / 3;
  return rows(points, size <= count ? spread(size, count) : farthest(points, count));
}

// Indices of `count` points, each the farthest from those before it; the first is 0, ties go to the lowest.
export function farthest(points, count) {
  const size = points.length / 3, round = Math.fround;
  const chosen = new Uint32Array(count), distance = new Float32Array(size).fill(Infinity);
  for (let i = 1, last = 0; i < count; i++) {
    const x = points[3 * last], y = points[3 * last + 1], z = points[3 * last + 2];
    let most = -1;
    for (let j = 0, k = 0; j < size; j++, k += 3) {
      const dx = round(points[k] - x), dy = round(points[k + 1] - y), dz = round(points[k + 2] - z);
      // Every step is rounded to float32, in this order: another one chooses other points.
      const square = round(round(round(dx * dx) + round(dy * dy)) + round(dz * dz));
      if (square < distance[j]) distance[j] = square;
      if (distance[j] > most) { most = distance[j]; last = j; }
    }
    chosen[i] = last;
  }
  return chosen;
}
