/** Tests that every linear algebra backend of this machine must pass. */
import { describe } from "vitest";
import { type LinearAlgebra, openLinearAlgebra } from "../../src/weights/linalg/index.ts";

const portable = await openLinearAlgebra("none");
const found = await openLinearAlgebra();
// Test files run side by side: more threads would only wait for each other.
found.useThreads(1);
const isRequired = process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES === "1";

/** The fastest backend of this machine, for tests in which it does not matter which one works. */
export const anyBackend: LinearAlgebra = found;

/** Describes the same behavior once a backend; LAPACK is left out where there is none and none is required. */
export function describeOnEveryBackend(title: string, body: (algebra: LinearAlgebra) => void): void {
  describe(`${title}, portable`, () => body(portable));
  describeOnLapack(title, body);
}

/** Describes what would take the portable backend too long. */
export function describeOnLapack(title: string, body: (algebra: LinearAlgebra) => void): void {
  if (found.name === "lapack") describe(`${title}, lapack`, () => body(found));
  else if (isRequired) throw new Error("Cannot test on LAPACK: there is none, and it is required");
  else describe.skip(`${title}, lapack (none on this machine)`, () => body(portable));
}
