/**
 * Texts that come and go, each with its own limit and sampling: prompts are read in parts, texts of like length take their
 * steps together, and caches grow with the texts. For servers; `createGenerator` continues fixed batches.
 */
import {
  type CompileOptions,
  KernelMemory,
  openKernels,
  planProgram,
  requireOutput,
  type Tensor,
} from "../../tensor/index.ts";
import { listEndTokens } from "../config/end-tokens.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { feedPositions } from "../decoder/positions.ts";
import { type DecodeProgram, describeTextEnd, freshName, takeDecodeStep } from "../generation/decode-step.ts";
import { type ChunkSize, chunkOutputs, decodeOutputs } from "../generation/generation-programs.ts";
import { slotBytes, writeSlots } from "../generation/key-value-cache.ts";
import { isOutgrown } from "../generation/read-anew.ts";
import { chooseToken } from "../generation/sampling.ts";
import { createProgramCache, type ProgramCache } from "../program-cache.ts";
import { countTokens, type Text, type TextRequest } from "./text.ts";
import {
  addRow,
  createCache,
  fitCache,
  freeCache,
  type NewRow,
  removeRow,
  type TextBatch,
  type TextCache,
  type TextMemory,
} from "./text-batch.ts";
import { scoreToken } from "./token-scores.ts";
import { createWeightPool, type PooledWeights, type WeightPool } from "./weight-pool.ts";

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
  /** Frees the memory of its weights and texts; nothing may be done with it afterwards. */
  close(): void;
}

/** Continues texts; whoever creates it releases it. */
export interface TextEngine {
  /** Throws `UsageError` where there is no room for the parameters beside those that are open. */
  open(parameters: NamedParameters): TextGroup;
  /** Bytes that the cache of a text of so many tokens takes. */
  measure(numTokens: number): number;
  /** Bytes that the caches of all texts may take, as `measure` counts them, beside the parameters that are open. */
  measureRoom(): number;
  release(): Promise<void>;
}

/** Tokens that one program reads at most, and the smaller programs for what is left. */
const chunkSizes = [8, 32, 128] as const;
const largestChunk = 128;
/** Compiled programs that are kept of a kind. */
const mostPrograms = 24;

interface Engine extends TextMemory {
  readonly endTokens: readonly number[];
  readonly pool: WeightPool;
  /** Programs for each way in which weights are stored, by the names of those that are halves. */
  readonly programs: Map<string, Programs>;
}

/** Programs for models whose weights are stored alike. */
interface Programs {
  readonly chunk: ProgramCache<DecodeProgram, ChunkSize>;
  readonly decode: ProgramCache<DecodeProgram>;
}

function findPrograms({ config, kernels, programs }: Engine, { halves }: PooledWeights): Programs {
  const key = [...halves].join();
  const plan = async (outputs: Readonly<Record<string, Tensor>>): Promise<DecodeProgram> => {
    const program = planProgram(outputs, kernels, { halves });
    return { run: async (feeds) => program.run(feeds), release: async () => program.release() };
  };
  const most = mostPrograms;
  const found = programs.get(key) ?? {
    chunk: createProgramCache((size: ChunkSize) => plan(chunkOutputs(config, size)), { most }),
    decode: createProgramCache(({ B, T: C }) => plan(decodeOutputs(config, B, C)), { most }),
  };
  programs.set(key, found);
  return found;
}

/** Creates an engine for models of that config. */
export function createTextEngine(
  config: ModelConfig,
  { numThreads }: Pick<CompileOptions, "numThreads">,
): TextEngine {
  const kernels = openKernels({ numThreads });
  const engine: Engine = {
    config,
    endTokens: listEndTokens(config),
    kernels,
    pool: createWeightPool(kernels.memory),
    programs: new Map(),
  };
  return {
    open: (parameters) => openGroup(engine, parameters),
    measure: (numTokens) => slotBytes(config) * fitCache(config, numTokens),
    measureRoom: () =>
      Math.max(0, KernelMemory.mostBytes - engine.pool.numBytes - workBytes) / arrayBytesPerCacheByte,
    release: async () => kernels.close(),
  };
}

/** Left for what programs need while they run. */
const workBytes = 2 ** 28;
/** A batch that gets one text more may grow to arrays twice as large, which are filled from those that it has. */
const arrayBytesPerCacheByte = 3;

/** A text that is being read, with a cache of its own. */
interface Reading {
  readonly text: Text;
  /** What is read of it: the prompt, or where it outgrew its positions, all of it. */
  readonly tokens: readonly number[];
  readonly C: number;
  readonly cache: TextCache;
  numRead: number;
}

/** What a group is made of. */
interface State {
  readonly engine: Engine;
  readonly weights: PooledWeights;
  readonly programs: Programs;
  readonly readings: Map<Text, Reading>;
  /** Batches by their cache's slots. */
  readonly batches: Map<number, TextBatch>;
}

