/**
 * Generation with a key–value cache: batches of prompts of different lengths, greedy or sampled, seeded.
 * The cache lives here, in plain arrays that the decoding step only reads; rows that are done are dropped.
 */
import type { Random } from "../base/index.ts";
import {
  type CompileOptions,
  compile,
  type Program,
  requireOutput,
  type TensorData,
} from "../tensor/index.ts";
import { roundUpLength } from "./batch.ts";
import { listEndTokens, type ModelConfig } from "./config.ts";
import { type Decoder, describeTextEnd, takeDecodeStep } from "./decode-step.ts";
import { sequencePositions } from "./decoder.ts";
import { decodeOutputs, prefillOutputs } from "./generation-programs.ts";
import { createCache } from "./key-value-cache.ts";
import { createLayout, feedParameters } from "./parameters.ts";
import { createProgramCache, type ProgramCache } from "./program-cache.ts";
import { chooseToken, type Sampling } from "./sampling.ts";

/** A text to continue. */
export interface GenerationRequest {
  /** Token ids of the prompt, at least one. */
  readonly prompt: readonly number[];
  /** The stream that sampling draws from; greedy decoding draws nothing. */
  readonly random: Random;
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
  /** log π of each new token at the sampling temperature (1 when greedy), before top-k and top-p. */
  readonly logProbs: readonly number[];
  /** Whether the model ended it; otherwise it was cut at `maxNewTokens`. */
  readonly isFinished: boolean;
}

/** Continues texts with the given parameters; programs are compiled once a batch size and length. */
export interface Generator {
  /** Longest prompt and answer together, in tokens. */
  readonly maxPositions: number;
  generate(
    parameters: Float32Array,
    requests: readonly GenerationRequest[],
    options: GenerationOptions,
  ): Promise<readonly Generation[]>;
  release(): Promise<void>;
}

/** How a generator runs. */
export interface GeneratorOptions extends CompileOptions {
  /** Texts that are continued together. More are taken in turns. */
  readonly batchSize: number;
}

/** Batches are not shrunk below this many rows: a smaller step is hardly faster. */
const smallestBatch = 16;

/** Creates a generator for models of that config. */
export function createGenerator(config: ModelConfig, options: GeneratorOptions): Generator {
  const layout = createLayout(config);
  const engine: Engine = {
    config,
    batchSize: options.batchSize,
    prefill: createProgramCache(({ B, T }) => compile(prefillOutputs(config, B, T), options)),
    decode: createProgramCache(({ B, T: C }) => compile(decodeOutputs(config, B, C), options)),
  };
  return {
    maxPositions: config.maxPositions,
    generate: async (parameters, requests, generation) => {
      const feeds = feedParameters(layout, parameters);
      const results: Generation[] = [];
      for (let start = 0; start < requests.length; start += options.batchSize) {
        const batch = requests.slice(start, start + options.batchSize);
        results.push(...(await generateBatch(engine, feeds, { batch, ...generation })));
      }
      return results;
    },
    release: async () => {
      await engine.prefill.release();
      await engine.decode.release();
    },
  };
}

interface Engine extends Decoder {
  readonly batchSize: number;
  /** Programs by batch size and prompt length. */
  readonly prefill: ProgramCache<Program>;
}

/** A text being continued. */
interface Row {
  readonly request: GenerationRequest;
  readonly tokens: number[];
  readonly logProbs: number[];
  isFinished: boolean;
}

/** The rows of a batch that still run, and their cache: a layer's keys [B, K, D, C] and values [B, K, C, D]. */
interface Batch {
  readonly B: number;
  readonly C: number;
  readonly rows: readonly Row[];
  readonly cache: Readonly<Record<string, Float32Array>>;
}

type Feeds = Readonly<Record<string, TensorData>>;
type BatchOptions = GenerationOptions & { readonly batch: readonly GenerationRequest[] };

