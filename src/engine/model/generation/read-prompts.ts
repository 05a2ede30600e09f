/**
 * The beginning of generation: prompts are read together, what all of them begin with only once, each with the text behind it that is to
 * be scored; their keys and values become the cache of what follows.
 */
import { type Program, requireOutput, type TensorData } from "../../tensor/index.ts";
import { roundUpLength } from "../batch.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { feedPositions, findVaryingRope } from "../decoder/positions.ts";
import { fixedLength } from "../decoder/rotary.ts";
import type { ProgramCache } from "../program-cache.ts";
import type { PrefillSize } from "./generation-programs.ts";
import { copySlots, createCache } from "./key-value-cache.ts";
import { fitRows } from "./score-targets.ts";

/** What reads prompts. */
export interface PromptReader {
  readonly config: ModelConfig;
  readonly prefill: ProgramCache<Program, PrefillSize>;
}

/** A prompt that is to be read. */
export interface PromptRequest {
  /** Token ids of the prompt, at least one. */
  readonly prompt: readonly number[];
  /** Token ids of a continuation that is only scored. */
  readonly reference?: readonly number[] | undefined;
  /** Tokens of the whole text where more of it follows what is read; default: those of prompt and reference. */
  readonly numTokens?: number;
}

/** Prompts, the rows of the program that reads them, and the slots that a text has in the cache: more than any prompt has tokens. */
export interface PromptBatch {
  readonly requests: readonly PromptRequest[];
  readonly B: number;
  readonly C: number;
}

/** Prompts that were read. */
export interface ReadPrompts {
  /** After each prompt, [B, V]. */
  readonly logits: Float32Array;
  /** log π of each token of a reference at temperature 1, one array a request; absent where it has none. */
  readonly referenceLogProbs: readonly (readonly number[] | undefined)[];
  /** A layer's keys [B, K, D, C] and values [B, K, C, D]. What was read behind a prompt lies in slots that count as empty. */
  readonly cache: Readonly<Record<string, Float32Array>>;
}

/** Values of a program's inputs by name. */
export type Feeds = Readonly<Record<string, TensorData>>;

/** Reads a batch of prompts. */
export async function readPrompts(
  reader: PromptReader,
  parameters: Feeds,
  batch: PromptBatch,
): Promise<ReadPrompts> {
  const { config, prefill } = reader;
  const { requests, C } = batch;
  const shared = await readShared(reader, parameters, requests);
  const { size, feeds } = feedPrompts(config, batch, shared.length);
  const { B, P, S } = size;
  const program = await prefill.find(size);
  const results = await program.run({ ...parameters, ...shared.feeds, ...feeds });
  const { logits: _, scores, ...layers } = results;
  const cache = Object.entries(layers).map(([layerName, data]) => {
    const name = `past.${layerName}`;
    const slots = createCache(config, name, data, { B, numSlots: P, C, first: S });
    const from = shared.feeds[`shared.${layerName}`];
    if (from !== undefined)
      for (const row of requests.keys())
        copySlots({ cache: from, row: 0, C: S }, { cache: slots, row, C }, { config, name, length: S });
    return [name, slots];
  });
  return {
    logits: requireOutput(results, "logits"),
    referenceLogProbs: cutScores(requests, scores),
    cache: Object.fromEntries(cache),
  };
}

/** Programs read multiples of so many shared tokens, so that few are compiled; one multiple is not worth a program of its own. */
const sharedStep = 8;

/** How many tokens all prompts begin with, as far as there are programs for it. Each prompt has at least one more. */
function countShared(prompts: readonly (readonly number[])[]): number {
  const [first = [], ...others] = prompts;
  if (others.length === 0) return 0;
  const end = first.findIndex(
    (token, index) =>
      index + 1 >= first.length ||
      others.some((prompt) => prompt[index] !== token || index + 1 >= prompt.length),
  );
  const numShared = Math.floor(end / sharedStep) * sharedStep;
  return numShared > sharedStep ? numShared : 0;
}

