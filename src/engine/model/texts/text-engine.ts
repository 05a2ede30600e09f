/**
 * Texts that come and go, each with its own limit and sampling: prompts are read in parts, texts of like length take their
 * steps together, and caches grow with the texts. `createGenerator` continues fixed batches.
 */
import { KernelMemory, openKernels } from "../../tensor/index.ts";
import { listEndTokens } from "../config/end-tokens.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { describeTextEnd, takeDecodeStep } from "../generation/decode-step.ts";
import { slotBytes } from "../generation/key-value-cache.ts";
import { isOutgrown } from "../generation/read-anew.ts";
import { chooseToken } from "../generation/sampling.ts";
import type { ParameterSource } from "../parameters.ts";
import {
  awaitReading,
  awaitReadingAnew,
  keepRead,
  type Reading,
  readChunk,
  startReading,
  type TextReader,
} from "./read-text.ts";
import { countTokens, type Text, type TextRequest } from "./text.ts";
import {
  addRow,
  chooseStep,
  fitCache,
  freeCache,
  type NewRow,
  removeRow,
  type TextBatch,
} from "./text-batch.ts";
import { findPrograms, forgetRead, type TextComputer } from "./text-programs.ts";
import { scoreToken } from "./token-scores.ts";
import { createWeightPool, type PooledWeights } from "./weight-pool.ts";

/** Texts under the same parameters. */
export interface TextGroup {
  /** The parameters. */
  readonly weights: PooledWeights;
  add(text: TextRequest): Text;
  /** Drops a text, whatever it is at. */
  drop(text: Text): void;
  /**
   * Reads more of the prompts, about `maxTokens` tokens in all, and takes a step for each text that is read; gives those that
   * got tokens or ended. Ended texts are dropped.
   */
  advance(maxTokens: number): Promise<readonly Text[]>;
  /** Drops all texts. */
  clear(): void;
  /** Frees the memory of its weights and texts; nothing may be done with it afterwards. */
  close(): void;
}

/** Continues texts; whoever creates it releases it. */
export interface TextEngine {
  /**
   * Reads parameters into memory, in the order of `createLayout(config)`. Those that a group which is open has, too, are shared with
   * it. Throws `FullMemoryError` where there is no room for the others, or they take more bytes than they may.
   */
  open(
    parameters: ParameterSource,
    beside?: { readonly base: TextGroup; readonly mostOwnBytes: number },
  ): Promise<TextGroup>;
  /** Bytes that the cache of a text of so many tokens takes. */
  measure(numTokens: number): number;
  /** Bytes that the caches of all texts may take, as `measure` counts them, beside the parameters that are open. */
  measureRoom(): number;
  /** Longest text, in tokens. */
  readonly maxPositions: number;
  release(): Promise<void>;
}

/** How an engine runs. */
export interface TextEngineOptions {
  /** Threads of one operation. The result may depend on it in the last bit. */
  readonly numThreads: number;
  /** Bytes of memory that there are: the caches of texts that have reached their limits take a quarter at most. Default: any number. */
  readonly memoryBytes?: number;
}

interface Engine extends TextComputer {
  readonly mostCacheBytes: number;
  readonly endTokens: readonly number[];
}

/** Creates an engine for models of that config. Throws `UsageError` where this machine cannot run it. */
export function createTextEngine(
  config: ModelConfig,
  { numThreads, memoryBytes = Number.POSITIVE_INFINITY }: TextEngineOptions,
): TextEngine {
  const kernels = openKernels({ numThreads });
  const engine: Engine = {
    config,
    endTokens: listEndTokens(config),
    kernels,
    pool: createWeightPool(kernels.memory),
    programs: new Map(),
    mostCacheBytes: memoryBytes / 4,
  };
  return {
    open: async (parameters, beside) => {
      const known = beside && { ...beside, base: beside.base.weights };
      return openGroup(engine, await engine.pool.take(parameters, known));
    },
    maxPositions: config.maxPositions,
    measure: (numTokens) => slotBytes(config) * fitCache(config, numTokens),
    measureRoom: () => measureRoom(engine),
    release: async () => kernels.close(),
  };
}

/** Left for what programs need while they run. */
const workBytes = 2 ** 28;
/** A batch that gets one text more may grow to arrays twice as large, which are filled from those that it has. */
const arrayBytesPerCacheByte = 3;

function measureRoom({ pool, mostCacheBytes }: Engine): number {
  const numBytes = KernelMemory.mostBytes - pool.numBytes - workBytes;
  return Math.min(mostCacheBytes, Math.max(0, numBytes) / arrayBytesPerCacheByte);
}

/** What a group is made of. */
interface State extends TextReader {
  readonly computer: Engine;
  readonly readings: Map<Text, Reading>;
  /** Batches by their cache's slots. */
  readonly batches: Map<number, TextBatch>;
}