async function generateBatch(
  engine: Engine,
  parameters: Feeds,
  options: BatchOptions,
): Promise<readonly Generation[]> {
  const { config } = engine;
  const rows = options.batch.map(
    (request): Row => ({ request, tokens: [], logProbs: [], isFinished: false }),
  );
  let batch = await prefill(engine, parameters, { rows, ...options });
  for (let numNew = 1; numNew < options.maxNewTokens; numNew++) {
    batch = dropFinished(config, batch);
    if (batch.rows.length === 0) break;
    const ends = batch.rows.map(({ request, tokens }) =>
      describeTextEnd(request.prompt.length + tokens.length, tokens.at(-1)),
    );
    const logits = await takeDecodeStep(engine, parameters, { ...batch, ends });
    acceptTokens(config, batch.rows, { logits, sampling: options.sampling });
  }
  return rows.map(({ tokens, logProbs, isFinished }) => ({ tokens, logProbs, isFinished }));
}

/** Runs the prompts, fills the cache with their keys and values, and chooses the first token of each row. */
async function prefill(
  engine: Engine,
  parameters: Feeds,
  { rows, maxNewTokens, sampling }: GenerationOptions & { readonly rows: readonly Row[] },
): Promise<Batch> {
  const { config } = engine;
  const lengths = rows.map(({ request }) => request.prompt.length);
  if (Math.min(maxNewTokens, ...lengths) < 1)
    throw new RangeError(
      `Cannot generate ${maxNewTokens} tokens after prompts of ${Math.min(...lengths)} or more: both must be at least 1`,
    );
  const longest = Math.max(...lengths);
  if (longest + maxNewTokens > config.maxPositions)
    throw new RangeError(
      `Cannot generate ${maxNewTokens} tokens after ${longest}: the model has ${config.maxPositions} positions`,
    );
  const B = Math.min(engine.batchSize, Math.ceil(rows.length / smallestBatch) * smallestBatch);
  const T = roundUpLength(longest);
  const tokens = new Int32Array(B * T).fill(config.padToken);
  const lastRows = Int32Array.from({ length: B }, (_, row) => row * T);
  for (const [row, { request }] of rows.entries()) {
    tokens.set(request.prompt, row * T);
    lastRows[row] = row * T + request.prompt.length - 1;
  }
  const program = await engine.prefill.find({ B, T });
  const results = await program.run({ ...parameters, tokens, lastRows, positions: sequencePositions(B, T) });
  const C = roundUpLength(longest + maxNewTokens);
  const caches = Object.entries(results).filter(([name]) => name !== "logits");
  const cache = Object.fromEntries(
    caches.map(([layerName, data]) => {
      const name = `past.${layerName}`;
      return [name, createCache(config, name, data, { B, numSlots: T, C })];
    }),
  );
  acceptTokens(config, rows, { logits: requireOutput(results, "logits"), sampling });
  return { B, C, rows, cache };
}

function acceptTokens(
  config: ModelConfig,
  rows: readonly Row[],
  { logits, sampling }: { readonly logits: Float32Array; readonly sampling: Sampling },
): void {
  const V = config.vocabularySize;
  const endTokens = listEndTokens(config);
  for (const [index, row] of rows.entries()) {
    const choice = chooseToken(logits.subarray(index * V, (index + 1) * V), sampling, row.request.random);
    row.tokens.push(choice.token);
    row.logProbs.push(choice.logProb);
    row.isFinished = endTokens.includes(choice.token);
  }
}

/** The smallest of `largest`, three quarters of it, a half, three eighths, … that holds the rows: few sizes, so few programs. */
function fitBatch(numRows: number, largest: number): number {
  const [half, between] = [Math.ceil(largest / 2), Math.ceil(largest * 0.75)];
  if (numRows <= half && half >= smallestBatch) return fitBatch(numRows, half);
  return numRows <= between && between >= smallestBatch ? between : largest;
}

/** Leaves out finished rows; once the rest fits into a smaller batch, moves it there. */
function dropFinished(config: ModelConfig, batch: Batch): Batch {
  const running = [...batch.rows.entries()].filter(([, row]) => !row.isFinished);
  if (running.length === batch.rows.length) return batch;
  const B = fitBatch(running.length, batch.B);
  const rowSize = config.numKeyValueHeads * batch.C * config.headSize;
  const cache = Object.fromEntries(
    Object.entries(batch.cache).map(([name, data]) => {
      const moved = B === batch.B ? data : new Float32Array(B * rowSize);
      for (const [to, [from]] of running.entries())
        if (moved !== data || to !== from)
          moved.set(data.subarray(from * rowSize, (from + 1) * rowSize), to * rowSize);
      return [name, moved];
    }),
  );
  return { ...batch, B, rows: running.map(([, row]) => row), cache };
}
