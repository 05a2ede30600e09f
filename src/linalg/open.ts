/** Which backend this machine has. */
import { createLapack } from "./lapack.ts";
import { openLapackLibrary } from "./lapack-library.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";
import { createPortable } from "./portable.ts";

/**
 * Opens the fastest backend there is: the LAPACK at `path`, one found in the usual places, or the portable one.
 * `path` "none" asks for the portable one. Throws `UsageError` for a path that is no LAPACK.
 */
export async function openLinearAlgebra(path?: string): Promise<LinearAlgebra> {
  if (path === "none") return createPortable();
  const library = await openLapackLibrary(path);
  return library === undefined ? createPortable() : createLapack(library);
}
