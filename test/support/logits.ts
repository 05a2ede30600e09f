/** Logits of whole texts by the embedded engine, for comparisons with peers. */
import { applyHead } from "../../src/engine/model/decoder/graph.ts";
import {
  createLayout,
  createWeights,
  feedParameters,
  feedPositions,
  type Model,
  runSequences,
} from "../../src/engine/model/index.ts";
import { compile, op } from "../../src/engine/tensor/index.ts";

/** Logits [T × vocabulary] after each of T tokens, read in one pass on one thread. */
export async function computeLogits(
  { config, parameters }: Model,
  tokens: readonly number[],
): Promise<Float32Array> {
  const [layout, T] = [createLayout(config), tokens.length];
  const weights = createWeights(layout);
  const { hidden_NE } = runSequences(config, weights, op.input("tokens", [1, T], "int32"));
  const program = await compile({ logits: applyHead(config, weights, hidden_NE) }, { numThreads: 1 });
  const { logits } = await program.run({
    ...feedParameters(layout, parameters),
    tokens: Int32Array.from(tokens),
    ...feedPositions(config, { B: 1, T, texts: [{ start: 0, numTokens: T }] }),
  });
  await program.release();
  return logits;
}
