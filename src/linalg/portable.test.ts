import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

/** The compiled room: a program of its own can be stopped when it never ends. `npm test` compiles it first. */
const compiled = new URL("../../dist/linalg/index.js", import.meta.url).href;

describe("the portable backend", () => {
  it.each([
    ["elements", "1"],
    ["rows", "Math.sin(index % 120)"],
    ["columns", "Math.sin(Math.floor(index / 120))"],
  ])("comes to an end where all %s are alike", async (_, element) => {
    const program = `(async () => {
      const { createDenseSource, createMatrix, factorize, openLinearAlgebra } = await import(${JSON.stringify(compiled)});
      const values = Float64Array.from({ length: 100 * 120 }, (_, index) => ${element});
      const source = createDenseSource(createMatrix(100, 120, values));
      const algebra = await openLinearAlgebra("none");
      const shares = [0, 5].map((numVectors) => {
        const { values } = factorize(source, { numVectors, tolerance: 1e-8 }, algebra);
        return values[1] / values[0] < 1e-12;
      });
      console.log(JSON.stringify(shares));
    })()`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--eval", program], { timeout: 300_000 });
    expect(JSON.parse(stdout)).toEqual([true, true]);
  });
});
