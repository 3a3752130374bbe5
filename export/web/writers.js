// Completed points as files: x, y and z, float64 where the scan was.

export function ply(points, wide) {
  const kind = wide ? "double" : "float";
  const header = ["ply", "format binary_little_endian 1.0", `element vertex ${points.length / 3}`,
    ...["x", "y", "z"].map((axis) => `property ${kind} ${axis}`), "end_header", ""].join("\n");
  return new Blob([header, numbers(points, wide)], { type: "application/octet-stream" });
}

export function npy(points, wide) {
  const header = `{'descr': '<f${wide ? 8 : 4}', 'fortran_order': False, 'shape': (${points.length / 3}, 3), }`;
  const padded = header.padEnd(117) + "\n"; // 10 bytes before it make 128.
  const start = new Uint8Array([0x93, ...[..."NUMPY"].map((c) => c.charCodeAt(0)), 1, 0, padded.length, 0]);
  return new Blob([start, padded, numbers(points, wide)], { type: "application/octet-stream" });
}

function numbers(points, wide) {
  const size = wide ? 8 : 4, view = new DataView(new ArrayBuffer(points.length * size));
  points.forEach((value, i) => (wide ? view.setFloat64(i * 8, value, true) : view.setFloat32(i * 4, value, true)));
  return view.buffer;
}
