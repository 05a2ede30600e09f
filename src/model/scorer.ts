/** Log-probabilities of given answers under given parameters: a forward pass only. */

import { type CompileOptions, compile } from "../tensor/index.ts";
import type { TokenBatch } from "./batch.ts";
import type { ModelConfig } from "./config.ts";
import { createLayout, createWeights, feedParameters } from "./parameters.ts";
import { createProgramCache } from "./program-cache.ts";
import { scoreTargets } from "./score-targets.ts";

/** Scores batches; programs are compiled once a batch size. */
export interface Scorer {
  /** log π of every target of the batch, [B, T], at the temperature the scorer was created for. */
  score(parameters: Float32Array, batch: TokenBatch): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Creates a scorer for models of that config; `temperature` (default 1) divides the logits. */
export function createScorer(
  config: ModelConfig,
  options: CompileOptions & { readonly temperature?: number },
): Scorer {
  const layout = createLayout(config);
  const { temperature = 1 } = options;
  const programs = createProgramCache((size) => {
    const { logProbs_BT } = scoreTargets(config, createWeights(layout), { ...size, temperature });
    return compile({ logProbs: logProbs_BT }, options);
  });
  return {
    score: async (parameters, { size, tokens, targets, positions }) => {
      const program = await programs.find(size);
      const results = await program.run({
        ...feedParameters(layout, parameters),
        tokens,
        targets,
        positions,
      });
      return results.logProbs;
    },
    release: () => programs.release(),
  };
}
