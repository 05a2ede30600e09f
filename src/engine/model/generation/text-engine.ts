/**
 * Texts that come and go, each with its own limit and sampling: prompts are read in parts, texts of like length take their
 * steps together, and caches grow with the texts. For servers; `createGenerator` continues fixed batches.
 */
import type { Random } from "../../../base/core/index.ts";
import { type CompileOptions, compile, type Program, requireOutput } from "../../tensor/index.ts";
import { roundUpLength } from "../batch.ts";
import { listEndTokens } from "../config/end-tokens.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { feedPositions } from "../decoder/positions.ts";
import { createProgramCache, type ProgramCache } from "../program-cache.ts";
import { type Decoder, describeTextEnd, freshName, takeDecodeStep } from "./decode-step.ts";
import { type ChunkSize, chunkOutputs, decodeOutputs } from "./generation-programs.ts";
import { copySlots, createEmptyCache, slotBytes, writeSlots } from "./key-value-cache.ts";
import { isOutgrown } from "./read-anew.ts";
import { chooseToken, type Sampling } from "./sampling.ts";
import { type ScoredToken, scoreToken } from "./token-scores.ts";

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
  /** Whether the tokens of the prompt are scored too. */
  readonly scoresPrompt: boolean;
}

/** A text that is being continued. */
export interface Text {
  readonly request: TextRequest;
  /** The prompt's tokens as far as it was read, where they are scored. */
  readonly scored: ScoredToken[];
  /** What was added to it so far. */
  readonly added: ScoredToken[];
  /** Why it ended: an end token or the limit; absent while it goes on. */
  end?: "stop" | "length";
}

/** Parameters by their Hugging Face names. */
export type NamedParameters = Readonly<Record<string, Float32Array>>;

/** Texts under the same parameters. */
export interface TextGroup {
  add(text: TextRequest): Text;
  /** Drops a text, whatever it is at. */
  drop(text: Text): void;
  /**
   * Reads more of the prompts, about `maxTokens` tokens in all, and takes a step for each text that is read; gives those that
   * got tokens or ended. Ended texts are dropped.
   */
  advance(maxTokens: number): Promise<readonly Text[]>;
}

/** Continues texts; whoever creates it releases it. */
export interface TextEngine {
  open(parameters: NamedParameters): TextGroup;
  /** Bytes that the cache of a text of so many tokens takes. */
  measure(numTokens: number): number;
  release(): Promise<void>;
}

/** Tokens that one program reads at most, and the smaller programs for what is left. */
const chunkSizes = [8, 32, 128] as const;
const largestChunk = 128;
const smallestCache = 64;
/** Compiled programs that are kept of a kind. */
const mostPrograms = 24;

interface Engine extends Decoder {
  readonly endTokens: readonly number[];
  readonly chunk: ProgramCache<Program, ChunkSize>;
}

/** Creates an engine for models of that config. */
export function createTextEngine(
  config: ModelConfig,
  { numThreads }: Pick<CompileOptions, "numThreads">,
): TextEngine {
  const most = mostPrograms;
  const options: CompileOptions = { numThreads, keepsMemory: false };
  const engine: Engine = {
    config,
    endTokens: listEndTokens(config),
    chunk: createProgramCache((size: ChunkSize) => compile(chunkOutputs(config, size), options), { most }),
    decode: createProgramCache(({ B, T: C }) => compile(decodeOutputs(config, B, C), options), { most }),
  };
  return {
    open: (parameters) => openGroup(engine, parameters),
    measure: (numTokens) => slotBytes(config) * fitCache(config, numTokens),
    release: async () => {
      await engine.chunk.release();
      await engine.decode.release();
    },
  };
}

/** Slots of a cache for so many tokens: few sizes, so few programs, and never more than the model has positions. */
function fitCache({ maxPositions }: ModelConfig, numTokens: number): number {
  let C = smallestCache;
  while (C < numTokens) C *= 2;
  return Math.min(C, roundUpLength(maxPositions));
}

/** The smallest power of 2 that holds so many texts. */
function fitBatch(numTexts: number): number {
  return numTexts <= 1 ? numTexts : 2 * fitBatch(Math.ceil(numTexts / 2));
}

/** A text that is being read, with a cache of its own. */
interface Reading {
  readonly text: Text;
  /** What is read of it: the prompt, or where it outgrew its positions, all of it. */
  readonly tokens: readonly number[];
  readonly C: number;
  readonly cache: Readonly<Record<string, Float32Array>>;
  numRead: number;
}

/** Texts that are read and take their steps together. */
interface Batch {
  readonly B: number;
  readonly C: number;
  readonly texts: readonly Text[];
  readonly cache: Readonly<Record<string, Float32Array>>;
}

/** What a group is made of. */
interface State {
  readonly engine: Engine;
  readonly parameters: NamedParameters;
  readonly readings: Map<Text, Reading>;
  /** Batches by their cache's slots. */
  readonly batches: Map<number, Batch>;
}

