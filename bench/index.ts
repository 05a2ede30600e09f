/**
 * Starts benchmarks, each in a process of its own: `npm run bench` for the engine, spectra, surgery, the studio and the start of commands, or the name
 * of one and its arguments: `npm run bench spectra 512x2048`.
 */
import { inheritChild } from "./child.ts";

const benchmarks = [
  "engine",
  "kernels",
  "spectra",
  "surgery",
  "studio",
  "start",
  "spectra-memory",
  "surgery-memory",
  "follow-memory",
  "local-memory",
  "cluster",
  "serve-load",
  "chat-model",
  "soak",
] as const;

const [wanted, ...options] = process.argv.slice(2);
const chosen = benchmarks.filter((name) =>
  wanted === undefined ? !/-memory$|^cluster$|^serve-load$|^chat-model$|^soak$/.test(name) : name === wanted,
);
if (chosen.length === 0) {
  console.error(`Cannot find a benchmark "${wanted}": choose ${benchmarks.join(", ")}`);
  process.exit(2);
}
for (const name of chosen) {
  const code = await inheritChild(process.execPath, ["--import", "tsx", `bench/${name}.ts`, ...options]);
  if (code !== 0) process.exit(code);
}
