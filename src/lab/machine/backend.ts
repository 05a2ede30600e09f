/** The linear algebra that the user's machine has, or that they named. */
import { type LinearAlgebra, openLinearAlgebra } from "../../weights/linalg/index.ts";

/** Opens the backend; `UNTWIST_LAPACK` names a library, or "none". Throws `UsageError` for one that cannot be used. */
export function openBackend(): Promise<LinearAlgebra> {
  return openLinearAlgebra(process.env.UNTWIST_LAPACK || undefined);
}
