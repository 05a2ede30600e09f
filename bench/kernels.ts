/**
 * Decode steps and prompts of a Llama of 135 million parameters on both backends of tensor graphs, in turns so that both see the same
 * machine: `npm run bench kernels [THREADS] [only=kernels|onnx]`. Prints times, tokens a second and the machine's load.
 */
import { readFileSync } from "node:fs";
import {
  chunkOutputs,
  decodeOutputs,
  prefillOutputs,
} from "../src/engine/model/generation/generation-programs.ts";
import { createLlamaConfig, feedPositions, type ModelConfig } from "../src/engine/model/index.ts";
import { createLayout } from "../src/engine/model/parameters.ts";
import {
  compile,
  type KernelData,
  openKernels,
  planProgram,
  sizeOf,
  type Tensor,
  type TensorData,
} from "../src/engine/tensor/index.ts";

const numThreads = Number(process.argv[2] ?? 2);
const only = process.argv[3]?.replace("only=", "");
const numSlots = 256;

const config: ModelConfig = {
  ...createLlamaConfig({
    vocabularySize: 49_152,
    hiddenSize: 576,
    intermediateSize: 1536,
    numLayers: Number(process.argv[4] ?? 30),
    numHeads: 9,
    numKeyValueHeads: 3,
    maxPositions: 2048,
    padToken: 0,
  }),
  isTied: true,
};

/** Random bfloat16 of both signs around 0.02: only their number matters. */
function drawHalves(target: Uint16Array, seed: number): void {
  let state = seed * 2 + 1;
  for (let index = 0; index < target.length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    target[index] = ((state >>> 31) << 15) | (0x3c00 + ((state >>> 16) & 0xff));
  }
}

interface Case {
  readonly name: string;
  readonly numTokens: number;
  readonly outputs: () => Record<string, Tensor>;
  readonly feeds: Readonly<Record<string, TensorData>>;
}

/** Feeds of what the graph reads besides parameters; caches are of small random numbers. */
function createCase(
  name: string,
  outputs: () => Record<string, Tensor>,
  { B, T, C }: { readonly B: number; readonly T: number; readonly C: number },
): Case {
  const start = C === 0 ? 0 : C - 8;
  const texts = Array.from({ length: B }, () => ({ start, numTokens: start + T }));
  const cache = Object.fromEntries(
    (C === 0 ? [] : config.layers).flatMap((_, layer) =>
      ["keys", "values"].map((part) => [
        `past.${part}.${layer}`,
        new Float32Array(B * config.numKeyValueHeads * C * config.headSize).fill(0.01 * (1 + (layer % 3))),
      ]),
    ),
  );
  const feeds = {
    ...cache,
    tokens: Int32Array.from({ length: B * T }, (_, index) => (index * 7919) % config.vocabularySize),
    lengths: new Float32Array(B).fill(start),
    lastRows: Int32Array.from({ length: B }, (_, row) => (row + 1) * T - 1),
    rows: Int32Array.of(T - 1),
    ...feedPositions(config, { B, T, texts }),
  };
  return { name, numTokens: B * T, outputs, feeds };
}

const cases: readonly Case[] = [
  createCase("decode, 1 text", () => decodeOutputs(config, 1, numSlots), { B: 1, T: 1, C: numSlots }),
  createCase("decode, 16 texts", () => decodeOutputs(config, 16, numSlots), { B: 16, T: 1, C: numSlots }),
  createCase("chunk of 128", () => chunkOutputs(config, { T: 128, C: numSlots, numPast: numSlots, R: 1 }), {
    B: 1,
    T: 128,
    C: numSlots,
  }),
  createCase("prompt of 512", () => prefillOutputs(config, { B: 1, T: 512, P: 512, S: 0, R: 0 }), {
    B: 1,
    T: 512,
    C: 0,
  }),
];

const { entries } = createLayout(config);
const kernels = openKernels({ numThreads });
const halves = Object.fromEntries(
  entries.map(({ name, shape }, index) => {
    const array = kernels.memory.allocate("uint16", sizeOf(shape));
    drawHalves(array, index);
    return [name, array];
  }),
);
const widen = (half: Uint16Array): Float32Array =>
  new Float32Array(Uint32Array.from(half, (bits) => bits << 16).buffer);

