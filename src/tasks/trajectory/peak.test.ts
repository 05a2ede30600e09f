import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import { assignHalves, type CheckpointOutcome } from "./checkpoint-outcome.ts";
import { crossFitPeak, findPlateau } from "./peak.ts";

const solveFirst = (count: number, total: number): readonly boolean[] =>
  Array.from({ length: total }, (_, item) => item < count);
const sft = (step: number, ood: readonly boolean[]): CheckpointOutcome => ({
  ...{ id: `sft-${step}`, stage: "sft", step, solved: { id: [true], ood } },
});

describe("assignHalves()", () => {
  const random = createRandom(1, "halves");
  const keys = Array.from({ length: 300 }, () => `document ${random.integer(1, 40)}`);
  const halves = assignHalves({ solved: keys.map(() => true), keys });

  it("never splits a group", () => {
    for (const key of new Set(keys))
      expect(new Set(halves.filter((_, item) => keys[item] === key)).size, key).toBe(1);
  });

  it("gives both halves about as many items", () => {
    const numSelection = halves.filter((half) => half === "selection").length;
    const largest = Math.max(...keys.map((key) => keys.filter((other) => other === key).length));
    expect(Math.abs(2 * numSelection - keys.length)).toBeLessThanOrEqual(largest);
  });

  it("gives a group the same half whatever the order of the items", () => {
    const reversed = [...keys].reverse();
    const others = assignHalves({ solved: reversed.map(() => true), keys: reversed });
    expect([...others].reverse()).toEqual(halves);
  });

  it("lets items without keys take sides in turns", () => {
    expect(assignHalves({ solved: [true, true, false], keys: undefined })).toEqual([
      ...["selection", "held-out", "selection"],
    ]);
  });
});

describe("crossFitPeak()", () => {
  it("measures each half by the choice of the other", () => {
    const [even, odd] = [0, 1].map((rest) => Array.from({ length: 10 }, (_, item) => item % 2 === rest));
    const { peak, otherPeak, solved } = crossFitPeak([sft(1, even ?? []), sft(2, odd ?? [])]);
    // Each is perfect on the half that chose it, and solves nothing of the other.
    expect([peak.id, otherPeak.id]).toEqual(["sft-1", "sft-2"]);
    expect(solved).toEqual(Array.from({ length: 10 }, () => false));
  });
});

describe("findPlateau()", () => {
  it("holds the best and what cannot be told from it, in the order given", () => {
    const checkpoints = [60, 90, 88, 30].map((count, index) => sft(index + 1, solveFirst(count, 100)));
    expect(findPlateau(checkpoints, { seed: 1 }).map(({ id }) => id)).toEqual(["sft-2", "sft-3"]);
  });

  it("is all of one, and all of equals", () => {
    const one = sft(1, solveFirst(5, 10));
    expect(findPlateau([one], { seed: 1 })).toEqual([one]);
    const both = [one, { ...one, id: "sft-2", step: 2 }];
    expect(findPlateau(both, { seed: 1 })).toEqual(both);
  });
});
