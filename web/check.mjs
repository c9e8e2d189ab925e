// Builds the page afresh and compares it with the one that is committed; exits with 1 if they differ.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";

const here = path.dirname(new URL(import.meta.url).pathname);
const committed = path.resolve(here, "../src/anymask/demo/page");
const fresh = path.join(here, ".fresh");
execFileSync(process.execPath, [path.join(here, "build.mjs"), fresh], { stdio: "inherit" });

// Packed files are compared by what is in them: zlib's versions pack differently.
const read = (folder, name) => {
  const bytes = readFileSync(path.join(folder, name));
  return name.endsWith(".gz") ? gunzipSync(bytes) : bytes;
};
const names = [...new Set([...readdirSync(committed), ...readdirSync(fresh)])].sort();
const wrong = names.filter((name) => {
  try {
    return !read(committed, name).equals(read(fresh, name));
  } catch {
    return true; // missing on one side
  }
});
rmSync(fresh, { recursive: true });
if (wrong.length > 0) {
  console.error(`src/anymask/demo/page must be what web/ builds, but ${wrong.join(", ")} differ; run make web and commit.`);
  process.exit(1);
}
console.log(`src/anymask/demo/page is what web/ builds: ${names.join(", ")}`);
