/** The golden comparisons of weight matrices work on the matrices that NumPy worked on. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  buildGoldenPair,
  type GoldenMatrix,
  readGoldenSparsity,
  readGoldenSpectra,
} from "./support/golden-matrix.ts";

/** SHA-256 of the little-endian values, on machines of any byte order. */
function hashMatrix({ values }: GoldenMatrix): string {
  const view = new DataView(new ArrayBuffer(values.length * 8));
  for (const [index, value] of values.entries()) view.setFloat64(index * 8, value, true);
  return createHash("sha256").update(view).digest("hex");
}

const cases = [...readGoldenSpectra(), ...readGoldenSparsity().spikes];

describe("buildGoldenPair()", () => {
  it("is asked for pairs of distinct names and seeds, up to 600 × 400", () => {
    const specs = readGoldenSpectra().map(({ spec }) => spec);
    expect(specs).toHaveLength(40);
    expect(new Set(specs.map(({ name }) => name)).size).toBe(40);
    expect(new Set(specs.map(({ seed }) => seed)).size).toBe(40);
    expect(specs.filter(({ rows, columns }) => rows === 600 && columns === 400).length).toBeGreaterThan(1);
  });

  it.each(cases.map((each) => ({ name: each.spec.name, ...each })))(
    "makes $name to the last bit",
    ({ spec, checksum }) => {
      const { before, after } = buildGoldenPair(spec);
      for (const { rows, columns } of [before, after])
        expect([rows, columns]).toEqual([spec.rows, spec.columns]);
      expect({ before: hashMatrix(before), after: hashMatrix(after) }).toEqual(checksum);
    },
  );

  it("makes another matrix of another seed", () => {
    const { spec, checksum } = cases[0]!;
    expect(hashMatrix(buildGoldenPair({ ...spec, seed: spec.seed + 1 }).before)).not.toBe(checksum.before);
  });
});
