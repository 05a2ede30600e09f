/** The decoder against a float64 PyTorch one (test/golden/model), and what padding and tied heads must not change. */
import { describe, expect, it } from "vitest";
import { goldenNames, readGoldenModel, relativeError } from "../../../../test/golden-model.ts";
import { compile, op } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { createLayout, createWeights, feedParameters } from "../parameters.ts";
import { runSequences } from "./decoder.ts";
import { applyHead } from "./graph.ts";
import { feedPositions } from "./positions.ts";

async function computeLogits(
  config: ModelConfig,
  parameters: Float32Array,
  { B, T, tokens }: { readonly B: number; readonly T: number; readonly tokens: readonly number[] },
): Promise<Float32Array> {
  const layout = createLayout(config);
  const weights = createWeights(layout);
  const { hidden_NE } = runSequences(config, weights, op.input("tokens", [B, T], "int32"));
  const program = await compile({ logits: applyHead(config, weights, hidden_NE) }, { numThreads: 1 });
  const { logits } = await program.run({
    ...feedParameters(layout, parameters),
    tokens: Int32Array.from(tokens),
    ...feedPositions(config, { B: B, T: T, texts: [] }),
  });
  await program.release();
  return logits;
}

describe("runSequences()", () => {
  for (const name of goldenNames)
    it(`gives the logits of PyTorch to 1e-4 of the largest (${name})`, async () => {
      const { file, config, parameters } = readGoldenModel(name);
      const [B = 0, T = 0] = file.tokens_BT.shape;
      const logits = await computeLogits(config, parameters, { B, T, tokens: file.tokens_BT.data });
      expect(relativeError(logits, file.logits_BTV.data)).toBeLessThan(1e-4);
    });

  it("never lets a token see a later one or another row", async () => {
    const { config, parameters } = readGoldenModel("gqa-untied");
    const [T, numSame, V] = [6, 4, config.vocabularySize];
    const row = [5, 9, 3, 17, 20, 8];
    const changed = [5, 9, 3, 17, 2, 0];
    const tokens = [...row, ...changed];
    const logits = await computeLogits(config, parameters, { B: 2, T, tokens });
    const alone = await computeLogits(config, parameters, { B: 1, T, tokens: row });
    const first = [...logits.subarray(0, numSame * V)];
    expect([...logits.subarray(T * V, T * V + numSame * V)]).toEqual(first);
    expect(relativeError(alone, [...logits.subarray(0, T * V)])).toBeLessThan(1e-5);
    const [fifth, otherFifth] = [0, T].map((start) =>
      logits.subarray((start + numSame) * V, (start + T) * V),
    );
    expect(relativeError(fifth!, [...otherFifth!])).toBeGreaterThan(1e-2);
  });

  it("tells the order of tokens", async () => {
    const { config, parameters } = readGoldenModel("mha-tied");
    const V = config.vocabularySize;
    const logits = await computeLogits(config, parameters, { B: 2, T: 3, tokens: [5, 9, 3, 9, 5, 3] });
    expect(relativeError(logits.subarray(2 * V, 3 * V), [...logits.subarray(5 * V)])).toBeGreaterThan(1e-3);
  });
});
