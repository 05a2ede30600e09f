/** Where the package lies, and what is built into it: found the same way from the sources and from built files. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** A path below the root of the package, which holds its `package.json`. */
export function locateInPackage(...names: readonly string[]): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, ...names);
}

/** The built entry file of a thread, such as "spectra-worker". */
export function locateThread(name: string): URL {
  return pathToFileURL(locateInPackage("dist", "node", `${name}.js`));
}
