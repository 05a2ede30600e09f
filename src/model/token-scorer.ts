/** How likely every token of a text was, and which one was likelier: what evaluation tools ask of a server. */
import { type CompileOptions, compile, op } from "../tensor/index.ts";
import { roundUpLength } from "./batch.ts";
import type { ModelConfig } from "./config.ts";
import { applyHead, runSequences, sequencePositions } from "./decoder.ts";
import { createLayout, createWeights, feedParameters } from "./parameters.ts";
import { createProgramCache } from "./program-cache.ts";

/** A token of a text, judged by what stands before it. */
export interface ScoredToken {
  readonly token: number;
  /** log π(token | before); absent for the first one. */
  readonly logProb?: number;
  /** The likeliest token in its place, and log π of it. */
  readonly best?: { readonly token: number; readonly logProb: number };
}

/** Scores texts one at a time; programs are compiled once a length. */
export interface TokenScorer {
  score(parameters: Float32Array, tokens: readonly number[]): Promise<readonly ScoredToken[]>;
  release(): Promise<void>;
}

/** Creates a scorer for models of that config. */
export function createTokenScorer(config: ModelConfig, options: CompileOptions): TokenScorer {
  const layout = createLayout(config);
  const V = config.vocabularySize;
  const programs = createProgramCache(({ B, T }) => {
    const weights = createWeights(layout);
    const { hidden_NE } = runSequences(config, weights, op.input("tokens", [B, T], "int32"));
    return compile({ logProbs: op.logSoftmax(applyHead(config, weights, hidden_NE)) }, options);
  });
  return {
    score: async (parameters, tokens) => {
      const T = roundUpLength(Math.max(1, tokens.length));
      const padded = new Int32Array(T).fill(config.padToken);
      padded.set(tokens);
      const program = await programs.find({ B: 1, T });
      const { logProbs } = await program.run({
        ...feedParameters(layout, parameters),
        tokens: padded,
        positions: sequencePositions(1, T),
      });
      return tokens.map((token, index): ScoredToken => {
        if (index === 0) return { token };
        const row = logProbs.subarray((index - 1) * V, index * V);
        const best = findBest(row);
        return { token, logProb: row[token] ?? 0, best: { token: best, logProb: row[best] ?? 0 } };
      });
    },
    release: () => programs.release(),
  };
}

function findBest(row: Float32Array): number {
  let best = 0;
  for (let token = 1; token < row.length; token++) if ((row[token] ?? 0) > (row[best] ?? 0)) best = token;
  return best;
}
