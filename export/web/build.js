// The page as files that any web server can hand out: dist/, which is never committed.
import { cpSync, rmSync } from "node:fs";
import { build } from "esbuild";

const LITERT = "node_modules/@litertjs/core/wasm/";
// The runtime takes the first where the browser has relaxed SIMD, else the second.
const RUNTIMES = ["litert_wasm_internal", "litert_wasm_compat_internal"];

rmSync("dist", { recursive: true, force: true });
const shared = { bundle: true, minify: true, outdir: "dist", target: "es2022", legalComments: "eof" };
await build({ ...shared, entryPoints: ["app.js"], format: "esm" });
// A classic worker: the runtime loads itself by importScripts, which module workers lack.
await build({ ...shared, entryPoints: ["worker.js"], format: "iife" });
for (const name of ["index.html", "style.css", "samples"]) cpSync(name, `dist/${name}`, { recursive: true });
for (const name of RUNTIMES) {
  for (const end of [".js", ".wasm"]) cpSync(LITERT + name + end, `dist/litert/${name}${end}`);
}