function openGroup(engine: Engine, parameters: NamedParameters): TextGroup {
  const { config } = engine;
  const readings = new Map<Text, Reading>();
  const batches = new Map<number, Batch>();
  const state: State = { engine, parameters, readings, batches };
  return {
    add: (request) => {
      checkRequest(config, request);
      const text: Text = { request, scored: [], added: [] };
      readings.set(text, startReading(config, text, request.prompt));
      return text;
    },
    drop: (text) => {
      readings.delete(text);
      for (const batch of batches.values()) {
        const row = batch.texts.indexOf(text);
        if (row >= 0) put(state, removeRow(config, batch, row));
      }
    },
    advance: async (maxTokens) => {
      const stepped = await stepBatches(state);
      return [...new Set([...stepped, ...(await readPrompts(state, maxTokens))])];
    },
  };
}

function startReading(config: ModelConfig, text: Text, tokens: readonly number[]): Reading {
  const C = fitCache(config, tokens.length + 1);
  return { text, tokens, C, cache: createEmptyCache(config, { B: 1, C }), numRead: 0 };
}

function put({ batches }: State, batch: Batch): void {
  if (batch.texts.length === 0) batches.delete(batch.C);
  else batches.set(batch.C, batch);
}

/** Puts a text into the batch that has room for its next token. */
function place(state: State, text: Text, from: NewRow["from"]): void {
  const { config } = state.engine;
  const C = fitCache(config, countTokens(text));
  const batch = state.batches.get(C) ?? { B: 0, C, texts: [], cache: {} };
  put(state, addRow(config, batch, { text, from }));
}

/** Reads prompts in the order in which they came; gives the texts whose prompts are read. */
async function readPrompts(state: State, maxTokens: number): Promise<readonly Text[]> {
  const { engine, parameters, readings } = state;
  const begun: Text[] = [];
  let numTokens = 0;
  for (const reading of [...readings.values()]) {
    const { text, tokens } = reading;
    while (numTokens < maxTokens && reading.numRead < tokens.length)
      numTokens += await readChunk(engine, parameters, reading);
    if (reading.numRead < tokens.length) break;
    readings.delete(text);
    begun.push(text);
    if (text.end === undefined) place(state, text, { ...reading, row: 0 });
  }
  return begun;
}

async function stepBatches(state: State): Promise<readonly Text[]> {
  const { engine, parameters, batches } = state;
  const stepped: Text[] = [];
  // Texts that outgrow a batch go to a larger one, which has taken its step then.
  for (const C of [...batches.keys()].sort((a, b) => b - a)) {
    const whole = batches.get(C);
    if (whole === undefined) continue;
    const batch = withoutOutgrown(state, whole);
    if (batch.texts.length === 0) continue;
    await takeStep(engine, parameters, batch);
    stepped.push(...batch.texts);
    put(state, leave(state, batch));
  }
  return stepped;
}

/** The batch without the texts that have outgrown their positions, which are read anew. */
function withoutOutgrown(state: State, batch: Batch): Batch {
  const { config } = state.engine;
  const outgrown = batch.texts.filter((text) => isOutgrown(config, { numTokens: countTokens(text) }));
  let rest = batch;
  for (const text of outgrown) {
    rest = removeRow(config, rest, rest.texts.indexOf(text));
    const tokens = [...text.request.prompt, ...text.added.map(({ token }) => token)];
    state.readings.set(text, startReading(config, text, tokens));
  }
  if (outgrown.length > 0) put(state, rest);
  return rest;
}

/** The batch without the texts that ended, and without those that are too long for it, which go to another. */
function leave(state: State, batch: Batch): Batch {
  const { config } = state.engine;
  let rest = batch;
  for (const text of batch.texts) {
    const isTooLong = fitCache(config, countTokens(text)) > batch.C;
    if (text.end === undefined && !isTooLong) continue;
    const row = rest.texts.indexOf(text);
    if (text.end === undefined) place(state, text, { ...rest, row });
    rest = removeRow(config, rest, row);
  }
  return rest;
}

function checkRequest({ maxPositions }: ModelConfig, { prompt, maxNewTokens }: TextRequest): void {
  if (prompt.length < 1 || maxNewTokens < 0)
    throw new RangeError(
      `Cannot add ${maxNewTokens} tokens to a prompt of ${prompt.length}: it takes a prompt of 1 or more`,
    );
  if (prompt.length + maxNewTokens > maxPositions)
    throw new RangeError(
      `Cannot add ${maxNewTokens} tokens to ${prompt.length}: the model has ${maxPositions} positions`,
    );
}

/** Tokens of a text, all but the newest of which are in its cache once the prompt is read. */
function countTokens({ request, added }: Text): number {
  return request.prompt.length + added.length;
}

