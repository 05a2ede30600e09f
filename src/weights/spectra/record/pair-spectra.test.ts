import { describe, expect, it } from "vitest";
import { type DrawnTensor, drawPair } from "../../../../test/support/drawn-pair.ts";
import type { MatrixSpectra } from "./matrix-spectra.ts";
import {
  describePair,
  describeRotation,
  formatPercent,
  formatRanks,
  type PairSpectra,
  totalSparsity,
} from "./pair-spectra.ts";

const nameOf = (layer: number, part: string): string => `model.layers.${layer}.${part}.weight`;

const tensors: readonly DrawnTensor[] = [
  { name: nameOf(0, "self_attn.q_proj"), shape: [12, 10], size: 0.001 },
  { name: nameOf(0, "mlp.up_proj"), shape: [16, 10], size: 0.01 },
  { name: nameOf(1, "self_attn.q_proj"), shape: [12, 10], size: 0 },
  { name: nameOf(1, "mlp.up_proj"), shape: [16, 10], size: 0.03 },
  { name: "model.embed_tokens.weight", shape: [20, 10], size: 0.002 },
  { name: nameOf(0, "input_layernorm"), shape: [10], size: 0.1 },
  { name: "model.norm.weight", shape: [10], size: 0 },
];
const pair = drawPair(tensors);
const find = (name: string): MatrixSpectra => pair.matrices.find((matrix) => matrix.name === name)!;
const empty: PairSpectra = {
  before: "a",
  after: "b",
  coverage: {
    matched: [],
    unmatched: [{ name: "x", reason: "without elements" }],
    numLeftOut: 3,
    total: { numMatrices: 0, numElements: 0, numElementsLeftOut: 0, numEmpty: 1 },
    notes: [],
  },
  matrices: [],
  vectors: [],
  config: [],
};

describe("collectPair()", () => {
  it("puts what rotated most first, and vectors apart", () => {
    const angles = pair.matrices.map((matrix) => describeRotation(matrix)!.angle);
    expect(angles).toEqual([...angles].sort((a, b) => b - a));
    expect(pair.matrices[0]!.name).toBe(nameOf(1, "mlp.up_proj"));
    expect(pair.matrices.at(-1)!.name).toBe(nameOf(1, "self_attn.q_proj"));
    expect(pair.matrices.length).toBe(5);
    expect(pair.vectors.map(({ name }) => name).sort()).toEqual([
      nameOf(0, "input_layernorm"),
      "model.norm.weight",
    ]);
  });
});

describe("describeRotation()", () => {
  it("joins both sides at the largest rank that leaves all angles free", () => {
    const matrix = find(nameOf(0, "mlp.up_proj"));
    const rotation = describeRotation(matrix)!;
    const [left, right] = [matrix.subspaces.left[1]!, matrix.subspaces.right[1]!];
    expect(rotation.rank).toBe(4);
    expect(Math.sin(rotation.angle)).toBeCloseTo(Math.sqrt((left.chordal ** 2 + right.chordal ** 2) / 2), 12);
    expect(Math.sin(rotation.sides.left!)).toBeCloseTo(left.chordal, 12);
    expect(Math.sin(rotation.sides.right!)).toBeCloseTo(right.chordal, 12);
    expect(rotation.largestAngle).toBe(Math.max(left.largestAngle, right.largestAngle));
    expect(Math.sin(rotation.chance!)).toBeCloseTo(
      Math.sqrt((left.chance! ** 2 + right.chance! ** 2) / 2),
      12,
    );
    expect(rotation.beyondChance).toBeCloseTo(Math.sin(rotation.angle) / Math.sin(rotation.chance!), 12);
    expect(rotation.angle).toBeGreaterThan(0);
  });

  it("is what chance gives for a random update, within a factor of two", () => {
    for (const { name, size } of tensors)
      if (size > 0 && name.includes("proj")) {
        const { beyondChance = Number.NaN } = describeRotation(find(name))!;
        expect(beyondChance).toBeGreaterThan(0.5);
        expect(beyondChance).toBeLessThan(2);
      }
  });

  it("is nothing, without chance, where nothing changed", () => {
    const rotation = describeRotation(find(nameOf(1, "self_attn.q_proj")))!;
    expect(rotation).toEqual({ rank: 4, angle: 0, sides: { left: 0, right: 0 }, largestAngle: 0 });
  });

  it("falls back to the smallest rank of a matrix that is too small for any", () => {
    const small = drawPair([{ name: "w", shape: [3, 9], size: 0.02 }], { ranks: [2, 8] });
    expect(describeRotation(small.matrices[0]!)!.rank).toBe(2);
  });

  it("leaves out a side on which nothing can rotate", () => {
    const row = drawPair([{ name: "w", shape: [1, 9], size: 0.02 }]);
    const { rank, sides, angle } = describeRotation(row.matrices[0]!)!;
    expect(rank).toBe(1);
    expect(Object.keys(sides)).toEqual(["right"]);
    expect(angle).toBe(sides.right);
    const one = drawPair([{ name: "w", shape: [1, 1], size: 0.02 }]);
    expect(describeRotation(one.matrices[0]!)).toBeUndefined();
  });
});

