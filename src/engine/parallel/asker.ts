/** Asks a model: texts are shared out among cores, since none depends on another. */
import type {
  Generation,
  GenerationOptions,
  GenerationRequest,
  ModelConfig,
  Sequence,
} from "../model/index.ts";
import type { Cores } from "./cores.ts";
import { shareFloats } from "./shared-copy.ts";
import { splitList } from "./split-list.ts";
import { isSmall } from "./summed-program.ts";

/** The model that is asked, and how many texts are read together. */
export interface AskedModel {
  readonly config: ModelConfig;
  /** In the order of its layout. */
  readonly parameters: Float32Array;
  readonly batchSize: number;
}

/** Asks one model. */
export interface Asker {
  /** As `Generator` does. The streams of the requests are not to be drawn from afterwards. */
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
  let shared: Float32Array | undefined;
  const describe = (numTasks: number) => {
    if (numTasks > 1) shared ??= shareFloats(parameters);
    return { config, batchSize, parameters: shared ?? parameters, numThreads: small ? 1 : cores.count };
  };
  return {
    generate: async (requests, options) => {
      const parts = splitItems(requests, small ? cores.count : 1);
      const model = describe(parts.length);
      const answers = await cores.carryOut(
        parts.map((part) => ({
          kind: "generate",
          ...model,
          options: { maxNewTokens: options.maxNewTokens, sampling: options.sampling },
          requests: part.map(({ prompt, reference, random }) => ({
            prompt,
            reference,
            random: random.readState(),
          })),
        })),
      );
      return answers.flatMap((answer) => (answer.kind === "generate" ? answer.generations : []));
    },
    score: async (sequences, temperature) => {
      const parts = splitItems(sequences, small ? cores.count : 1);
      const model = describe(parts.length);
      const answers = await cores.carryOut(
        parts.map((part) => ({ kind: "score", ...model, temperature, sequences: part })),
      );
      return answers.flatMap((answer) => (answer.kind === "score" ? answer.scores : []));
    },
  };
}

/** Programs take multiples of so many rows: fewer for one core are hardly faster. */
const rowStep = 16;

/** One run of items after the other, as many as cores, as equal as steps allow. */
function splitItems<Item>(items: readonly Item[], count: number): readonly (readonly Item[])[] {
  return splitList(items, Math.max(1, Math.ceil(items.length / count / rowStep)) * rowStep);
}
