/** Asks a model: texts are shared out among cores, since none depends on another. */
import {
  type Generation,
  type GenerationOptions,
  type GenerationRequest,
  type ModelConfig,
  measureLength,
  type Sequence,
} from "../model/index.ts";
import type { Cores } from "./cores.ts";
import { type PosedModel, type PosedRequest, requireAnswer } from "./engine-task.ts";
import { shareFloats } from "./shared-copy.ts";
import { splitList } from "./split-list.ts";
import { choosePartRows, isSmall } from "./summed-program.ts";

/** The model that is asked, and how many texts are read together. */
export interface AskedModel {
  readonly config: ModelConfig;
  /** In the order of its layout. */
  readonly parameters: Float32Array;
  readonly batchSize: number;
}

/** Asks one model. */
export interface Asker {
  /** As `Generator` does. */
  generate(
    requests: readonly GenerationRequest[],
    options: GenerationOptions,
  ): Promise<readonly Generation[]>;
  /** As `Scorer` does. */
  score(sequences: readonly Sequence[], temperature: number): Promise<readonly Float32Array[]>;
}

/** Creates one. */
export function createAsker(cores: Cores, { config, parameters, batchSize }: AskedModel): Asker {
  const small = isSmall(parameters.length);
  const [numParts, numThreads] = small ? [cores.count, 1] : [1, cores.count];
  let shared: Float32Array | undefined;
  const pose = (numTasks: number): Pick<PosedModel, "config" | "parameters" | "numThreads"> => {
    if (numTasks > 1) shared ??= shareFloats(parameters);
    return { config, parameters: shared ?? parameters, numThreads };
  };
  return {
    generate: async (requests, { maxNewTokens, sampling }) => {
      const parts = splitItems(requests, numParts);
      const asked = { ...pose(parts.length), batchSize, options: { maxNewTokens, sampling } };
      const answers = await cores.carryOut(
        parts.map((part) => ({ kind: "generate", ...asked, requests: part.map(poseRequest) })),
      );
      return answers.flatMap((answer) => requireAnswer(answer, "generate").generations);
    },
    score: async (sequences, temperature) => {
      const parts = splitItems(sequences, numParts);
      const size = { B: Math.min(sequences.length, batchSize), T: measureLength(sequences) };
      const numRows = small ? batchSize : choosePartRows(size, parameters.length);
      const asked = { ...pose(parts.length), batchSize: numRows, temperature };
      const answers = await cores.carryOut(
        parts.map((part) => ({ kind: "score", ...asked, sequences: part })),
      );
      return answers.flatMap((answer) => requireAnswer(answer, "score").scores);
    },
  };
}

function poseRequest({ prompt, reference, random }: GenerationRequest): PosedRequest {
  return { prompt, reference, random: random.readState() };
}

/** Programs take multiples of so many rows: fewer for one core are hardly faster. */
const rowStep = 16;

/** One run of items after the other, as many as cores, as equal as steps allow. */
function splitItems<Item>(items: readonly Item[], count: number): readonly (readonly Item[])[] {
  return splitList(items, Math.max(1, Math.ceil(items.length / count / rowStep)) * rowStep);
}
