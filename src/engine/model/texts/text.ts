/** A text that is continued: what was asked, and what it has become. */
import type { Random } from "../../../base/core/index.ts";
import type { Sampling } from "../generation/sampling.ts";
import type { ScoredToken } from "./token-scores.ts";

/** A text to continue. */
export interface TextRequest {
  /** Token ids, at least one; with the new tokens no more than the model has positions. */
  readonly prompt: readonly number[];
  /** 0 only reads the prompt. */
  readonly maxNewTokens: number;
  readonly sampling: Sampling;
  readonly random: Random;
  /** How many of the likeliest tokens are named in each place; absent: no log-probabilities. */
  readonly numLikeliest?: number;
  /** The first token of the prompt that is scored, as all behind it are; absent: none is. */
  readonly scoresFrom?: number;
}

/** A text that is being continued. */
export interface Text {
  readonly request: TextRequest;
  /** The prompt's tokens from `scoresFrom` on, as far as they are scored. */
  readonly scored: ScoredToken[];
  /** What was added to it so far. */
  readonly added: ScoredToken[];
  /** log π of each added token at the sampling temperature, before top-k and top-p; 0 when greedy, which is certain. */
  readonly logProbs: number[];
  /** Why it ended: an end token or the limit; absent while it goes on. */
  end?: "stop" | "length";
}

/** Tokens of a text, all but the newest of which are in its cache once the prompt is read. */
export function countTokens({ request, added }: Text): number {
  return request.prompt.length + added.length;
}
