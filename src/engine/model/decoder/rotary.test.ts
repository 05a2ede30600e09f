/** Rotary frequencies against transformers (test/golden/rope.json, printed by test/peers/rope.py), and what is made of them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseModelConfig } from "../config/parse-config.ts";
import { feedPositions } from "./positions.ts";
import { type Rope, ropeFrequencies, ropeMagnitude, rotaryTables } from "./rotary.ts";

interface GoldenCase {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly texts: readonly {
    readonly length: number;
    readonly frequencies: readonly number[];
    readonly magnitude: number;
  }[];
}

const { cases }: { readonly cases: readonly GoldenCase[] } = JSON.parse(
  readFileSync(new URL("../../../../test/golden/rope.json", import.meta.url), "utf8"),
);
const sizes = { model_type: "llama", vocab_size: 8, intermediate_size: 8, num_hidden_layers: 1 };

function readRope(config: Readonly<Record<string, unknown>>): Rope {
  const [layer] = parseModelConfig({ ...sizes, eos_token_id: null, ...config }, "").layers;
  if (layer?.rope === undefined) throw new Error("The model has no rotary positions");
  return layer.rope;
}

describe("ropeFrequencies()", () => {
  it.each(cases.map((one) => [one.name, one] as const))("%s: as transformers, to the last bits", (_, one) => {
    const rope = readRope(one.config);
    for (const { length, frequencies, magnitude } of one.texts) {
      const found = ropeFrequencies(rope, length);
      expect(found.length).toBe(frequencies.length);
      for (const [index, wanted] of frequencies.entries())
        expect(Math.abs(found[index]! / wanted - 1)).toBeLessThan(3e-7);
      expect(ropeMagnitude(rope)).toBeCloseTo(magnitude, 12);
    }
  });

  it("depends on the length of a text where the scaling does, and not elsewhere", () => {
    const varying = cases.filter(({ config }) => {
      const rope = readRope(config);
      return ropeFrequencies(rope, 40).join() !== ropeFrequencies(rope, 500).join();
    });
    expect(varying.map(({ name }) => name)).toEqual(["dynamic", "longrope"]);
  });
});

describe("rotaryTables()", () => {
  it("makes queries grow with their positions", () => {
    const rope: Rope = { theta: 100, dimension: 2, queryGrowth: { rate: 0.5, numPositions: 4 } };
    const [plain, grown] = [false, true].map((isForQueries) =>
      rotaryTables(rope, [3, 4, 9], { numTokens: 10, isForQueries }),
    );
    const ratios = [0, 1, 2].map((row) => grown!.cosine[row]! / plain!.cosine[row]!);
    for (const [index, wanted] of [1, 1 + 0.5 * Math.log(2), 1 + 0.5 * Math.log(3)].entries())
      expect(ratios[index]).toBeCloseTo(wanted, 6);
  });
});

describe("feedPositions()", () => {
  it("counts from where a text begins, and stays at its last token", () => {
    const texts = [
      { start: 2, numTokens: 4 },
      { start: 0, numTokens: 3 },
    ];
    const { positions } = feedPositions({ layers: [] }, { B: 3, T: 4, texts });
    expect([...positions!]).toEqual([2, 3, 3, 3, 0, 1, 2, 2, 0, 1, 2, 3]);
  });

  it("gives each text the angles of its own length", () => {
    const rope = readRope(cases.find(({ name }) => name === "longrope")!.config);
    const [short, long] = [40, 500].map((numTokens) => ({ start: 1, numTokens }));
    const { cosines } = feedPositions({ layers: [{ rope }] }, { B: 2, T: 1, texts: [short!, long!] });
    for (const [row, numTokens] of [40, 500].entries()) {
      const own = rotaryTables(rope, [1], { numTokens }).cosine;
      expect([...cosines!.subarray(row * own.length, (row + 1) * own.length)]).toEqual([...own]);
    }
  });
});
