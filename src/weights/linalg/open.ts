/** Which backend this machine has. */
import { createLapack } from "./lapack.ts";
import { openLapackLibrary } from "./lapack-library.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";

/**
 * Opens the fastest backend there is: the LAPACK at `path`, one found in the usual places, or the portable one.
 * `path` "none" asks for the portable one. `pythonFolders` are environments that may have one. Throws `UsageError` for a path that is not LAPACK.
 */
export async function openLinearAlgebra(
  path?: string,
  pythonFolders: readonly string[] = [],
): Promise<LinearAlgebra> {
  const library = path === "none" ? undefined : await openLapackLibrary(path, pythonFolders);
  if (library !== undefined) return createLapack(library);
  // Its library takes long to load, and few machines need it.
  const { createPortable } = await import("./portable.ts");
  return createPortable();
}
