// Builds the page into a folder, or with --tests the unit tests into .tests.
// The same sources and package-lock.json give the same bytes: no dates, no hashes of paths, no source maps.
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const [target] = process.argv.slice(2);
const common = { absWorkingDir: here, bundle: true, format: "esm", target: "es2022", charset: "utf8", legalComments: "none" };

if (target === "--tests") {
  await rm(path.join(here, ".tests"), { recursive: true, force: true });
  const files = (await readdir(path.join(here, "tests"))).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: files.map((name) => `tests/${name}`),
    outdir: ".tests",
    outExtension: { ".js": ".mjs" },
    platform: "node",
  });
} else {
  if (!target) throw new Error("build.mjs must be told the folder to write, or --tests");
  const out = path.resolve(here, target);
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await build({
    ...common,
    entryPoints: { page: "src/main.ts", worker: "src/browser/worker.ts", style: "src/style.css" },
    outdir: out,
    minify: true,
    platform: "browser",
    define: { "import.meta.url": "self.location.href" }, // else esbuild keeps paths of this machine
  });
  for (const name of ["index.html", "icon.svg"]) await copyFile(path.join(here, "src", name), path.join(out, name));
  // The runtime is 14 MB, and 3.7 MB packed: the page unpacks it, so any web server serves it as it is.
  const wasm = await readFile(path.join(here, "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"));
  await writeFile(path.join(out, "onnxruntime.wasm.gz"), gzipSync(wasm, { level: 9 }));
}