type Run = () => Promise<Readonly<Record<string, Float32Array>>>;

function planCase({ outputs, feeds }: Case): { readonly run: Run; readonly release: () => void } {
  const graph = outputs();
  const start = performance.now();
  const program = planProgram(graph, kernels, { halves: new Set(Object.keys(halves)) });
  console.log(`  planned in ${(performance.now() - start).toFixed(1)} ms`);
  const bound: Record<string, KernelData> = { ...halves };
  for (const [name, values] of Object.entries(feeds)) {
    const array = kernels.memory.allocate(values instanceof Int32Array ? "int32" : "float32", values.length);
    array.set(values);
    bound[name] = array;
  }
  return {
    run: async () => program.run(bound),
    release: () => {
      program.release();
      for (const name of Object.keys(feeds)) kernels.memory.free(bound[name]!);
    },
  };
}

const widened =
  only === "kernels"
    ? {}
    : Object.fromEntries(Object.entries(halves).map(([name, half]) => [name, widen(half)]));

async function compileCase({
  outputs,
  feeds,
}: Case): Promise<{ readonly run: Run; readonly release: () => void }> {
  const program = await compile(outputs(), { numThreads, keepsMemory: false });
  const allFeeds = { ...widened, ...feeds };
  return { run: () => program.run(allFeeds), release: () => void program.release() };
}

/** Milliseconds of a run: by the clock, and of all threads' processor time, which a busy machine leaves as it is. */
interface Times {
  readonly wall: number[];
  readonly processor: number[];
}

function readProcessor(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function time(run: Run, { wall, processor }: Times, seconds: number): Promise<void> {
  let count = 0;
  const before = readProcessor();
  for (const end = performance.now() + seconds * 1000; performance.now() < end || count < 2; count++) {
    const start = performance.now();
    await run();
    wall.push(performance.now() - start);
  }
  processor.push((readProcessor() - before) / count);
}

function describe(name: string, { wall, processor }: Times, numTokens: number): string {
  const sorted = [...wall].sort((a, b) => a - b);
  const [least, median] = [sorted[0]!, sorted[Math.floor(sorted.length / 2)]!];
  const rate = (ms: number): string => ((numTokens * 1000) / ms).toFixed(1);
  return `  ${name.padEnd(8)} median ${median.toFixed(2)} ms (${rate(median)} tokens/s), best ${least.toFixed(2)} ms (${rate(least)}), processor ${Math.min(...processor).toFixed(2)} ms`;
}

for (const one of cases) {
  console.log(`${one.name}, ${numThreads} threads, ${kernels.isFused ? "fused" : "plain"}`);
  const ours = only === "onnx" ? undefined : planCase(one);
  const theirs = only === "kernels" ? undefined : await compileCase(one);
  const [ourTimes, theirTimes]: readonly [Times, Times] = [
    { wall: [], processor: [] },
    { wall: [], processor: [] },
  ];
  if (ours !== undefined && theirs !== undefined) {
    const [mine, other] = [(await ours.run()).logits!, (await theirs.run()).logits!];
    const largest = other.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const error = mine.reduce((most, value, index) => Math.max(most, Math.abs(value - other[index]!)), 0);
    console.log(`  largest difference ${(error / largest).toExponential(1)} of the largest logit`);
  }
  await ours?.run();
  for (let round = 0; round < 3; round++) {
    if (ours !== undefined) await time(ours.run, ourTimes, 0.7);
    if (theirs !== undefined) await time(theirs.run, theirTimes, 0.7);
  }
  if (ours !== undefined) console.log(describe("kernels", ourTimes, one.numTokens));
  if (theirs !== undefined) console.log(describe("ONNX", theirTimes, one.numTokens));
  console.log(
    `  load ${readFileSync("/proc/loadavg", "utf8").slice(0, 14)}, kernel memory ${(kernels.memory.numBytes / 2 ** 20).toFixed(0)} MiB, peak of the process ${(process.resourceUsage().maxRSS / 2 ** 10).toFixed(0)} MiB`,
  );
  ours?.release();
  theirs?.release();
}
kernels.close();
