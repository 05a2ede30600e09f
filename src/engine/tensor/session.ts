/** Runs programs: tensor expressions compiled by ONNX Runtime into one call each. */
import type { Tensor as EngineTensor } from "onnxruntime-node";
import { UsageError } from "../../base/core/index.ts";
import { lowerGraph, type Outputs } from "./lowering.ts";
import { encodeOnnxModel, type OnnxValue } from "./onnx-model.ts";
import { formatShape, sizeOf } from "./shape.ts";

type Engine = typeof import("onnxruntime-node");

/** ONNX Runtime, loaded at its first use: most commands compile nothing. Throws `UsageError` where it does not run on this machine. */
async function loadEngine(): Promise<Engine> {
  // It collects usage events unless it is told not to before it is loaded. Nothing leaves this machine.
  process.env.ORT_DISABLE_TELEMETRY = "1";
  try {
    return await import("onnxruntime-node");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(
      `Cannot load ONNX Runtime on ${process.platform} ${process.arch}: ${reason}; install the packages on this machine, by npm ci`,
      { cause },
    );
  }
}

/** The version of ONNX Runtime that programs run on, which is loaded. Throws `UsageError` where it does not run on this machine. */
export async function readEngineVersion(): Promise<string> {
  const { env } = await loadEngine();
  return env.versions.node ?? env.versions.common;
}

/** The numbers of one tensor, row-major. */
export type TensorData = Float32Array | Int32Array;

/** How programs run. */
export interface CompileOptions {
  /** Threads of one operator. The result may depend on it in the last bit, so a run records it. */
  readonly numThreads: number;
  /**
   * Whether threads wait actively for the next operator (default no). Faster for long runs one after another; in
   * short ones, with other work between them, the waiting takes the cores from that work.
   */
  readonly waitsActively?: boolean;
  /**
   * Whether the program keeps the memory that a run takes for the next one (default yes). Not for one of many that take turns:
   * together they would keep what only one of them needs at a time. The results are the same.
   */
  readonly keepsMemory?: boolean;
}

/** Compiled tensor expressions. `run` is exact for the same feeds: same bits, every time. */
export interface Program<Name extends string = string> {
  /**
   * Feeds every input by name and gives every output by name; arrays are row-major, shapes static. Outputs that are named in `into` are
   * written into the arrays there, on whose memory those that are given lie.
   */
  run(
    feeds: Readonly<Record<string, TensorData>>,
    into?: Readonly<Record<string, Float32Array>>,
  ): Promise<Readonly<Record<Name, Float32Array>>>;
  /** Frees the native memory; the program cannot run afterwards. */
  release(): Promise<void>;
}

/** Tensor expressions written down as an ONNX model, as plain data, so that another thread can compile them. */
export interface EncodedProgram {
  readonly bytes: Uint8Array;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** Writes expressions down. */
export function encodeProgram(outputs: Outputs): EncodedProgram {
  const graph = lowerGraph(outputs);
  return { bytes: encodeOnnxModel(graph), inputs: graph.inputs, outputs: graph.outputs };
}

/** Compiles the expressions into one ONNX Runtime session (tenths of a second for a training step). Throws `UsageError` as `readEngineVersion`. */
export async function compile<Name extends string>(
  outputs: Outputs & Readonly<Record<Name, Outputs[string]>>,
  options: CompileOptions,
): Promise<Program<Name>> {
  return await compileEncoded(encodeProgram(outputs), options);
}

/** Compiles expressions that were written down. Throws as `compile`. */
export async function compileEncoded<Name extends string>(
  { bytes, inputs, outputs }: EncodedProgram,
  { numThreads, waitsActively = false, keepsMemory = true }: CompileOptions,
): Promise<Program<Name>> {
  const engine = await loadEngine();
  const session = await engine.InferenceSession.create(bytes, {
    intraOpNumThreads: numThreads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    enableCpuMemArena: keepsMemory,
    enableMemPattern: keepsMemory,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: waitsActively ? "1" : "0" } } },
  });
  const createFeed = createFeeder(engine);
  return {
    run: async (feeds, into = {}) => {
      const fetches = createFetches(outputs, into, engine);
      const results = await session.run(createFeeds(inputs, feeds, createFeed), fetches);
      const values = Object.entries(results).map(([name, value]) => [name, value.data as Float32Array]);
      return Object.fromEntries(values) as Record<Name, Float32Array>;
    },
    release: () => session.release(),
  };
}

/** An output of a program by its name. Throws `TypeError` where it gives none of that name. */
export function requireOutput(outputs: Readonly<Record<string, Float32Array>>, name: string): Float32Array {
  const values = outputs[name];
  if (values === undefined)
    throw new TypeError(`Cannot read the program's "${name}": it gives no such output`);
  return values;
}

/** The arrays that outputs are written into, null for one that gets its own. */
function createFetches(
  outputs: readonly OnnxValue[],
  into: Readonly<Record<string, Float32Array>>,
  { Tensor }: Engine,
): Record<string, EngineTensor | null> {
  const entries = outputs.map(({ name, dtype, shape }): [string, EngineTensor | null] => {
    const data = into[name];
    if (data === undefined) return [name, null];
    if (data.length !== sizeOf(shape))
      throw new TypeError(`Cannot write "${name}" of shape ${formatShape(shape)} into ${data.length} values`);
    return [name, new Tensor(dtype, data, shape)];
  });
  return Object.fromEntries(entries);
}

/** Makes what an input is fed with from its array. */
type Feeder = (input: OnnxValue, data: TensorData) => EngineTensor;

/** Arrays that are fed again, as weights and caches are at each step of generation, are not looked at again. */
function createFeeder({ Tensor }: Engine): Feeder {
  const made = new WeakMap<TensorData, { readonly input: OnnxValue; readonly tensor: EngineTensor }>();
  return (input, data) => {
    const last = made.get(data);
    if (last?.input === input) return last.tensor;
    const { name, dtype, shape } = input;
    if (data.length !== sizeOf(shape))
      throw new TypeError(`Cannot feed ${data.length} values to "${name}" of shape ${formatShape(shape)}`);
    const tensor = new Tensor(dtype, data, shape);
    made.set(data, { input, tensor });
    return tensor;
  };
}

function createFeeds(
  inputs: readonly OnnxValue[],
  feeds: Readonly<Record<string, TensorData>>,
  createFeed: Feeder,
): Record<string, EngineTensor> {
  const created: Record<string, EngineTensor> = {};
  for (const input of inputs) {
    const data = feeds[input.name];
    if (data === undefined) throw new TypeError(`Cannot run the program: input "${input.name}" is not fed`);
    created[input.name] = createFeed(input, data);
  }
  return created;
}
