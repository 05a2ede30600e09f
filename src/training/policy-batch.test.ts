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
  const { size, feeds } = feedTurns(turns.map(scoredOf), options);
  const batch = packTurns(turns, options);
  /** The answer tokens of all turns, in their order. */
  const answers = turns.flatMap(({ sequence: { tokens, numPromptTokens } }) => tokens.slice(numPromptTokens));
  const numTokens = answers.length;

  it("puts each log-probability where its token is the target", () => {
    expect(size).toEqual({ B: 4, T: 16, R: 32 });
    expect([...feeds.targets!.subarray(0, numTokens)]).toEqual(answers);
    expect([...feeds.rows!.subarray(0, numTokens)].map((place) => batch.targets[place])).toEqual(answers);
    const values = (name: string): readonly number[] => [...feeds[name]!.subarray(0, numTokens)];
    expect(values("oldLogProbs")).toEqual(answers.map((token) => -token));
    expect(values("startLogProbs")).toEqual(answers.map((token) => -10 * token));
    expect(values("referenceLogProbs")).toEqual(answers.map((token) => -100 * token));
  });

  it("weighs all answer tokens alike, and all turns alike, and padding not at all", () => {
    expect([...feeds.tokenWeights!]).toEqual(
      Array.from({ length: 32 }, (_, index) => (index < 12 ? Math.fround(1 / 12) : 0)),
    );
    expect(feeds.rowWeights).toEqual(Float32Array.of(1 / 3, 1 / 3, 1 / 3, 0));
  });

  it("weighs those of a part as the whole has them, in programs of one size", () => {
    const scored = turns.map(scoredOf);
    const part = feedTurns(scored.slice(0, 1), { ...options, whole: scored, mostTokens: 40, T: 24 });
    expect(part.size).toEqual({ B: 4, T: 24, R: 48 });
    expect([...part.feeds.tokenWeights!.subarray(0, 3)]).toEqual([
      Math.fround(1 / 12),
      Math.fround(1 / 12),
      0,
    ]);
    expect(part.feeds.rowWeights).toEqual(Float32Array.of(1 / 3, 0, 0, 0));
  });

  it("gives a column of each turn's numbers, and the advantage of each token's turn", () => {
    expect(feeds.advantages).toEqual(Float32Array.of(0.5, 1.5, 2.5, 0));
    expect(feeds.oldValues).toEqual(Float32Array.of(10, 11, 12, 0));
    expect(feeds.returns).toEqual(Float32Array.of(20, 21, 22, 0));
    const advantages = [0.5, 0.5, ...new Array<number>(9).fill(1.5), 2.5];
    expect([...feeds.tokenAdvantages!.subarray(0, 12)]).toEqual(advantages);
  });

  it("says which tokens are of a row, and where its last prompt token is among them", () => {
    const marks = Array.from({ length: 4 }, (_, row) =>
      [...feeds.rowTokens!.subarray(row * 32, (row + 1) * 32)].flatMap((mark, index) =>
        mark === 1 ? index : [],
      ),
    );
    expect(marks).toEqual([[0, 1], [2, 3, 4, 5, 6, 7, 8, 9, 10], [11], []]);
    expect([...feeds.lastPromptRows!]).toEqual([0, 2, 11, 0]);
    const places = turns.map((_, row) => feeds.rows![feeds.lastPromptRows![row]!]);
    expect(places).toEqual([...lastPromptRows(batch, turns)].slice(0, 3));
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
