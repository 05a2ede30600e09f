/**
 * Generation with a key–value cache: batches of prompts of different lengths, greedy or sampled, seeded.
 * The cache lives here, in plain arrays that the decoding step only reads; rows that are done are dropped.
 */
import { type CompileOptions, compile } from "../../tensor/index.ts";
import { roundUpLength } from "../batch.ts";
import { listEndTokens } from "../config/end-tokens.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { createLayout, feedParameters } from "../parameters.ts";
import { createProgramCache } from "../program-cache.ts";
import { type Decoder, describeTextEnd, takeDecodeStep } from "./decode-step.ts";
import { decodeOutputs, type PrefillSize, prefillOutputs } from "./generation-programs.ts";
import type { Generation, GenerationOptions, GenerationRequest } from "./policy.ts";
import { isOutgrown, readAnew } from "./read-anew.ts";
import { readDistinct } from "./read-distinct.ts";
import type { Feeds, PromptReader } from "./read-prompts.ts";
import { chooseToken, type Sampling } from "./sampling.ts";

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
    // It runs once a batch, and needs much memory for long prompts.
    prefill: createProgramCache((size: PrefillSize) =>
      compile(prefillOutputs(config, size), { ...options, keepsMemory: false }),
    ),
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

interface Engine extends Decoder, PromptReader {
  readonly batchSize: number;
}

/** A text being continued. */
interface Row {
  readonly request: GenerationRequest;
  readonly tokens: number[];
  readonly logProbs: number[];
  isFinished: boolean;
  referenceLogProbs?: readonly number[] | undefined;
}

/** The rows of a batch that still run, and their cache: a layer's keys [B, K, D, C] and values [B, K, C, D]. */
interface Batch {
  readonly B: number;
  readonly C: number;
  readonly rows: readonly Row[];
  readonly cache: Readonly<Record<string, Float32Array>>;
}

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
    await readOutgrown(engine, parameters, batch);
    const logits = await takeDecodeStep(engine, parameters, { ...batch, ends });
    acceptTokens(config, batch.rows, { logits, sampling: options.sampling });
  }
  return rows.map(({ request: _, ...generation }) => generation);
}

/** Reads texts anew that have outgrown their positions. */
async function readOutgrown(engine: Engine, parameters: Feeds, { rows, C, cache }: Batch): Promise<void> {
  const texts = new Map<number, readonly number[]>();
  for (const [row, { request, tokens }] of rows.entries())
    if (isOutgrown(engine.config, { numTokens: request.prompt.length + tokens.length }))
      texts.set(row, [...request.prompt, ...tokens]);
  const B = fitBatch(texts.size, engine.batchSize);
  await readAnew(engine, parameters, { B, C, cache, texts });
}

/** Reads the prompts, and chooses the first token of each row. */
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
  const requests = rows.map(({ request }) => request);
  const B = fitBatch(rows.length, engine.batchSize);
  const C = roundUpLength(longest + maxNewTokens);
  const read = await readDistinct(engine, parameters, {
    requests,
    B,
    C,
    fitBatch: (numRows) => fitBatch(numRows, engine.batchSize),
  });
  acceptTokens(config, rows, { logits: read.logits, sampling });
  for (const [index, row] of rows.entries()) row.referenceLogProbs = read.referenceLogProbs[index];
  return { B, C, rows, cache: read.cache };
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

/** Rows of the program for so many, of `largest` at most: few sizes, so few programs. */
function fitBatch(numRows: number, largest: number): number {
  return Math.min(largest, Math.ceil(numRows / smallestBatch) * smallestBatch);
}

/** Leaves out finished rows, whose places the last ones take, and goes on with no more of the batch than the rest needs. */
function dropFinished(config: ModelConfig, batch: Batch): Batch {
  const kept = [...batch.rows.entries()];
  for (let place = 0; place < kept.length; ) {
    if (kept[place]?.[1].isFinished === false) place++;
    else {
      const last = kept.pop();
      if (last !== undefined && place < kept.length) kept[place] = last;
    }
  }
  if (kept.length === batch.rows.length) return batch;
  const B = fitBatch(kept.length, batch.B);
  const rowSize = config.numKeyValueHeads * batch.C * config.headSize;
  const shrink = (data: Float32Array): Float32Array => {
    for (const [to, [from]] of kept.entries())
      if (to !== from) data.copyWithin(to * rowSize, from * rowSize, (from + 1) * rowSize);
    // No copy: as large as it is, making another one takes as long as a step.
    return data.subarray(0, B * rowSize);
  };
  const cache = Object.fromEntries(Object.entries(batch.cache).map(([name, data]) => [name, shrink(data)]));
  return { ...batch, B, rows: kept.map(([, row]) => row), cache };
}
