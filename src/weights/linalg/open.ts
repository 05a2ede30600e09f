/** Which LAPACK works here. */
import { createLapack } from "./lapack.ts";
import { openLapackLibrary } from "./lapack-library.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";
import { openShippedLapack } from "./shipped-lapack.ts";

/**
 * Opens the fastest backend there is: the LAPACK at `path`, one found in the usual places, or the one that ships.
 * `path` "none" asks for the one that ships. `pythonFolders` are environments that may have one. Throws `UsageError` for a path that is not LAPACK.
 */
export async function openLinearAlgebra(
  path?: string,
  pythonFolders: readonly string[] = [],
): Promise<LinearAlgebra> {
  const library = path === "none" ? undefined : await openLapackLibrary(path, pythonFolders);
  return createLapack(library ?? openShippedLapack());
}