/** Reads the next part of a prompt, and begins the answer after its last one; the number of tokens read. */
async function readChunk(engine: Engine, parameters: NamedParameters, reading: Reading): Promise<number> {
  const { config, endTokens } = engine;
  const { text, tokens: read, C, cache, numRead: start } = reading;
  const { prompt, maxNewTokens } = text.request;
  const count = Math.min(read.length - start, largestChunk);
  const T = chunkSizes.find((size) => size >= count) ?? largestChunk;
  const givesAll = text.request.scoresPrompt && read === prompt;
  const tokens = new Int32Array(T).fill(config.padToken);
  tokens.set(read.slice(start, start + count));
  const program = await engine.chunk.find({ T, C, givesAll });
  const results = await program.run({
    ...parameters,
    ...cache,
    tokens,
    ...feedPositions(config, { B: 1, T, texts: [{ start, numTokens: read.length }] }),
    lengths: Float32Array.of(start),
    ...(!givesAll && { lastRows: Int32Array.of(count - 1) }),
  });
  for (const [name, values] of Object.entries(cache))
    writeSlots(values, requireOutput(results, freshName(name)), { config, name, C, T, start, count });
  const logits = requireOutput(results, "logits");
  const V = config.vocabularySize;
  const row = (index: number): Float32Array => logits.subarray(index * V, (index + 1) * V);
  if (givesAll) scorePrompt(text, { start, count, row });
  reading.numRead += count;
  if (reading.numRead < read.length) return count;
  if (maxNewTokens === 0) text.end = "length";
  else addToken(text, row(givesAll ? count - 1 : 0), endTokens);
  return count;
}

interface ReadPart {
  readonly start: number;
  readonly count: number;
  /** The logits after each token of the part. */
  readonly row: (index: number) => Float32Array;
}

function scorePrompt({ request, scored }: Text, { start, count, row }: ReadPart): void {
  const { prompt, numLikeliest = 0 } = request;
  const [first] = prompt;
  if (start === 0 && first !== undefined) scored.push({ token: first, likeliest: [] });
  for (let index = 0; index < count; index++) {
    const next = prompt[start + index + 1];
    if (next !== undefined) scored.push(scoreToken(row(index), next, { numLikeliest }));
  }
}

/** Chooses the next token of a text by the logits after it. */
function addToken(text: Text, logits: Float32Array, endTokens: readonly number[]): void {
  const { sampling, random, numLikeliest, maxNewTokens } = text.request;
  const { token } = chooseToken(logits, sampling, random);
  text.added.push(
    numLikeliest === undefined ? { token, likeliest: [] } : scoreToken(logits, token, { numLikeliest }),
  );
  if (endTokens.includes(token)) text.end = "stop";
  else if (text.added.length === maxNewTokens) text.end = "length";
}

/** One more token for each text of a batch. */
async function takeStep(
  engine: Engine,
  parameters: NamedParameters,
  { B, C, texts, cache }: Batch,
): Promise<void> {
  const ends = texts.map((text) => describeTextEnd(countTokens(text), text.added.at(-1)?.token));
  const logits = await takeDecodeStep(engine, parameters, { B, C, cache, ends });
  const V = engine.config.vocabularySize;
  for (const [row, text] of texts.entries())
    addToken(text, logits.subarray(row * V, (row + 1) * V), engine.endTokens);
}

interface NewRow {
  readonly text: Text;
  readonly from: {
    readonly C: number;
    readonly cache: Readonly<Record<string, Float32Array>>;
    readonly row: number;
  };
}

/** The batch with one more text, in arrays twice as large where it does not fit. */
function addRow(config: ModelConfig, batch: Batch, { text, from }: NewRow): Batch {
  const texts = [...batch.texts, text];
  const B = fitBatch(texts.length);
  const { C } = batch;
  const grown = B === batch.B ? batch : resize(config, batch, B);
  const length = countTokens(text) - 1;
  for (const [name, cache] of Object.entries(grown.cache)) {
    const source = { cache: from.cache[name] ?? cache, row: from.row, C: from.C };
    copySlots(source, { cache, row: texts.length - 1, C }, { config, name, length });
  }
  return { ...grown, texts };
}

/** The batch without one of its texts, in smaller arrays where the rest fits. The last one takes its place. */
function removeRow(config: ModelConfig, batch: Batch, row: number): Batch {
  const last = batch.texts.length - 1;
  const [moved] = batch.texts.slice(last);
  const { C } = batch;
  if (moved !== undefined && row !== last)
    for (const [name, cache] of Object.entries(batch.cache))
      copySlots(
        { cache, row: last, C },
        { cache, row, C },
        { config, name, length: Math.min(C, countTokens(moved)) },
      );
  const texts = batch.texts.slice(0, last).map((text, index) => (index === row ? (moved ?? text) : text));
  const B = fitBatch(texts.length);
  return { ...(B === batch.B ? batch : resize(config, batch, B)), texts };
}

/** The batch's cache in arrays for B texts, as many of which as fit are kept. */
function resize(config: ModelConfig, { B: before, C, texts, cache }: Batch, B: number): Batch {
  const size = config.numKeyValueHeads * C * config.headSize;
  const resized = createEmptyCache(config, { B, C });
  for (const [name, values] of Object.entries(resized))
    values.set((cache[name] ?? values).subarray(0, Math.min(before, B) * size));
  return { B, C, texts, cache: resized };
}