/** What the prompts have in common (instructions, examples), read once for all: the inputs that hold its keys and values. */
async function readShared(
  { config, prefill }: PromptReader,
  parameters: Feeds,
  requests: readonly PromptRequest[],
): Promise<{ readonly length: number; readonly feeds: Readonly<Record<string, Float32Array>> }> {
  const prompts = requests.map(({ prompt }) => prompt);
  // Texts of different lengths may have different positions for the same beginning.
  const S = hasFixedPositions(config, requests) ? countShared(prompts) : 0;
  if (S === 0) return { length: 0, feeds: {} };
  const program = await prefill.find({ B: 1, T: S, P: S, S: 0, R: 0 });
  const tokens = Int32Array.from(prompts[0] ?? []).subarray(0, S);
  const positions = feedPositions(config, { B: 1, T: S, texts: [{ start: 0, numTokens: S }] });
  const inputs = { tokens, lastRows: new Int32Array(1), ...positions };
  const { logits: _, ...layers } = await program.run({ ...parameters, ...inputs });
  const feeds = Object.entries(layers).map(([layerName, data]) => {
    const place = { B: 1, numSlots: S, C: S, first: 0 };
    return [`shared.${layerName}`, createCache(config, `past.${layerName}`, data, place)];
  });
  return { length: S, feeds: Object.fromEntries(feeds) };
}

/** Tokens of a text that decide on its positions. */
function countTokens({ prompt, reference = [], numTokens }: PromptRequest): number {
  return numTokens ?? prompt.length + Math.max(0, reference.length - 1);
}

/** Whether the positions of all texts are those of short ones. */
function hasFixedPositions(config: ModelConfig, requests: readonly PromptRequest[]): boolean {
  const rope = findVaryingRope(config);
  return rope === undefined || requests.every((request) => countTokens(request) <= fixedLength(rope));
}

/** What the program reads: prompts without the S tokens that they share, and references, in padded rows; and what it scores. */
function feedPrompts(
  config: ModelConfig,
  { requests, B }: PromptBatch,
  S: number,
): { readonly size: PrefillSize; readonly feeds: Feeds } {
  const texts = requests.map(({ prompt, reference = [] }) => [...prompt.slice(S), ...reference.slice(0, -1)]);
  const T = roundUpLength(Math.max(...texts.map(({ length }) => length)));
  const P = roundUpLength(Math.max(...requests.map(({ prompt }) => prompt.length - S)));
  const tokens = new Int32Array(B * T).fill(config.padToken);
  const lastRows = Int32Array.from({ length: B }, (_, row) => row * T);
  const scored: { readonly place: number; readonly target: number }[] = [];
  for (const [row, { prompt, reference = [] }] of requests.entries()) {
    const last = row * T + prompt.length - S - 1;
    tokens.set(texts[row] ?? [], row * T);
    lastRows[row] = last;
    for (const [index, target] of reference.entries()) scored.push({ place: last + index, target });
  }
  const places = requests.map((request) => ({ start: S, numTokens: countTokens(request) }));
  const feeds = { tokens, lastRows, ...feedPositions(config, { B, T, texts: places }) };
  if (scored.length === 0) return { size: { B, T, P, S, R: 0 }, feeds };
  const R = fitRows(scored.length);
  const [rows, targets] = [new Int32Array(R), new Int32Array(R)];
  rows.set(scored.map(({ place }) => place));
  targets.set(scored.map(({ target }) => target));
  return { size: { B, T, P, S, R }, feeds: { ...feeds, rows, targets } };
}

/** The scores of each reference, from those of all, one after the other. */
function cutScores(
  requests: readonly PromptRequest[],
  scores: Float32Array = new Float32Array(0),
): ReadPrompts["referenceLogProbs"] {
  let start = 0;
  return requests.map(({ reference }) => {
    if (reference === undefined) return undefined;
    const part = [...scores.subarray(start, start + reference.length)];
    start += reference.length;
    return part;
  });
}
