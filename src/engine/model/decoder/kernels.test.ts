/**
 * Decoders of every family on the kernels against ONNX Runtime: whole passes, decode steps and chunks; with bfloat16 weights against the
 * same ones widened; and the same bits for any number of threads.
 */
import { afterAll, describe, expect, it } from "vitest";
import { familyConfigs } from "../../../../test/support/family-configs.ts";
import { createRandom } from "../../../base/core/index.ts";
import {
  compile,
  type KernelData,
  openKernels,
  planProgram,
  sizeOf,
  type Tensor,
  type TensorData,
} from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { parseModelConfig } from "../config/parse-config.ts";
import { familyNames } from "../family/family-name.ts";
import { chunkOutputs, decodeOutputs, prefillOutputs } from "../generation/generation-programs.ts";
import { createLayout } from "../parameters.ts";
import { feedPositions } from "./positions.ts";

const backends = [1, 2, 3].map((numThreads) => openKernels({ numThreads }));
const [kernels] = backends;
afterAll(() => {
  for (const backend of backends) backend.close();
});

type Feeds = Readonly<Record<string, TensorData>>;

const halfBits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16;
const widen = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;

/** Random parameters that bfloat16 holds, both ways. */
function drawParameters(config: ModelConfig): { wide: Feeds; half: Record<string, KernelData> } {
  const random = createRandom(3, config.family);
  const [wide, half]: [Record<string, TensorData>, Record<string, KernelData>] = [{}, {}];
  for (const { name, shape } of createLayout(config).entries) {
    const draw = (): number => (shape.length === 1 ? 0.5 + random.uniform() : 0.3 * random.normal());
    const bits = Uint16Array.from({ length: sizeOf(shape) }, () => halfBits(draw()));
    half[name] = bits;
    wide[name] = Float32Array.from(bits, widen);
  }
  return { wide, half };
}

interface Pass {
  readonly outputs: Record<string, Tensor>;
  readonly feeds: Feeds;
}

/** Texts of T new tokens behind caches of C slots that are half full. */
function feedPass(
  config: ModelConfig,
  { B, T, C }: { readonly B: number; readonly T: number; readonly C: number },
): Feeds {
  const random = createRandom(4, config.family);
  const starts = Array.from({ length: B }, (_, row) => (C === 0 ? 0 : C / 2 - row));
  const cacheSize = B * config.numKeyValueHeads * C * config.headSize;
  const cache = (C === 0 ? [] : config.layers).flatMap((_, layer) =>
    ["keys", "values"].map((part): [string, TensorData] => [
      `past.${part}.${layer}`,
      Float32Array.from({ length: cacheSize }, () => random.normal()),
    ]),
  );
  return {
    ...Object.fromEntries(cache),
    tokens: Int32Array.from({ length: B * T }, () => random.integer(3, config.vocabularySize - 1)),
    lengths: Float32Array.from(starts),
    lastRows: Int32Array.from({ length: B }, (_, row) => (row + 1) * T - 1),
    ...feedPositions(config, { B, T, texts: starts.map((start) => ({ start, numTokens: start + T })) }),
  };
}

const passes: Readonly<Record<string, (config: ModelConfig) => Pass>> = {
  "a whole pass": (config) => ({
    outputs: prefillOutputs(config, { B: 2, T: 10, P: 8, S: 0, R: 0 }),
    feeds: feedPass(config, { B: 2, T: 10, C: 0 }),
  }),
  "a decode step": (config) => ({
    outputs: decodeOutputs(config, 3, 16),
    feeds: feedPass(config, { B: 3, T: 1, C: 16 }),
  }),
  "a chunk": (config) => ({
    outputs: chunkOutputs(config, { T: 4, C: 16, numPast: 16, R: 4 }),
    feeds: { ...feedPass(config, { B: 1, T: 4, C: 16 }), rows: Int32Array.of(3, 1, 0, 2) },
  }),
  "a chunk before which a part of the cache is filled": (config) => ({
    outputs: chunkOutputs(config, { T: 4, C: 16, numPast: 12, R: 1 }),
    feeds: { ...feedPass(config, { B: 1, T: 4, C: 16 }), rows: Int32Array.of(2) },
  }),
  "the first chunk": (config) => ({
    outputs: chunkOutputs(config, { T: 4, C: 16, numPast: 0, R: 1 }),
    feeds: { ...feedPass(config, { B: 1, T: 4, C: 0 }), rows: Int32Array.of(3) },
  }),
};

/** What ONNX Runtime and the kernels are both fed with: only what the graph reads. */
async function runOnnx({ outputs, feeds }: Pass, parameters: Feeds): Promise<Record<string, Float32Array>> {
  const program = await compile(outputs, { numThreads: 1 });
  const results = await program.run({ ...parameters, ...feeds });
  await program.release();
  return results;
}

function runKernels(
  { outputs, feeds }: Pass,
  parameters: Readonly<Record<string, KernelData>>,
  backend = kernels!,
): Record<string, readonly number[]> {
  const halves = new Set(Object.keys(parameters).filter((name) => parameters[name] instanceof Uint16Array));
  const before = backend.memory.numBytes;
  const program = planProgram(outputs, backend, { halves });
  const results = Object.entries(program.run({ ...parameters, ...feeds }));
  const copies = Object.fromEntries(results.map(([name, values]) => [name, [...values]]));
  program.release();
  backend.memory.releaseWorkspace();
  expect(backend.memory.numBytes - before).toBeLessThan(200_000); // scratch memory of threads stays
  return copies;
}

function relativeError(actual: readonly number[], expected: Float32Array): number {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!)), 0) / largest;
}

describe("decoders on kernels", () => {
  for (const name of familyNames)
    for (const [pass, create] of Object.entries(passes))
      it(`give what ONNX Runtime gives to 1e-5, the same for any threads: ${pass} of ${name}`, async () => {
        const config = parseModelConfig({ model_type: name, ...familyConfigs[name] }, name);
        const { wide, half } = drawParameters(config);
        const made = create(config);
        const expected = await runOnnx(made, wide);
        const results = runKernels(made, wide);
        expect(Object.keys(results)).toEqual(Object.keys(expected));
        for (const [output, values] of Object.entries(expected))
          expect(relativeError(results[output]!, values)).toBeLessThan(1e-5);
        expect(runKernels(made, half)).toEqual(results);
        for (const backend of backends.slice(1)) expect(runKernels(made, half, backend)).toEqual(results);
      });
});
