/** Where the package lies, and what is built into it: found the same way from the sources and from built files. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** A path below the root of the package, which holds its `package.json`. Throws `RangeError` where there is none above this file. */
export function locateInPackage(...names: readonly string[]): string {
  const own = dirname(fileURLToPath(import.meta.url));
  let folder = own;
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new RangeError(`Cannot find the package.json of untwist above "${own}"`);
    folder = parent;
  }
  return join(folder, ...names);
}

/** The built entry file of a thread, such as "spectra-worker". */
export function locateThread(name: string): URL {
  return pathToFileURL(locateInPackage("dist", "node", `${name}.js`));
}
