/** A checkpoint, and adapters to it, that answer: requests that come together are answered together. */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { createRandom, UsageError } from "../base/index.ts";
import {
  createGenerator,
  createTokenScorer,
  type Generation,
  loadModel,
  type Model,
  type Sampling,
  type ScoredToken,
  type Tokenizer,
} from "../model/index.ts";

/** A request names a model that is not served. */
export class UnknownModelError extends UsageError {
  override readonly name = "UnknownModelError";
}

/** A model by the name that requests call it. */
export interface ServedModel {
  readonly name: string;
  /** The folder it was loaded from. */
  readonly root: string;
  /** Of an adapter: the model it belongs to. */
  readonly parent?: string;
  /** SHA-256 of the parameters (hex, 16 digits): which weights answer. */
  readonly fingerprint: string;
}

/** A text to continue. */
export interface ServiceRequest {
  readonly model: string;
  readonly prompt: readonly number[];
  readonly sampling: Sampling;
  readonly maxNewTokens: number;
  readonly seed: number;
}

/** Models that answer. Whoever opens it releases it. */
export interface ModelService {
  readonly tokenizer: Tokenizer;
  readonly maxPositions: number;
  readonly vocabularySize: number;
  list(): readonly ServedModel[];
  generate(request: ServiceRequest): Promise<Generation>;
  score(model: string, tokens: readonly number[]): Promise<readonly ScoredToken[]>;
  /** Adds a LoRA adapter. Throws `UsageError` or `CheckpointError` where it cannot be. */
  loadAdapter(name: string, path: string): Promise<void>;
  /** Throws `UsageError` where there is no adapter of that name. */
  unloadAdapter(name: string): void;
  release(): Promise<void>;
}

/** How a service runs. */
export interface ServiceOptions {
  /** The folder of a checkpoint. */
  readonly checkpoint: string;
  readonly name: string;
  readonly numThreads: number;
  /** Texts continued together. */
  readonly batchSize: number;
}

interface Loaded extends ServedModel {
  readonly parameters: Float32Array;
}

/** Loads a checkpoint. Throws as `loadModel`. */
export async function createModelService(options: ServiceOptions): Promise<ModelService> {
  const { checkpoint, name, numThreads, batchSize } = options;
  const { config, tokenizer, parameters } = await loadModel(checkpoint);
  const models = new Map<string, Loaded>([
    [name, { name, root: checkpoint, fingerprint: hashParameters(parameters), parameters }],
  ]);
  const generator = createGenerator(config, { numThreads, batchSize });
  const scorer = createTokenScorer(config, { numThreads });
  const find = (wanted: string): Loaded => {
    const found = models.get(wanted);
    if (found !== undefined) return found;
    throw new UnknownModelError(
      `There is no model "${wanted}" here; there are ${[...models.keys()].join(", ")}`,
    );
  };
  const queue = createQueue(batchSize, async (batch) => {
    const [{ request, loaded }] = batch;
    const prompts = batch.map(({ request: { prompt, seed } }) => ({
      prompt,
      random: createRandom(seed, "served"),
    }));
    return await generator.generate(loaded.parameters, prompts, request);
  });
  let scoring: Promise<unknown> = Promise.resolve();
  return {
    tokenizer,
    maxPositions: config.maxPositions,
    vocabularySize: config.vocabularySize,
    list: () => [...models.values()].map(({ parameters: _, ...model }) => model),
    generate: async (request) => {
      // The weights of this moment: an adapter may be unloaded while the request waits.
      return await queue.add(request, find(request.model));
    },
    score: async (wanted, tokens) => {
      const model = find(wanted);
      const scored = scoring.then(() => scorer.score(model.parameters, tokens));
      scoring = scored.catch(() => undefined);
      return await scored;
    },
    loadAdapter: async (adapter, path) => {
      if (models.has(adapter)) throw new UsageError(`There is a model "${adapter}" already; unload it first`);
      const loaded = await loadModel(path, { base: checkpoint });
      requireSameModel(adapter, loaded, config);
      const fingerprint = hashParameters(loaded.parameters);
      models.set(adapter, {
        name: adapter,
        root: path,
        parent: name,
        fingerprint,
        parameters: loaded.parameters,
      });
    },
    unloadAdapter: (adapter) => {
      if (find(adapter).parent === undefined) throw new UsageError(`"${adapter}" is no adapter`);
      models.delete(adapter);
    },
    release: async () => {
      await generator.release();
      await scorer.release();
    },
  };
}

function requireSameModel(name: string, { config }: Model, served: Model["config"]): void {
  if (JSON.stringify(config) !== JSON.stringify(served))
    throw new UsageError(`Cannot load "${name}": it belongs to a model of other sizes`);
}

function hashParameters({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest("hex")
    .slice(0, 16);
}

interface Waiting {
  readonly request: ServiceRequest;
  readonly loaded: Loaded;
  readonly resolve: (generation: Generation) => void;
  readonly reject: (error: unknown) => void;
}

type Batch = readonly [Waiting, ...Waiting[]];

/** Requests in the order in which they came, those that can be answered together as one batch. */
function createQueue(
  batchSize: number,
  answer: (batch: Batch) => Promise<readonly Generation[]>,
): { readonly add: (request: ServiceRequest, loaded: Loaded) => Promise<Generation> } {
  let waiting: readonly Waiting[] = [];
  let isRunning = false;
  const runNext = async ([first]: Batch): Promise<void> => {
    const key = describeKind(first.request);
    const alike = waiting
      .filter(({ request, loaded }) => loaded === first.loaded && describeKind(request) === key)
      .slice(0, batchSize);
    waiting = waiting.filter((one) => !alike.includes(one));
    const [head = first, ...others] = alike;
    try {
      const generations = await answer([head, ...others]);
      for (const [index, { resolve, reject }] of alike.entries()) {
        const generation = generations[index];
        if (generation === undefined) reject(new Error("Cannot answer: the batch came back too short"));
        else resolve(generation);
      }
    } catch (error) {
      for (const { reject } of alike) reject(error);
    }
  };
  const run = async (): Promise<void> => {
    isRunning = true;
    // What arrives in the same turn of the event loop is answered together.
    await setImmediate();
    for (let [first] = waiting; first !== undefined; [first] = waiting) await runNext([first]);
    isRunning = false;
  };
  return {
    add: (request, loaded) =>
      new Promise((resolve, reject) => {
        waiting = [...waiting, { request, loaded, resolve, reject }];
        if (!isRunning) void run();
      }),
  };
}

function describeKind({ sampling, maxNewTokens }: ServiceRequest): string {
  return JSON.stringify([sampling, maxNewTokens]);
}
