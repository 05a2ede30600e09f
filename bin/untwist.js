#!/usr/bin/env node
/** Starts the compiled command line; in a fresh clone it is compiled first. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
if (!existsSync(`${root}node_modules/onnxruntime-node`)) {
  process.stderr.write("Cannot start: the packages are not installed; run npm ci first\n");
  process.exit(2);
}
// The page is built last: where it is there, all is.
if (!existsSync(`${root}dist/figures/figures.js`)) {
  const { status } = spawnSync("npm", ["run", "-s", "build"], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
const { main } = await import("../dist/cli/index.js");
const code = await main(process.argv);
// A command may have set one of its own: of a pack, that pieces failed.
if (code !== 0) process.exitCode = code;
// Stopped: a worker thread may be deep in a native routine, and nobody waits for its result.
if (code === 130) process.exit();