describe("describeRotation() of subspaces that no gap fixes", () => {
  it("leaves them out", () => {
    const matrix = find(nameOf(0, "mlp.up_proj"));
    const vague = (side: "left" | "right"): MatrixSpectra["subspaces"]["left"] =>
      matrix.subspaces[side].map((subspace) => ({ ...subspace, error: Math.PI / 2 }));
    const left = describeRotation({ ...matrix, subspaces: { ...matrix.subspaces, left: vague("left") } })!;
    expect(Object.keys(left.sides)).toEqual(["right"]);
    expect(left.angle).toBe(left.sides.right);
    const both = { left: vague("left"), right: vague("right") };
    expect(describeRotation({ ...matrix, subspaces: both })).toBeUndefined();
  });
});

describe("totalSparsity()", () => {
  it("adds up matrices and vectors, for the model and for each layer in order", () => {
    const { model, layers } = totalSparsity(pair)!;
    const numSame = 12 * 10 + 10;
    const numAll = 2 * (120 + 160) + 200 + 20;
    expect(model.numElements).toBe(numAll);
    expect(model.numTensors).toBe(7);
    const counted = [...pair.matrices, ...pair.vectors].map(({ elements }) => elements.counts);
    const extra = counted.reduce((sum, { bitwise }) => sum + bitwise, 0) - numSame;
    expect(extra).toBeLessThan(20);
    expect(model.weighted.bitwise).toBeCloseTo((numSame + extra) / numAll, 12);
    const shares = counted.map(({ bitwise, numElements }) => bitwise / numElements);
    expect(model.unweighted.bitwise).toBeCloseTo(shares.reduce((a, b) => a + b, 0) / 7, 12);
    expect(layers.map(({ layer, sparsity }) => [layer, sparsity.numTensors, sparsity.numElements])).toEqual([
      [0, 3, 290],
      [1, 2, 280],
    ]);
  });

  it("is absent where nothing was compared", () => expect(totalSparsity(empty)).toBeUndefined());
});

