/** Token sequences packed into the padded arrays that training graphs are fed with. */
import type { TensorData } from "../tensor/index.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { feedPositions } from "./decoder/positions.ts";
import { type BatchSize, fitRows } from "./generation/score-targets.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A prompt and an answer as token ids, in one row. */
export interface Sequence {
  readonly tokens: readonly number[];
  /** The first `numPromptTokens` tokens are given, the rest is the answer. */
  readonly numPromptTokens: number;
}

/** A plain prompt and its answer as one sequence that ends with the end token, where the model has one. */
export function encodeExample(
  tokenizer: Tokenizer,
  example: { readonly prompt: string; readonly answer: string },
  endToken: number | undefined,
): Sequence {
  return appendAnswer(tokenizer, tokenizer.encodePrompt(example.prompt), {
    answer: example.answer,
    endToken,
  });
}

/** A prompt that is token ids already, and its answer, as `encodeExample` gives them. */
export function appendAnswer(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  { answer, endToken }: { readonly answer: string; readonly endToken: number | undefined },
): Sequence {
  return {
    tokens: [...prompt, ...tokenizer.encode(answer), ...(endToken === undefined ? [] : [endToken])],
    numPromptTokens: prompt.length,
  };
}

/** Arrays of a padded batch: position t predicts `targets[t]`, the token after `tokens[t]`. */
export interface TokenBatch {
  readonly size: BatchSize;
  /** [B, T] */
  readonly tokens: Int32Array;
  /** [B, T] */
  readonly targets: Int32Array;
  /** [B, T], 1 where the target belongs to the answer. */
  readonly answerMask: Float32Array;
  /** What tells the program each token's position, as `feedPositions` gives it. */
  readonly positions: Readonly<Record<string, TensorData>>;
}

/** `length` rounded up to a multiple of 8, so that few programs are compiled. */
export function roundUpLength(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** The rows of a batch, and the model that reads it. */
export interface PackOptions {
  readonly numRows: number;
  readonly config: Pick<ModelConfig, "padToken" | "layers">;
  /** Tokens of a row (default: what the longest sequence needs). */
  readonly T?: number;
}

/** Tokens of a row that every sequence fits in: all but its last one are read. */
export function measureLength(sequences: readonly Sequence[]): number {
  return roundUpLength(sequences.reduce((most, { tokens }) => Math.max(most, tokens.length), 2) - 1);
}

/** Tokens of all answers, their end tokens included. */
export function countAnswerTokens(sequences: readonly Sequence[]): number {
  return sequences.reduce((sum, { tokens, numPromptTokens }) => sum + tokens.length - numPromptTokens, 0);
}

/** Packs sequences, padded on the right to a common length; missing rows up to `numRows` are padding only. */
export function packSequences(sequences: readonly Sequence[], options: PackOptions): TokenBatch {
  const { numRows, config, T = measureLength(sequences) } = options;
  const { padToken } = config;
  if (sequences.length > numRows)
    throw new RangeError(`Cannot pack ${sequences.length} sequences into ${numRows} rows`);
  if (sequences.some(({ numPromptTokens }) => numPromptTokens < 1))
    throw new RangeError(
      "Cannot pack a sequence without a prompt: its first answer token would have no predecessor",
    );
  const B = numRows;
  const tokens = new Int32Array(B * T).fill(padToken);
  const targets = new Int32Array(B * T).fill(padToken);
  const answerMask = new Float32Array(B * T);
  for (const [row, sequence] of sequences.entries()) {
    const last = sequence.tokens.length - 1;
    tokens.set(sequence.tokens.slice(0, last), row * T);
    targets.set(sequence.tokens.slice(1), row * T);
    answerMask.fill(1, row * T + sequence.numPromptTokens - 1, row * T + last);
  }
  const texts = sequences.map((sequence) => ({ start: 0, numTokens: sequence.tokens.length - 1 }));
  return { size: { B, T }, tokens, targets, answerMask, positions: feedPositions(config, { B, T, texts }) };
}

/** The tokens of a batch that count, in the arrays that a program over R rows is fed with. */
export interface RowsBatch {
  readonly R: number;
  /** [R]: places in [B·T] of the tokens that count, then zeros. */
  readonly rows: Int32Array;
  /** [B·T]: where each place is among the rows, R where it is not. */
  readonly places: Int32Array;
  /** [R] */
  readonly targets: Int32Array;
  /** [R], the weights of the places, 0 behind them. */
  readonly weights: Float32Array;
}

/** The places of a batch with a weight above 0. R has room for `leastRoom` at least (default: for them); there are few sizes R, so that few programs are compiled. */
export function chooseRows(targets: Int32Array, weights: Float32Array, leastRoom = 0): RowsBatch {
  const chosen = [...weights.keys()].filter((place) => (weights[place] ?? 0) > 0);
  const R = fitRows(Math.max(chosen.length, leastRoom));
  const [rows, places] = [new Int32Array(R), new Int32Array(weights.length).fill(R)];
  rows.set(chosen);
  for (const [index, place] of chosen.entries()) places[place] = index;
  const weightsOfRows = new Float32Array(R);
  weightsOfRows.set(chosen.map((place) => weights[place] ?? 0));
  return { R, rows, places, targets: rows.map((place) => targets[place] ?? 0), weights: weightsOfRows };
}

/** `values` divided by their sum, or by that of the whole that they are a part of; all zero where it is. */
export function normalize(values: Float32Array, whole?: number): Float32Array {
  const total = whole ?? values.reduce((sum, value) => sum + value, 0);
  return total === 0 ? values : values.map((value) => value / total);
}
