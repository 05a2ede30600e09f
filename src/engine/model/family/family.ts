/** What all models of a family have in common: what their tensors are called, and of what kind the norms are. */
import type { Fields } from "../config/fields.ts";
import type { ModelParts } from "../config/model-config.ts";

/** What a family is, and how its `config.json` is read. */
export interface Family {
  readonly names: TensorNames;
  readonly norm: NormKind;
  /** What norms of queries and keys span: each head, or all heads of a token. */
  readonly headNorm?: "head" | "projection";
  /** Whether matrices of layers are stored with inputs as rows, as GPT-2 does. */
  readonly hasInputRows?: true;
  /** Names within a layer that files of other versions have: a pattern, and what it is here. */
  readonly otherNames?: readonly (readonly [pattern: RegExp, name: string])[];
  /** Token that ends answers where the configuration names none; absent: none does. */
  readonly endToken?: number;
  /** Whether head and embeddings are one where nothing is said (default no). */
  readonly isTied?: true;
  /** Reads what is particular to the family. Throws `FieldError`. */
  read(fields: Fields): ModelParts;
}

/**
 * - `rms`: x / √(mean(x²) + ε) · w (Zhang & Sennrich 2019)
 * - `shifted`: the same times 1 + w (Gemma)
 * - `layer`: (x − mean) / √(variance + ε) · w + b (Ba et al. 2016)
 * - `plain`: the same without w and b (OLMo)
 */
export type NormKind = "rms" | "shifted" | "layer" | "plain";

/** Names of tensors without their ".weight" and ".bias"; those of a layer without "model.layers.3.". A part without a name is not there. */
export interface TensorNames {
  readonly embedding: string;
  /** Learned positions. */
  readonly positions?: string;
  /** What comes before the number of a layer. */
  readonly layers: string;
  readonly finalNorm: string;
  readonly head: string;
  readonly norms: NormNames;
  readonly attention: AttentionNames;
  readonly feedForward: FeedForwardNames;
  readonly experts?: ExpertNames;
}

/** The norms of a layer. */
export interface NormNames {
  readonly beforeAttention?: string;
  /** On what attention gives, before it is added. */
  readonly afterAttention?: string;
  readonly beforeFeedForward?: string;
  readonly afterFeedForward?: string;
  readonly queries?: string;
  readonly keys?: string;
}

/** Projections of attention: one each, or one for all three, with their rows one after the other or head by head. */
export type AttentionNames = { readonly output: string } & (
  | { readonly query: string; readonly key: string; readonly value: string }
  | { readonly all: string; readonly order: "by-part" | "by-head" }
);

/** Maps of a feed-forward part: gated or not, gate and up in one or not. */
export interface FeedForwardNames {
  readonly gate?: string;
  /** With gate and up in one, the name of that. */
  readonly up: string;
  readonly down: string;
  readonly holdsGate?: true;
}

/** A mixture of experts: the router, and the parts of one expert, whose number replaces "#". */
export interface ExpertNames {
  readonly router: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}