function openGroup(engine: Engine, weights: PooledWeights): TextGroup {
  const { config } = engine;
  const readings = new Map<Text, Reading>();
  const batches = new Map<number, TextBatch>();
  const programs = findPrograms(engine, weights);
  const state: State = { computer: engine, weights, programs, readings, batches };
  const clear = (): void => {
    const caches = [...readings.values(), ...batches.values()].map(({ cache }) => cache);
    readings.clear();
    batches.clear();
    for (const cache of caches) if (cache !== undefined) freeCache(engine, cache);
    if (engine.lastRead?.weights === weights) forgetRead(engine);
  };
  return {
    weights,
    add: (request) => {
      checkRequest(config, request);
      const text: Text = { request, scored: [], added: [], logProbs: [] };
      readings.set(text, awaitReading(state, text));
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
    clear,
    close: () => {
      clear();
      weights.release();
    },
  };
}

function stopReading({ computer, readings }: State, text: Text): void {
  const reading = readings.get(text);
  readings.delete(text);
  if (reading?.cache !== undefined) freeCache(computer, reading.cache);
}

function put({ batches }: State, batch: TextBatch): void {
  if (batch.texts.length === 0) batches.delete(batch.C);
  else batches.set(batch.C, batch);
}

/** Puts a text into the batch that has room for its next token. */
function place(state: State, text: Text, from: NewRow["from"]): void {
  const { computer } = state;
  const C = fitCache(computer.config, countTokens(text));
  const batch = state.batches.get(C) ?? { B: 0, C, texts: [], cache: {} };
  put(state, addRow(computer, batch, { text, from }));
}

/** Reads prompts in the order in which they came; gives the texts whose prompts are read. */
async function readPrompts(state: State, maxTokens: number): Promise<readonly Text[]> {
  const { readings } = state;
  const begun: Text[] = [];
  let numTokens = 0;
  for (const reading of [...readings.values()]) {
    if (numTokens >= maxTokens) break;
    const { text, tokens, C } = reading;
    const cache = startReading(state, reading);
    while (numTokens < maxTokens && reading.numRead < tokens.length) {
      const { count, logits } = await readChunk(state, reading);
      numTokens += count;
      if (logits !== undefined && text.request.maxNewTokens > 0) addToken(state, text, logits);
    }
    if (reading.numRead < tokens.length) break;
    if (text.request.maxNewTokens === 0) text.end = "length";
    begun.push(text);
    if (text.end === undefined) place(state, text, { C, cache, row: 0 });
    readings.delete(text);
    keepRead(state, reading, cache);
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
  const { computer } = state;
  const { config } = computer;
  const outgrown = batch.texts.filter((text) => isOutgrown(config, { numTokens: countTokens(text) }));
  let rest = batch;
  for (const text of outgrown) {
    rest = removeRow(computer, rest, rest.texts.indexOf(text));
    // At once: what follows may fail, and the arrays before are gone.
    put(state, rest);
    state.readings.set(text, awaitReadingAnew(state, text));
  }
  return rest;
}

/** The batch without the texts that ended, and without those that are too long for it, which go to another. */
function leave(state: State, batch: TextBatch): TextBatch {
  const { computer } = state;
  let rest = batch;
  for (const text of batch.texts) {
    const isTooLong = fitCache(computer.config, countTokens(text)) > batch.C;
    if (text.end === undefined && !isTooLong) continue;
    const row = rest.texts.indexOf(text);
    if (text.end === undefined) place(state, text, { ...rest, row });
    rest = removeRow(computer, rest, row);
    put(state, rest);
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

/** Chooses the next token of a text by the logits after it. */
function addToken({ computer: { endTokens } }: State, text: Text, logits: Float32Array): void {
  const { sampling, random, numLikeliest, maxNewTokens } = text.request;
  const { token, logProb } = chooseToken(logits, sampling, random);
  text.logProbs.push(logProb);
  text.added.push(
    numLikeliest === undefined ? { token, likeliest: [] } : scoreToken(logits, token, { numLikeliest }),
  );
  if (endTokens.includes(token)) text.end = "stop";
  else if (text.added.length === maxNewTokens) text.end = "length";
}

/** One more token for each text of a batch. */
async function takeStep(state: State, batch: TextBatch): Promise<void> {
  const { computer, weights, programs } = state;
  const { config } = computer;
  const { texts } = batch;
  const ends = texts.map((text) => describeTextEnd(countTokens(text), text.added.at(-1)?.token));
  const decoder = { config, decode: programs.decode };
  const logits = await takeDecodeStep(decoder, weights.arrays, { ...chooseStep(computer, batch), ends });
  const V = config.vocabularySize;
  for (const [row, text] of texts.entries()) addToken(state, text, logits.subarray(row * V, (row + 1) * V));
}
