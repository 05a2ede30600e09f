#!/usr/bin/env node
/** Starts the compiled command line; in a fresh clone it is compiled first. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
try {
  // Installed as a package of another project, what it depends on lies above it.
  createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
} catch {
  process.stderr.write("Cannot start: the packages are not installed; run npm ci first\n");
  process.exit(2);
}
// The first and the last that a build makes: where both are there, all is.
if (!["node/cli.js", "figures/figures.js"].every((file) => existsSync(`${root}dist/${file}`))) {
  const { status } = spawnSync("npm", ["run", "-s", "build"], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
const { main } = await import("../dist/node/cli.js");
const code = await main(process.argv);
// A command may have set one of its own: of a pack, that pieces failed.
if (code !== 0) process.exitCode = code;
// Stopped: a worker thread may be deep in a native routine, and nobody waits for its result.
if (code === 130) process.exit();
