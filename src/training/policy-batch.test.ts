import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../base/core/index.ts";
import type { Turn } from "../tasks/rollout/index.ts";
import { drawMinibatches, feedTurns, lastPromptRows, packTurns, type ScoredTurn } from "./policy-batch.ts";

const grade = { outcome: "", reward: 0, parts: { format: true, values: true, solved: true }, feedback: "" };

/** A turn whose log-probabilities tell which answer token they belong to: each is −token. */
function turnOf(tokens: readonly number[], numPromptTokens: number): Turn {
  const logProbs = tokens.slice(numPromptTokens).map((token) => -token);
  return { sequence: { tokens, numPromptTokens }, logProbs, text: "", grade };
}

function scoredOf(turn: Turn, index: number): ScoredTurn {
  return {
    turn,
    startLogProbs: turn.logProbs.map((value) => 10 * value),
    referenceLogProbs: turn.logProbs.map((value) => 100 * value),
    advantage: index + 0.5,
    value: index + 10,
    return: index + 20,
  };
}

const turns = [
  turnOf([3, 4, 5, 6], 2),
  turnOf([7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 1),
  turnOf([17, 18], 1),
];
const options = { numRows: 4, config: { padToken: 0, layers: [] } };

describe("feedTurns()", () => {
  const { batch, feeds } = feedTurns(turns.map(scoredOf), options);

  it("puts each log-probability where its token is the target, and 0 elsewhere", () => {
    expect(feeds.oldLogProbs).toEqual(
      Float32Array.from(batch.targets, (target, index) => (batch.answerMask[index] === 1 ? -target : 0)),
    );
    expect(feeds.startLogProbs).toEqual(Float32Array.from(feeds.oldLogProbs!, (value) => 10 * value));
    expect(feeds.referenceLogProbs).toEqual(Float32Array.from(feeds.oldLogProbs!, (value) => 100 * value));
    expect(feeds.oldLogProbs!.filter((value) => value !== 0)).toHaveLength(2 + 9 + 1);
  });

  it("weighs all answer tokens alike, and all turns alike, and padding not at all", () => {
    expect(feeds.tokenWeights).toEqual(batch.answerMask.map((value) => value / 12));
    expect(feeds.rowWeights).toEqual(Float32Array.of(1 / 3, 1 / 3, 1 / 3, 0));
  });

  it("gives a column of each turn's numbers", () => {
    expect(feeds.advantages).toEqual(Float32Array.of(0.5, 1.5, 2.5, 0));
    expect(feeds.oldValues).toEqual(Float32Array.of(10, 11, 12, 0));
    expect(feeds.returns).toEqual(Float32Array.of(20, 21, 22, 0));
  });

  it("finds the last prompt token of every turn", () => {
    const rows = [...lastPromptRows(batch, turns)];
    expect([...feeds.lastPromptRows!]).toEqual(rows);
    expect(rows.map((row) => batch.tokens[row])).toEqual([4, 7, 17, 0]);
    expect(Math.max(...rows)).toBeLessThan(batch.size.B * batch.size.T);
  });
});

describe("packTurns()", () => {
  it("packs the tokens of the turns", () => {
    const { size, tokens } = packTurns(turns, options);
    expect(size).toEqual({ B: 4, T: 16 });
    expect([...tokens.subarray(0, 4)]).toEqual([3, 4, 5, 0]);
  });
});

describe("drawMinibatches()", () => {
  const listOf = fc.array(fc.integer(), { maxLength: 40 });
  const sizeOf = fc.integer({ min: 1, max: 12 });

  it("loses nothing and repeats nothing; only the last batch may be short", () => {
    fc.assert(
      fc.property(listOf, sizeOf, fc.nat(), (items, size, seed) => {
        const batches = drawMinibatches(items, size, createRandom(seed));
        const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
        expect(ascending(batches.flat())).toEqual(ascending(items));
        for (const batch of batches.slice(0, -1)) expect(batch).toHaveLength(size);
        for (const batch of batches) expect(batch.length).toBeGreaterThan(0);
      }),
    );
  });

  it("mixes the items, in the same way for the same stream", () => {
    const items = Array.from({ length: 30 }, (_, index) => index);
    const draw = (seed: number): unknown => drawMinibatches(items, 7, createRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(drawMinibatches(items, 30, createRandom(1))).not.toEqual([items]);
  });
});
