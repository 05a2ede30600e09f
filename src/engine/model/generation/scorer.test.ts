import { afterAll, describe, expect, it } from "vitest";
import { readGoldenModel, relativeError } from "../../../../test/golden-model.ts";
import { createScorer } from "./scorer.ts";

const { file, config, parameters } = readGoldenModel("gqa-untied");
const given = file.reinforcement!;
const [B = 0, T = 0] = given.tokens_BT.shape;
/** The rows of the golden file as sequences, and their log-probabilities by PyTorch. */
const rows = Array.from({ length: B }, (_, row) => {
  const take = <Value>(values: readonly Value[]): readonly Value[] => values.slice(row * T, (row + 1) * T);
  const mask = take(given.mask_BT.data);
  const [first, last] = [mask.indexOf(1), mask.lastIndexOf(1)];
  const [tokens, actions] = [take(given.tokens_BT.data), take(given.actions_BT.data)];
  return {
    sequence: { tokens: [...tokens.slice(0, last + 1), actions[last] ?? 0], numPromptTokens: first + 1 },
    logProbs: take(given.grpo.logProbs_BT.data).slice(first, last + 1),
  };
});
const sequences = rows.map(({ sequence }) => sequence);

describe("createScorer()", () => {
  const scorer = createScorer(config, { numThreads: 1, batchSize: 4 });
  afterAll(() => scorer.release());

  it("gives PyTorch's log-probabilities of the answers to 1e-4 of the largest", async () => {
    const scores = await scorer.score(parameters, sequences);
    for (const [row, { logProbs }] of rows.entries())
      expect(relativeError(scores[row]!, logProbs)).toBeLessThan(1e-4);
  });

  it("scores a sequence alike whatever stands beside it, in its batch and in others", async () => {
    const others = [
      { tokens: [5, 6, 7, 8], numPromptTokens: 2 },
      { tokens: [9, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], numPromptTokens: 1 },
      { tokens: [5, 6], numPromptTokens: 2 },
    ];
    const many = Array.from({ length: 4 }, () => others).flat();
    const together = await scorer.score(parameters, many);
    expect(together.map(({ length }) => length)).toEqual(many.map((_, index) => [2, 11, 0][index % 3]));
    for (const [index, sequence] of many.entries()) {
      const [alone = new Float32Array(0)] = await scorer.score(parameters, [sequence]);
      if (alone.length > 0) expect(relativeError(alone, [...together[index]!])).toBeLessThan(1e-5);
    }
  });

  it("flattens the distribution as the temperature rises", async () => {
    const hot = createScorer(config, { numThreads: 1, batchSize: 4, temperature: 1e6 });
    const uniform = -Math.log(config.vocabularySize);
    for (const answer of await hot.score(parameters, sequences))
      expect(
        relativeError(
          answer,
          [...answer].map(() => uniform),
        ),
      ).toBeLessThan(1e-4);
    await hot.release();
  });
});
