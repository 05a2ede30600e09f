/** A model with its weights, as those see it who only ask. */
import type { Random } from "../../../base/core/index.ts";
import type { Sampling } from "./sampling.ts";

/** A text to continue. */
export interface GenerationRequest {
  /** Token ids of the prompt, at least one. */
  readonly prompt: readonly number[];
  /** The stream that sampling draws from, not to be drawn from afterwards; greedy decoding draws nothing. */
  readonly random: Random;
  /** Token ids of a continuation that is only scored. */
  readonly reference?: readonly number[] | undefined;
}

/** How to continue it. */
export interface GenerationOptions {
  readonly maxNewTokens: number;
  readonly sampling: Sampling;
}

/** One continuation. */
export interface Generation {
  /** New token ids, the end token included where the model gave one. */
  readonly tokens: readonly number[];
  /** log π of each new token at the sampling temperature, before top-k and top-p; 0 when greedy, which is certain. */
  readonly logProbs: readonly number[];
  /** Whether the model ended it; otherwise it was cut at `maxNewTokens`. */
  readonly isFinished: boolean;
  /** log π of each token of the reference, at temperature 1; absent where there is none, and where the positions have no room for it. */
  readonly referenceLogProbs?: readonly number[] | undefined;
}

/** Continues texts. */
export interface Policy {
  /** Longest prompt and answer together, in tokens. */
  readonly maxPositions: number;
  /** The continuations, in the order of the requests. Throws `RangeError` for a prompt that is empty, or too long for an answer. */
  generate(
    requests: readonly GenerationRequest[],
    options: GenerationOptions,
  ): Promise<readonly Generation[]>;
}
