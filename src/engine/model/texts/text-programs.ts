/** What texts are computed with: kernels, and programs for the weights that lie in their memory. */
import { takeTurns } from "../../../base/machine/index.ts";
import { type Kernels, planProgram, type Tensor } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { DecodeProgram } from "../generation/decode-step.ts";
import { type ChunkSize, chunkOutputs, decodeOutputs } from "../generation/generation-programs.ts";
import { createProgramCache, type ProgramCache } from "../program-cache.ts";
import type { Text } from "./text.ts";
import type { PooledWeights, WeightPool } from "./weight-pool.ts";

/** Kernels that were set up for models of one config. */
export interface TextComputer {
  readonly config: ModelConfig;
  readonly kernels: Kernels;
  readonly pool: WeightPool;
  /** Programs for each way in which weights are stored, by the names of those that are halves. */
  readonly programs: Map<string, TextPrograms>;
  /** What was read last, until its memory is needed. */
  lastRead?: ReadText | undefined;
}

/** A prompt that was read, and what was computed of it. */
export interface ReadText {
  readonly weights: PooledWeights;
  readonly text: Text;
  readonly tokens: readonly number[];
  readonly C: number;
  /** Of one text. */
  readonly cache: Readonly<Record<string, Float32Array>>;
}

/** Gives the memory up of what was read last. */
export function forgetRead(computer: Pick<TextComputer, "kernels" | "lastRead">): void {
  const { kernels, lastRead } = computer;
  computer.lastRead = undefined;
  for (const array of Object.values(lastRead?.cache ?? {})) kernels.memory.free(array);
}

/** Programs for models whose weights are stored alike. */
export interface TextPrograms {
  readonly chunk: ProgramCache<DecodeProgram, ChunkSize>;
  readonly decode: ProgramCache<DecodeProgram>;
}

/** Programs that are kept of a kind. */
const mostPrograms = 24;

/** The programs for such weights. */
export function findPrograms(
  { config, kernels, programs }: TextComputer,
  { halves }: Pick<PooledWeights, "halves">,
): TextPrograms {
  const key = [...halves].join();
  const plan = async (outputs: Readonly<Record<string, Tensor>>): Promise<DecodeProgram> => {
    const program = planProgram(outputs, kernels, { halves });
    return {
      run: async (feeds) => {
        const results = program.run(feeds);
        // A run leaves none to others.
        await takeTurns();
        return results;
      },
      release: async () => program.release(),
    };
  };
  const most = mostPrograms;
  const found = programs.get(key) ?? {
    chunk: createProgramCache((size: ChunkSize) => plan(chunkOutputs(config, size)), { most }),
    decode: createProgramCache(({ B, T: C }) => plan(decodeOutputs(config, B, C)), { most }),
  };
  programs.set(key, found);
  return found;
}
