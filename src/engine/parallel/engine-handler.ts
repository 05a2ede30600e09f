/** One core at work: it keeps what it compiled, for as long as there is use for it. */
import { isDeepStrictEqual } from "node:util";
import { resumeRandom } from "../../base/core/index.ts";
import { createGenerator, createScorer, type GenerationRequest, type ModelConfig } from "../model/index.ts";
import { compileEncoded, type Program, type TensorData } from "../tensor/index.ts";
import type { EngineAnswer, EngineTask, Feeds, PosedRequest, ProgramTask } from "./engine-task.ts";

/** Carries out tasks, one after the other. */
export interface EngineHandler {
  handle(tasks: readonly EngineTask[]): Promise<readonly EngineAnswer[]>;
  /** Frees a program, by its id. */
  releaseProgram(id: number): Promise<void>;
  /** Frees what was compiled. */
  release(): Promise<void>;
}

/** Programs that are kept, each with the memory of its last run: a trainer takes turns in a few, one a length of texts. */
const mostPrograms = 12;

/** Creates a handler. */
export function createEngineHandler(): EngineHandler {
  const programs = createProgramKeeper();
  const generators = createKeeper((setting) => createGenerator(setting.config, setting));
  const scorers = createKeeper((setting) => createScorer(setting.config, setting));
  const carryOut = async (task: EngineTask, plain: PlainCopies): Promise<EngineAnswer> => {
    switch (task.kind) {
      case "run": {
        const program = await programs.find(task);
        return { kind: "run", results: await program.run(plain.feeds(task.feeds)) };
      }
      case "generate": {
        const generator = await generators.find(task);
        const requests = task.requests.map(resumeRequest);
        const generations = await generator.generate(plain.floats(task.parameters), requests, task.options);
        return { kind: "generate", generations };
      }
      case "score": {
        const scorer = await scorers.find(task);
        return { kind: "score", scores: await scorer.score(plain.floats(task.parameters), task.sequences) };
      }
    }
  };
  return {
    handle: async (tasks) => {
      const plain = createPlainCopies();
      const answers: EngineAnswer[] = [];
      for (const task of tasks) answers.push(await carryOut(task, plain));
      return answers;
    },
    releaseProgram: (id) => programs.releaseOne(id),
    release: async () => {
      await programs.release();
      await generators.release();
      await scorers.release();
    },
  };
}

function resumeRequest({ random, ...request }: PosedRequest): GenerationRequest {
  return { ...request, random: resumeRandom(random) };
}

interface ProgramKeeper {
  find(task: ProgramTask): Promise<Program>;
  releaseOne(id: number): Promise<void>;
  release(): Promise<void>;
}

/** Compiles programs at their first run; the one that was not run for longest goes when there are too many. */
function createProgramKeeper(): ProgramKeeper {
  const kept = new Map<number, Program>();
  const releaseOne = async (id: number): Promise<void> => {
    const program = kept.get(id);
    kept.delete(id);
    await program?.release();
  };
  return {
    find: async ({ id, program: written }) => {
      const program =
        kept.get(id) ??
        (await compileEncoded({ ...written, bytes: new Uint8Array(written.bytes) }, { numThreads: 1 }));
      // The order of the map is that of the last use.
      kept.delete(id);
      kept.set(id, program);
      const [oldest = id] = kept.keys();
      if (kept.size > mostPrograms) await releaseOne(oldest);
      return program;
    },
    releaseOne,
    release: async () => {
      for (const id of [...kept.keys()]) await releaseOne(id);
    },
  };
}

/** What makes another generator or scorer. */
interface Setting {
  readonly config: ModelConfig;
  readonly numThreads: number;
  readonly batchSize: number;
  /** Of a scorer. */
  readonly temperature?: number;
}

/** Keeps the one that was made last, as long as it is asked for the same. */
function createKeeper<Made extends { release(): Promise<void> }>(
  make: (setting: Setting) => Made,
): { find(task: Setting): Promise<Made>; release(): Promise<void> } {
  let kept: { readonly setting: Setting; readonly made: Made } | undefined;
  const release = async (): Promise<void> => {
    const last = kept;
    kept = undefined;
    await last?.made.release();
  };
  return {
    find: async ({ config, numThreads, batchSize, temperature = 1 }) => {
      // Nothing else of a task: what is made would keep its parameters.
      const setting = { config, numThreads, batchSize, temperature };
      if (kept === undefined || !isDeepStrictEqual(kept.setting, setting)) {
        await release();
        kept = { setting, made: make(setting) };
      }
      return kept.made;
    },
    release,
  };
}

/** Arrays that ONNX Runtime takes: it takes none on shared memory. */
interface PlainCopies {
  floats(values: Float32Array): Float32Array;
  feeds(feeds: Feeds): Feeds;
}

/** Copies each shared array once, however many tasks it is for. */
function createPlainCopies(): PlainCopies {
  const copies = new Map<TensorData, Float32Array>();
  const floats = (values: Float32Array): Float32Array => {
    if (!(values.buffer instanceof SharedArrayBuffer)) return values;
    const copy = copies.get(values) ?? new Float32Array(values);
    copies.set(values, copy);
    return copy;
  };
  return {
    floats,
    feeds: (feeds) =>
      Object.fromEntries(
        Object.entries(feeds).map(([name, values]) => [
          name,
          values instanceof Float32Array ? floats(values) : values,
        ]),
      ),
  };
}