function openGroup(engine: Engine, parameters: NamedParameters): TextGroup {
  const { config } = engine;
  const readings = new Map<Text, Reading>();
  const batches = new Map<number, TextBatch>();
  const weights = engine.pool.take(parameters);
  const state: State = { engine, weights, programs: findPrograms(engine, weights), readings, batches };
  return {
    add: (request) => {
      checkRequest(config, request);
      const text: Text = { request, scored: [], added: [] };
      readings.set(text, startReading(engine, text, request.prompt));
      return text;
    },
    drop: (text) => {
      stopReading(state, text);
      for (const batch of batches.values()) {
        const row = batch.texts.indexOf(text);
        if (row >= 0) put(state, removeRow(engine, batch, row));
      }
    },
    advance: async (maxTokens) => {
      const stepped = await stepBatches(state);
      return [...new Set([...stepped, ...(await readPrompts(state, maxTokens))])];
    },
    close: () => {
      for (const { cache } of [...readings.values(), ...batches.values()]) freeCache(engine, cache);
      readings.clear();
      batches.clear();
      weights.release();
    },
  };
}

function startReading(engine: Engine, text: Text, tokens: readonly number[]): Reading {
  const C = fitCache(engine.config, tokens.length + 1);
  return { text, tokens, C, cache: createCache(engine, { B: 1, C }), numRead: 0 };
}

function stopReading({ engine, readings }: State, text: Text): void {
  const reading = readings.get(text);
  readings.delete(text);
  if (reading !== undefined) freeCache(engine, reading.cache);
}

function put({ batches }: State, batch: TextBatch): void {
  if (batch.texts.length === 0) batches.delete(batch.C);
  else batches.set(batch.C, batch);
}

/** Puts a text into the batch that has room for its next token. */
function place(state: State, text: Text, from: NewRow["from"]): void {
  const { engine } = state;
  const C = fitCache(engine.config, countTokens(text));
  const batch = state.batches.get(C) ?? { B: 0, C, texts: [], cache: {} };
  put(state, addRow(engine, batch, { text, from }));
}

/** Reads prompts in the order in which they came; gives the texts whose prompts are read. */
async function readPrompts(state: State, maxTokens: number): Promise<readonly Text[]> {
  const { readings } = state;
  const begun: Text[] = [];
  let numTokens = 0;
  for (const reading of [...readings.values()]) {
    const { text, tokens } = reading;
    while (numTokens < maxTokens && reading.numRead < tokens.length)
      numTokens += await readChunk(state, reading);
    if (reading.numRead < tokens.length) break;
    begun.push(text);
    if (text.end === undefined) place(state, text, { ...reading, row: 0 });
    stopReading(state, text);
  }
  return begun;
}

async function stepBatches(state: State): Promise<readonly Text[]> {
  const { batches } = state;
  const stepped: Text[] = [];
  // Texts that outgrow a batch go to a larger one, which has taken its step then.
  for (const C of [...batches.keys()].sort((a, b) => b - a)) {
    const whole = batches.get(C);
    if (whole === undefined) continue;
    const batch = withoutOutgrown(state, whole);
    if (batch.texts.length === 0) continue;
    await takeStep(state, batch);
    stepped.push(...batch.texts);
    put(state, leave(state, batch));
  }
  return stepped;
}

/** The batch without the texts that have outgrown their positions, which are read anew. */
function withoutOutgrown(state: State, batch: TextBatch): TextBatch {
  const { config } = state.engine;
  const outgrown = batch.texts.filter((text) => isOutgrown(config, { numTokens: countTokens(text) }));
  let rest = batch;
  for (const text of outgrown) {
    rest = removeRow(state.engine, rest, rest.texts.indexOf(text));
    const tokens = [...text.request.prompt, ...text.added.map(({ token }) => token)];
    state.readings.set(text, startReading(state.engine, text, tokens));
  }
  if (outgrown.length > 0) put(state, rest);
  return rest;
}

/** The batch without the texts that ended, and without those that are too long for it, which go to another. */
function leave(state: State, batch: TextBatch): TextBatch {
  const { config } = state.engine;
  let rest = batch;
  for (const text of batch.texts) {
    const isTooLong = fitCache(config, countTokens(text)) > batch.C;
    if (text.end === undefined && !isTooLong) continue;
    const row = rest.texts.indexOf(text);
    if (text.end === undefined) place(state, text, { ...rest, row });
    rest = removeRow(state.engine, rest, row);
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

/** Reads the next part of a prompt, and begins the answer after its last one; the number of tokens read. */
async function readChunk({ engine, weights, programs }: State, reading: Reading): Promise<number> {
  const { config, endTokens } = engine;
  const { text, tokens: read, C, cache, numRead: start } = reading;
  const { prompt, maxNewTokens } = text.request;
  const count = Math.min(read.length - start, largestChunk);
  const T = chunkSizes.find((size) => size >= count) ?? largestChunk;
  const givesAll = text.request.scoresPrompt && read === prompt;
  const tokens = new Int32Array(T).fill(config.padToken);
  tokens.set(read.slice(start, start + count));
  const program = await programs.chunk.find({ T, C, givesAll });
  const results = await program.run({
    ...weights.arrays,
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
  { engine, weights, programs }: State,
  { B, C, texts, cache }: TextBatch,
): Promise<void> {
  const { config, endTokens } = engine;
  const ends = texts.map((text) => describeTextEnd(countTokens(text), text.added.at(-1)?.token));
  const decoder = { config, decode: programs.decode };
  const logits = await takeDecodeStep(decoder, weights.arrays, { B, C, cache, ends });
  const V = config.vocabularySize;
  for (const [row, text] of texts.entries())
    addToken(text, logits.subarray(row * V, (row + 1) * V), endTokens);
}
