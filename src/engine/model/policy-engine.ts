/**
 * Policies of models of one config. Large models stay as they are stored and run on kernels, text by text; small ones, and those that
 * kernels have no room for, run in fixed batches on ONNX Runtime.
 */
import { createHash } from "node:crypto";
import type { ModelConfig } from "./config/model-config.ts";
import { createGenerator } from "./generation/generate.ts";
import type { Policy } from "./generation/policy.ts";
import { areFinite, collectParameters, createLayout, type ParameterSource } from "./parameters.ts";
import { createTextEngine } from "./texts/text-engine.ts";
import { createTextPolicy } from "./texts/text-policy.ts";

/** A policy that holds its weights. Whoever opens it closes it. */
export interface OpenPolicy extends Policy {
  /** SHA-256 of its parameters as 32-bit floats (hex). */
  fingerprint(): string;
  /** Whether every parameter is a number, neither NaN nor infinite: of any other model no answer means anything. */
  areFinite(): boolean;
  /** Frees its weights. */
  close(): void;
}

/** Opens policies; programs are compiled once a batch size and length. Whoever creates it releases it. */
export interface PolicyEngine {
  /** The policy of these parameters, in the order of `createLayout(config)`, which are read to the end first. One answers at a time. */
  open(parameters: ParameterSource): Promise<OpenPolicy>;
  release(): Promise<void>;
}

/** How policies run. */
export interface PolicyEngineOptions {
  /** Threads of one operation. The result may depend on it in the last bit, so a run records it. */
  readonly numThreads: number;
  /** Texts that are continued together. More are taken in turns. */
  readonly batchSize: number;
  /** Bytes of the parameters of a policy as they are given. */
  readonly numBytes: number;
  /** Most bytes that keys and values of texts may take. Default: what there is room for. */
  readonly mostCacheBytes?: number;
}

/** Bytes of parameters from which on reading them takes most of a step, and up to which kernels have room for texts beside them. */
const [leastKernelBytes, mostKernelBytes] = [2 ** 26, 3 * 2 ** 30];

/** Whether a model runs on kernels. */
export function usesKernels(numBytes: number): boolean {
  return numBytes >= leastKernelBytes && numBytes <= mostKernelBytes;
}

/** Creates an engine for models of that config. */
export function createPolicyEngine(config: ModelConfig, options: PolicyEngineOptions): PolicyEngine {
  return usesKernels(options.numBytes)
    ? createTextPolicies(config, options)
    : createBatchPolicies(config, options);
}

function createTextPolicies(config: ModelConfig, options: PolicyEngineOptions): PolicyEngine {
  const { batchSize } = options;
  const engine = createTextEngine(config, options);
  return {
    open: async (parameters) => {
      const group = await engine.open(parameters);
      const { fingerprint, areFinite } = group.weights;
      return {
        ...createTextPolicy({ engine, group, batchSize }),
        fingerprint,
        areFinite,
        close: () => group.close(),
      };
    },
    release: () => engine.release(),
  };
}

function createBatchPolicies(config: ModelConfig, options: PolicyEngineOptions): PolicyEngine {
  const generator = createGenerator(config, options);
  const layout = createLayout(config);
  return {
    open: async (source) => {
      const parameters = await collectParameters(layout, source);
      return {
        maxPositions: config.maxPositions,
        generate: (requests, generation) => generator.generate(parameters, requests, generation),
        fingerprint: () => hashParameters(parameters),
        areFinite: () => areFinite(parameters),
        close: () => undefined,
      };
    },
    release: () => generator.release(),
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
