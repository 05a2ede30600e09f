/** Versions of what a result may depend on. */
import { createRequire } from "node:module";
import { toObject } from "../core/index.ts";
import { locateInPackage } from "./package-root.ts";

/** Versions of Untwist, Node.js and the engine, by name. */
export function listVersions(): {
  readonly untwist: string;
  readonly node: string;
  readonly onnxruntime: string;
} {
  const untwist = readVersion(locateInPackage("package.json"));
  return { untwist, node: process.versions.node, onnxruntime: readVersion("onnxruntime-node/package.json") };
}

function readVersion(path: string): string {
  const require = createRequire(import.meta.url);
  const { version } = toObject(require(path));
  if (typeof version === "string") return version;
  throw new SyntaxError(`Cannot read the version in "${path}": it has none`);
}

/** What differs between the versions a run was started with and those of now, in words; empty where nothing does. */
export function describeVersionChanges(before: Readonly<Record<string, string>>): string {
  const changes = Object.entries(listVersions()).filter(([name, version]) => before[name] !== version);
  return changes.map(([name, version]) => `${name} ${before[name] ?? "unknown"} → ${version}`).join(", ");
}
