/**
 * Policies of models of one config. A few texts of a large model run on kernels, with weights as they are stored; small models, many texts,
 * and models that kernels have no room for run in fixed batches on ONNX Runtime, with weights as 32-bit floats.
 */
import { createHash } from "node:crypto";
import {
  areFinite,
  collectParameters,
  createLayout,
  createTextEngine,
  createTextPolicy,
  type ModelConfig,
  type ParameterSource,
  type Policy,
} from "../model/index.ts";
import { createAsker } from "./asker.ts";
import { type Cores, openCores } from "./cores.ts";

/** A policy that holds its weights. Whoever opens it closes it. */
export interface OpenPolicy extends Policy {
  /** What computes its answers: others round otherwise. */
  readonly backend: "kernels" | "ONNX Runtime";
  /** SHA-256 of its parameters as 32-bit floats (hex). */
  fingerprint(): string;
  /** Whether every parameter is a number, neither NaN nor infinite: of any other model no answer means anything. */
  areFinite(): boolean;
  /** Frees its weights. */
  close(): void;
}

/** Opens policies; programs are compiled once a batch size and length. Whoever creates it releases it. */
export interface PolicyEngine {
  /** The cores that policies run on; training of the same model may use them in between. */
  readonly cores: Cores;
  /** The policy of these parameters, in the order of `createLayout(config)`, which are read to the end first. One answers at a time. */
  open(parameters: ParameterSource): Promise<OpenPolicy>;
  release(): Promise<void>;
}

/** How policies run. */
export interface PolicyEngineOptions {
  /** Cores to use. The result may depend on their number in the last bit, so a run records it. */
  readonly numThreads: number;
  /** Texts that are continued together. More are taken in turns. */
  readonly batchSize: number;
  /** Texts that there are to continue at a time. Default: as many as are continued together. */
  readonly numTexts?: number;
  /** Bytes of the parameters of a policy as they are given. */
  readonly numBytes: number;
  /** Bytes of memory that there are. Default: any number. */
  readonly memoryBytes?: number;
}

/** Bytes of parameters from which on reading them takes most of a step, and up to which kernels have room for texts beside them. */
const [leastKernelBytes, mostKernelBytes] = [2 ** 26, 3 * 2 ** 30];

/** Whether kernels run models of so many bytes. */
export function fitsKernels(numBytes: number): boolean {
  return numBytes >= leastKernelBytes && numBytes <= mostKernelBytes;
}

/** Of more texts at a time the products are most of the work, and ONNX Runtime computes those faster: it has wider vectors. */
const mostKernelTexts = 24;

/** Whether policies run on kernels: where they fit and it is faster, or 32-bit floats would take more than half of the memory. */
export function usesKernels(
  config: ModelConfig,
  {
    batchSize,
    numTexts = batchSize,
    numBytes,
    memoryBytes = Number.POSITIVE_INFINITY,
  }: Omit<PolicyEngineOptions, "numThreads">,
): boolean {
  const numFloatBytes = createLayout(config).size * Float32Array.BYTES_PER_ELEMENT;
  return fitsKernels(numBytes) && (numTexts <= mostKernelTexts || numFloatBytes > memoryBytes / 2);
}

/** Creates an engine for models of that config. */
export function createPolicyEngine(config: ModelConfig, options: PolicyEngineOptions): PolicyEngine {
  const cores = openCores(options.numThreads);
  const { open, release } = usesKernels(config, options)
    ? createTextPolicies(config, options)
    : createBatchPolicies(config, { ...options, cores });
  return {
    cores,
    open,
    release: async () => {
      await release();
      await cores.close();
    },
  };
}

type Policies = Omit<PolicyEngine, "cores">;

function createTextPolicies(
  config: ModelConfig,
  { numThreads, batchSize, memoryBytes = Number.POSITIVE_INFINITY }: PolicyEngineOptions,
): Policies {
  const engine = createTextEngine(config, { numThreads, memoryBytes });
  return {
    open: async (parameters) => {
      const group = await engine.open(parameters);
      const { fingerprint, areFinite } = group.weights;
      return {
        ...createTextPolicy({ engine, group, batchSize }),
        backend: "kernels",
        fingerprint,
        areFinite,
        close: () => group.close(),
      };
    },
    release: () => engine.release(),
  };
}

function createBatchPolicies(
  config: ModelConfig,
  { cores, batchSize }: PolicyEngineOptions & { readonly cores: Cores },
): Policies {
  const layout = createLayout(config);
  return {
    open: async (source) => {
      const parameters = await collectParameters(layout, source);
      const asker = createAsker(cores, { config, parameters, batchSize });
      return {
        maxPositions: config.maxPositions,
        backend: "ONNX Runtime",
        generate: (requests, options) => asker.generate(requests, options),
        fingerprint: () => hashParameters(parameters),
        areFinite: () => areFinite(parameters),
        close: () => undefined,
      };
    },
    release: async () => undefined,
  };
}

/** Bytes that are hashed at once. */
const blockBytes = 64 * 2 ** 20;

function hashParameters({ buffer, byteOffset, byteLength }: Float32Array): string {
  const hash = createHash("sha256");
  for (let start = 0; start < byteLength; start += blockBytes)
    hash.update(new Uint8Array(buffer, byteOffset + start, Math.min(blockBytes, byteLength - start)));
  return hash.digest("hex");
}
