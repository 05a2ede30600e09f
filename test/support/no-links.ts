/** Processes that find a file system without hard links, of which few machines have one to mount. Building it needs a C compiler. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Environment, root } from "./untwist.ts";

/** The environment of such processes; `undefined` where there is no compiler, or no such way. */
export function forbidLinks(folder: string): Environment | undefined {
  if (process.platform !== "linux") return undefined;
  const library = join(folder, "no-links.so");
  const source = join(root, "test/support/no-links.c");
  const { status } = spawnSync("cc", ["-shared", "-fPIC", "-o", library, source]);
  return status === 0 ? { LD_PRELOAD: library } : undefined;
}
