/** One core at work: it keeps what it compiled, for as long as there is use for it. */
import { isDeepStrictEqual } from "node:util";
import { resumeRandom } from "../../base/core/index.ts";
import {
  createGenerator,
  createProgramCache,
  createScorer,
  type GenerationRequest,
  type Generator,
  type ModelConfig,
  type Scorer,
} from "../model/index.ts";
import { compileEncoded, type EncodedProgram, type Program, type TensorData } from "../tensor/index.ts";
import type {
  EngineAnswer,
  EngineTask,
  Feeds,
  GenerationTask,
  PosedRequest,
  ScoringTask,
} from "./engine-task.ts";

/** Carries out tasks, one after the other. */
export interface EngineHandler {
  handle(tasks: readonly EngineTask[]): Promise<readonly EngineAnswer[]>;
  /** Frees what was compiled. */
  release(): Promise<void>;
}

/** Programs that are kept: a trainer takes turns in a few, and a stage needs none of the stage before it. */
const mostPrograms = 8;

/** Creates a handler. */
export function createEngineHandler(): EngineHandler {
  const encoded = new Map<number, EncodedProgram>();
  const programs = createProgramCache(({ id }: { readonly id: number }) => compileShared(encoded.get(id)), {
    most: mostPrograms,
  });
  const generators = createKeeper<GenerationTask, Generator>((task) => createGenerator(task.config, task));
  const scorers = createKeeper<ScoringTask, Scorer>((task) => createScorer(task.config, task));
  const carryOut = async (task: EngineTask): Promise<EngineAnswer> => {
    switch (task.kind) {
      case "run": {
        encoded.set(task.id, task.program);
        const program = await programs.find({ id: task.id });
        encoded.delete(task.id);
        return { kind: "run", results: await program.run(takeFromShared(task.feeds)) };
      }
      case "generate": {
        const generator = await generators.find(task);
        const requests = task.requests.map(resumeRequest);
        const parameters = toPlain(task.parameters);
        return {
          kind: "generate",
          generations: await generator.generate(parameters, requests, task.options),
        };
      }
      case "score": {
        const scorer = await scorers.find(task);
        return { kind: "score", scores: await scorer.score(toPlain(task.parameters), task.sequences) };
      }
    }
  };
  return {
    handle: async (tasks) => {
      const answers: EngineAnswer[] = [];
      for (const task of tasks) answers.push(await carryOut(task));
      return answers;
    },
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

function compileShared(program: EncodedProgram | undefined): Promise<Program> {
  if (program === undefined) throw new TypeError("Cannot run a program that was not handed over");
  return compileEncoded({ ...program, bytes: toPlain(program.bytes) }, { numThreads: 1 });
}

/** What makes another generator or scorer. */
type Setting = Pick<GenerationTask, "config" | "numThreads" | "batchSize"> & {
  readonly temperature?: number;
};

/** Keeps the one that was made last, as long as it is asked for the same. */
function createKeeper<Task extends Setting, Made extends { release(): Promise<void> }>(
  make: (task: Task) => Made,
): { find(task: Task): Promise<Made>; release(): Promise<void> } {
  let kept: { readonly setting: Setting; readonly made: Made } | undefined;
  const release = async (): Promise<void> => {
    const last = kept;
    kept = undefined;
    await last?.made.release();
  };
  return {
    find: async (task) => {
      const setting = describeSetting(task);
      if (kept === undefined || !isDeepStrictEqual(kept.setting, setting)) {
        await release();
        kept = { setting, made: make(task) };
      }
      return kept.made;
    },
    release,
  };
}

function describeSetting({ config, numThreads, batchSize, temperature = 1 }: Setting): {
  readonly config: ModelConfig;
  readonly numThreads: number;
  readonly batchSize: number;
  readonly temperature: number;
} {
  return { config, numThreads, batchSize, temperature };
}

/** Feeds that ONNX Runtime takes: it takes no arrays on shared memory. */
function takeFromShared(feeds: Feeds): Feeds {
  return Object.fromEntries(Object.entries(feeds).map(([name, values]) => [name, toPlain(values)]));
}

function toPlain<Values extends TensorData | Uint8Array>(values: Values): Values {
  return values.buffer instanceof SharedArrayBuffer ? (values.slice() as Values) : values;
}
