/** What a server's thread and the thread of its model say to each other. */
import type { ModelConfig, Sampling, ScoredToken } from "../../../engine/model/index.ts";

/** What the thread of the model starts with. */
export interface HostOptions {
  /** The folder of a checkpoint. */
  readonly checkpoint: string;
  readonly name: string;
  readonly numThreads: number;
  /** Texts continued at once; others wait. */
  readonly mostTexts: number;
}

/** A text to continue. */
export interface TextOrder {
  readonly model: string;
  readonly prompt: readonly number[];
  /** 0 only reads the prompt. */
  readonly maxNewTokens: number;
  readonly sampling: Sampling;
  readonly seed: number;
  /** How many of the likeliest tokens are named in each place; absent: no log-probabilities. */
  readonly numLikeliest?: number;
  /** The first token of the prompt that is scored, as all behind it are; absent: none is. */
  readonly scoresFrom?: number;
}

/** To the model. What has an `id` is answered under it. */
export type HostMessage =
  | { readonly kind: "begin"; readonly id: number; readonly order: TextOrder }
  | { readonly kind: "drop"; readonly id: number }
  | { readonly kind: "encode"; readonly id: number; readonly prompt: WrittenPrompt }
  | { readonly kind: "load"; readonly id: number; readonly name: string; readonly path: string }
  | { readonly kind: "unload"; readonly name: string }
  /** One more of the "changes" was handed out. */
  | { readonly kind: "taken" }
  | { readonly kind: "close" };

/** What a text gained. */
export interface TextChange {
  readonly id: number;
  readonly scored: readonly ScoredToken[];
  readonly added: readonly ScoredToken[];
  readonly end?: "stop" | "length";
}

/** A text that a model is to continue. */
export interface WrittenPrompt {
  readonly text: string;
  /** Whether a chat template wrote it, with all that it begins with. */
  readonly isTemplated: boolean;
}

/** A text as token ids. */
export interface EncodedText {
  readonly tokens: readonly number[];
  /** Words that the tokenizer does not know. */
  readonly unknown: readonly string[];
}

/** A model that is ready. */
export interface HostedModel {
  readonly config: ModelConfig;
  readonly tokenizerFiles: Readonly<Record<string, string>>;
  readonly fingerprint: string;
}

/** Why something failed: errors as data, because a class does not survive the way between threads. */
export interface Failure {
  readonly message: string;
  /** Whether it is a sentence for users. */
  readonly isExpected: boolean;
  /** Whether the sentence is also for those who ask over the network. */
  readonly isPublic: boolean;
}

/** From the model. */
export type HostAnswer =
  | { readonly kind: "ready"; readonly model: HostedModel }
  | ({ readonly kind: "unable" } & Failure)
  | { readonly kind: "changes"; readonly changes: readonly TextChange[] }
  | { readonly kind: "encoded"; readonly id: number; readonly encoded: EncodedText }
  | { readonly kind: "loaded"; readonly id: number; readonly fingerprint: string }
  | ({ readonly kind: "failed"; readonly id: number } & Failure);
