/** What a decoder is made of: dimensions, and the parts in which families differ. Parts that are absent are as in Llama. */
import type { ActivationName } from "../decoder/activation.ts";
import type { Rope } from "../decoder/rotary.ts";
import type { FamilyName } from "../family/family-name.ts";

/** Dimensions, constants and parts of a decoder. */
export interface ModelConfig {
  /** `model_type` in transformers: what the tensors are called, and where the norms stand. */
  readonly family: FamilyName;
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  /** Width of the feed-forward layers. */
  readonly intermediateSize: number;
  readonly numHeads: number;
  /** Heads that share keys and values are consecutive (grouped-query attention); divides `numHeads`. */
  readonly numKeyValueHeads: number;
  readonly headSize: number;
  /** Added to the mean square, or the variance, inside the norms. */
  readonly normEpsilon: number;
  readonly layers: readonly LayerConfig[];
  /** Longest sequence, in tokens. */
  readonly maxPositions: number;
  /** Whether the output head is the embedding matrix. */
  readonly isTied: boolean;
  /** Token that ends an answer; training examples end with it. Absent: answers run to their limit. */
  readonly endToken?: number;
  /** Further tokens that end an answer. */
  readonly otherEndTokens?: readonly number[];
  /** Token that fills the rest of a batch. */
  readonly padToken: number;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
  /** Of feed-forward layers (default silu). */
  readonly activation?: ActivationName;
  /** Projections that have biases (default none). */
  readonly biases?: readonly Projection[];
  /** Multiplies the scores of attention (default 1/√headSize). */
  readonly attentionScale?: number;
  /** A scale of a layer's own on top of it: 1 / (layer + 1). */
  readonly scalesByLayer?: boolean;
  /** c, where scores of attention become c tanh(score / c). */
  readonly attentionCap?: number;
  /** The same for logits. */
  readonly logitCap?: number;
  /** Largest absolute value of queries, keys and values. */
  readonly projectionLimit?: number;
  /** Multiplies the embeddings (default 1). */
  readonly embeddingScale?: number;
  /** Multiplies what a layer adds to the hidden states (default 1). */
  readonly residualScale?: number;
  /** Multiplies the logits (default 1). */
  readonly logitScale?: number;
  /** Whether attention and feed-forward of a layer read the same hidden states, and both add to them. */
  readonly isParallel?: boolean;
  /** The experts of sparse layers. */
  readonly experts?: ExpertsConfig;
}

/** In what the layers of a model may differ. */
export interface LayerConfig {
  /** Absent: no rotary positions. */
  readonly rope?: Rope;
  /** How many tokens a token attends to, itself included; absent: all before it. */
  readonly window?: number;
  /** Whether its feed-forward part is a mixture of experts. */
  readonly isSparse?: boolean;
}

/** The linear maps of a layer. */
export type Projection = "query" | "key" | "value" | "output" | "gate" | "up" | "down";

/** A mixture of experts (Shazeer et al. 2017). */
export interface ExpertsConfig {
  readonly numExperts: number;
  /** Experts that a token goes through. */
  readonly numChosen: number;
  readonly intermediateSize: number;
  /** Whether the weights of the chosen ones are scaled to sum to 1. */
  readonly isNormalized: boolean;
}

/** What the reader of a family finds; the rest is read in the same way for all. */
export type ModelParts = Omit<
  ModelConfig,
  "family" | "vocabularySize" | "isTied" | "endToken" | "otherEndTokens" | "padToken" | "initializerRange"
>;
