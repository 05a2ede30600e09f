import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import { chooseComparison } from "./choose-comparison.ts";

describe("chooseComparison()", () => {
  it("sorts ranks and takes each once", () => {
    expect(chooseComparison({ ranks: [32, 8, 32] }).settings).toEqual({ ranks: [8, 32] });
    expect(chooseComparison({ ranks: [8], randomizedSeed: 0 }).settings).toEqual({
      ranks: [8],
      randomizedSeed: 0,
    });
  });

  it("refuses ranks that are not whole numbers from 1", () => {
    for (const ranks of [[], [0], [-1], [1.5], [Number.NaN], [8, Number.POSITIVE_INFINITY]])
      expect(() => chooseComparison({ ranks }), String(ranks)).toThrow(UsageError);
  });

  it("wants tensors by kind and layer; one that lies in no layer only where layers were not chosen", () => {
    const { isWanted } = chooseComparison({ ranks: [8], matrices: "q_proj", layers: "0-1" });
    const name = (layer: number): string => `model.layers.${layer}.self_attn.q_proj.weight`;
    expect(isWanted({ kind: "q_proj", name: name(1), layer: 1 })).toBe(true);
    expect(isWanted({ kind: "q_proj", name: name(2), layer: 2 })).toBe(false);
    expect(isWanted({ kind: "q_proj", name: "model.layers.1.self_attn.k_proj.weight", layer: 1 })).toBe(
      false,
    );
    expect(isWanted({ kind: "q_proj", name: "q_proj" })).toBe(false);
    expect(chooseComparison({ ranks: [8] }).isWanted({ kind: "q_proj", name: "lm_head.weight" })).toBe(true);
  });
});
