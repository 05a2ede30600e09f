import { afterAll, describe, expect, it } from "vitest";
import { readGoldenModel, relativeError } from "../../test/golden-model.ts";
import { packSequences } from "./batch.ts";
import { sequencePositions } from "./decoder.ts";
import { createScorer } from "./scorer.ts";

const { file, config, parameters } = readGoldenModel("gqa-untied");
const given = file.reinforcement!;
const [B = 0, T = 0] = given.tokens_BT.shape;
const batch = {
  size: { B, T },
  tokens: Int32Array.from(given.tokens_BT.data),
  targets: Int32Array.from(given.actions_BT.data),
  positions: sequencePositions(B, T),
  answerMask: Float32Array.from(given.mask_BT.data),
};

describe("createScorer()", () => {
  const scorer = createScorer(config, { numThreads: 1 });
  afterAll(() => scorer.release());

  it("gives PyTorch's log-probabilities of the targets to 1e-4 of the largest", async () => {
    const logProbs = await scorer.score(parameters, batch);
    expect(relativeError(logProbs, given.grpo.logProbs_BT.data)).toBeLessThan(1e-4);
  });

  it("scores a sequence alike whatever is packed beside it", async () => {
    const sequences = [
      { tokens: [5, 6, 7, 8], numPromptTokens: 2 },
      { tokens: [9, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], numPromptTokens: 1 },
    ];
    const options = { numRows: 4, padToken: config.padToken };
    const together = await scorer.score(parameters, packSequences(sequences, options));
    const alone = await scorer.score(parameters, packSequences(sequences.slice(0, 1), options));
    expect(relativeError(alone.subarray(0, 3), [...together.subarray(0, 3)])).toBeLessThan(1e-5);
  });

  it("flattens the distribution as the temperature rises", async () => {
    const hot = createScorer(config, { numThreads: 1, temperature: 1e6 });
    const uniform = new Array<number>(B * T).fill(-Math.log(config.vocabularySize));
    expect(relativeError(await hot.score(parameters, batch), uniform)).toBeLessThan(1e-4);
    await hot.release();
  });
});
