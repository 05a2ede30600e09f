/** `untwist doctor`: what it finds on this machine, as JSON and in words. */
import { tmpdir } from "node:os";
import { expect, it } from "vitest";
import { openLinearAlgebra } from "../src/linalg/index.ts";
import { type Environment, parseJson, runUntwist } from "./support/untwist.ts";

async function examine(flags: readonly string[] = [], environment: Environment = {}): Promise<string> {
  const { code, stdout, stderr } = await runUntwist(["doctor", ...flags], tmpdir(), environment);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

it("says what was found, as JSON", async () => {
  const found = parseJson(await examine(["--json"]));
  const { name, description } = await openLinearAlgebra();
  expect(found).toMatchObject({
    untwist: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    node: process.versions.node,
    engine: expect.stringMatching(/^onnxruntime \d+\.\d+/),
    linearAlgebra: { backend: name, description },
    memoryBytes: expect.any(Number),
    recipes: expect.arrayContaining(["general-points", "general-points-quick", "general-points-base"]),
    optional: { pytorch: expect.toSatisfy((value) => value === null || typeof value === "string") },
  });
  expect(found.threads.used).toBeGreaterThanOrEqual(1);
  expect(found.threads.used).toBeLessThanOrEqual(found.threads.available);
});

it("says the same in words", async () => {
  expect(await examine()).toMatch(
    /^untwist +\d.*\nnode +.*\nengine +onnxruntime.*\nlinear algebra +\S.*\nthreads +\d+ of \d+\n/,
  );
});

it("says what would be faster where there is no LAPACK, and where the cache is", async () => {
  const text = await examine([], { UNTWIST_LAPACK: "none", UNTWIST_CACHE: "/somewhere/else" });
  expect(text).toMatch(/^linear algebra +ml-matrix .*OpenBLAS.*UNTWIST_LAPACK/m);
  expect(text).toMatch(/^cache +\/somewhere\/else /m);
});