describe("describePair()", () => {
  const headline = describePair(pair);

  it("gives least, median and largest over the matrices that changed, the same ones for all numbers", () => {
    const changed = pair.matrices.filter(({ flags }) => !flags.includes("unchanged"));
    expect([changed.length, headline.numChanged, headline.numMatrices]).toEqual([4, 4, 5]);
    const spreadOf = (read: (matrix: MatrixSpectra) => number): object => {
      const [least, second, third, largest] = changed.map(read).sort((a, b) => a - b);
      return { least, median: second! + (third! - second!) / 2, largest };
    };
    expect(headline.spectralShift).toEqual(spreadOf(({ spectralShift }) => spectralShift!));
    expect(headline.spectralShiftChance).toEqual(spreadOf(({ nulls }) => nulls.spectralShift!));
    expect(headline.rotation).toEqual(spreadOf((matrix) => describeRotation(matrix)!.angle));
    expect(headline.chance).toEqual(spreadOf((matrix) => describeRotation(matrix)!.chance!));
    expect(headline.beyondChance).toEqual(spreadOf((matrix) => describeRotation(matrix)!.beyondChance!));
    const even = describePair(drawPair(tensors.slice(0, 2)));
    const { least, median, largest } = even.rotation!;
    expect(median).toBeCloseTo((least + largest) / 2, 12);
  });

  it("names the matrices that went furthest beyond chance", () => {
    const ratios = new Map(
      pair.matrices.map((matrix) => [matrix.name, describeRotation(matrix)!.beyondChance ?? 0]),
    );
    const expected = [...ratios].sort(([, a], [, b]) => b - a).map(([name]) => name);
    expect(headline.mostRotated).toEqual(expected.slice(0, 3));
    expect(headline.beyondChance!.largest).toBe(ratios.get(expected[0]!));
    expect(headline.chance).toBeDefined();
  });

  it("counts flags, ranks, coverage and what is unchanged", () => {
    expect(headline).toMatchObject({ before: "base", after: "tuned", numMatrices: 5, ranks: [4] });
    expect(headline.flags.unchanged).toBe(1);
    expect(headline.coverage).toEqual({
      ...{ numMatched: 7, numLeftOut: 0, unmatched: [], notes: [] },
      ...{ numMatrices: 5, parameterFraction: 1, isComplete: true },
    });
    expect(headline.unchanged!.weighted).toBe(totalSparsity(pair)!.model.weighted.bitwise);
    expect(headline.unchanged!.unweighted).toBe(totalSparsity(pair)!.model.unweighted.bitwise);
    expect(describePair(empty).coverage).toMatchObject({
      isComplete: false,
      incomplete: "compared 0 of 0 matrices, 0 % of the parameters (1 tensor could not be, 3 not asked for)",
      numMatched: 0,
      numLeftOut: 3,
      unmatched: [{ name: "x", reason: "without elements" }],
    });
  });

  it("puts values, rotation and chance into words", () => {
    expect(headline.reading).toMatch(
      /^4 of 5 matrices changed; in these, singular values move by [\d.]+ % \(0\.\d+ % to [\d.]+ %\), by chance /,
    );
    expect(headline.reading).toMatch(
      /; the leading 4 directions rotate by [\d.]+° \(0\.\d+° to [\d.]+°\), by chance/,
    );
    expect(headline.reading).toMatch(/that is [\d.]+× \([\d.]+× to [\d.]+×\) chance/);
    expect(headline.reading).toMatch(/, single ones by up to [\d.]+°; /);
    expect(headline.reading).toMatch(/; [\d.]+ % \(.*\) of the update lies in their span, by chance [^;]+$/);
    expect(headline.reading).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("says so when nothing changed, or nothing was compared", () => {
    const same = drawPair([{ name: "w", shape: [6, 5], size: 0 }]);
    expect(describePair(same).reading).toBe("no matrix changed");
    const onlyNorm = drawPair([...tensors.slice(2, 3), { name: "model.norm.weight", shape: [6], size: 0.1 }]);
    expect(describePair(onlyNorm).reading).toBe("no matrix changed; 1 other tensor did");
    expect(describePair(empty).reading).toBe("no matrix was compared");
    expect(describePair(empty)).not.toHaveProperty("rotation");
  });

  it("is plain data that JSON carries without loss", () => {
    expect(JSON.parse(JSON.stringify(headline))).toEqual(headline);
  });
});

describe("formatRanks()", () => {
  it("lists two, and gives the ends of more", () => {
    expect(formatRanks([8])).toBe("8");
    expect(formatRanks([8, 32])).toBe("8 or 32");
    expect(formatRanks([8, 16, 32, 128])).toBe("8 to 128");
  });
});

describe("formatPercent()", () => {
  it("gives two digits, and whole numbers from 100 % on", () => {
    expect([0, 0.00012345, 0.0123, 0.5, 0.994, 1, 12.3456, 1234.5].map(formatPercent)).toEqual([
      ...["0 %", "0.012 %", "1.2 %", "50 %", "99 %", "100 %", "1,235 %", "123,450 %"],
    ]);
  });
});
