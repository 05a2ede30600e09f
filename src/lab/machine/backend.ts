/** The linear algebra that the user's machine has, or that they named. */
import type { Machine } from "../../base/machine/index.ts";
import { type LinearAlgebra, openLinearAlgebra } from "../../weights/linalg/index.ts";

/** What tells which LAPACK to use. */
export type BackendChoice = Pick<Machine, "lapack" | "pythonFolders">;

/** Opens the backend. Throws `UsageError` for a library that cannot be used. */
export function openBackend({ lapack, pythonFolders }: BackendChoice): Promise<LinearAlgebra> {
  return openLinearAlgebra(lapack, pythonFolders);
}
