/**
 * Answers of the embedded engine to what it was asked before. They are found by all that they depend on: the bytes of the weights, the
 * prompts, how answers are chosen, and what computes them. So the base of several trainings is asked once, and an evaluation that was
 * stopped goes on with its next batch. Grades are not kept: they are given anew.
 */
import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { describeError, UsageError } from "../../base/core/index.ts";
import { fileExists, readSealed, type SealedText, writeSealed } from "../../base/file/index.ts";
import { listVersions } from "../../base/machine/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { Generation, ModelConfig, Policy } from "../../engine/model/index.ts";
import type { OpenPolicy } from "../../engine/parallel/index.ts";

/** Changes whenever the engine computes something else from the same weights, or entries are laid out in another way. */
export const memoryVersion = 4;

/** Whose answers they are. */
export interface MemoryOptions {
  readonly config: ModelConfig;
  readonly numThreads: number;
  readonly effects: Pick<Effects, "report" | "machine">;
}

/** The policy, which computes only what it was not asked before, and keeps it in the cache. */
export function rememberAnswers(
  policy: Pick<OpenPolicy, "backend" | "fingerprint" | "generate" | "maxPositions">,
  options: MemoryOptions,
): Policy {
  const memory = openMemory(policy, options);
  return {
    maxPositions: policy.maxPositions,
    generate: async (requests, generation) => {
      const compute = (): Promise<readonly Generation[]> => policy.generate(requests, generation);
      // What is drawn depends on streams that were drawn from before.
      if (generation.sampling.temperature !== 0) return await compute();
      const { maxNewTokens, sampling } = generation;
      const texts = requests.map(({ prompt, reference }) => ({ prompt, reference }));
      return await memory.recall({ texts, maxNewTokens, sampling }, compute);
    },
  };
}

const generationsSchema = z.array(
  z.object({
    tokens: z.array(z.number()),
    logProbs: z.array(z.number()),
    isFinished: z.boolean(),
    referenceLogProbs: z.array(z.number()).optional(),
  }),
);

interface Memory {
  /** What was kept, or else what is computed now. */
  recall(asked: unknown, compute: () => Promise<readonly Generation[]>): Promise<readonly Generation[]>;
}

/** The folder in the cache. */
export const memoryFolder = `embedded-${memoryVersion}`;

function openMemory(
  policy: Pick<OpenPolicy, "backend" | "fingerprint">,
  { config, numThreads, effects }: MemoryOptions,
): Memory {
  const weights = policy.fingerprint();
  const { report, machine } = effects;
  const folder = join(machine.cacheFolder, memoryFolder);
  const { untwist, onnxruntime } = listVersions();
  // Other processors round otherwise, and so may other numbers of threads.
  const { backend } = policy;
  const engine = { untwist, onnxruntime, backend, processor: cpus()[0]?.model, numThreads };
  let isTold = false;
  const tell = (): void => {
    if (isTold) return;
    isTold = true;
    report({ kind: "notice", text: `Answers that the same weights gave before are taken from ${folder}` });
  };
  const write = createWriter(report);
  return {
    recall: async (asked, compute) => {
      const name = createHash("sha256")
        .update(JSON.stringify([engine, config, weights, asked]))
        .digest("hex");
      const path = join(folder, name.slice(0, 2), `${name}.json`);
      const kept = await readKept(path, name, report);
      if (kept !== undefined) {
        tell();
        return generationsSchema.parse(JSON.parse(kept));
      }
      const generations = await compute();
      const text = JSON.stringify(generations);
      // JSON has no words for what is not finite.
      if (!text.includes("null")) await write(path, { name, text });
      return generations;
    },
  };
}

/** Writes entries until one cannot be written, which is told: answers that are not kept are answers nevertheless. */
function createWriter(report: Effects["report"]): (path: string, sealed: SealedText) => Promise<void> {
  let canWrite = true;
  return async (path, sealed) => {
    if (!canWrite) return;
    try {
      await writeSealed(path, sealed);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      canWrite = false;
      const text = `Answers are not kept for later: ${describeError(error)}; UNTWIST_CACHE can put the cache elsewhere`;
      report({ kind: "notice", text });
    }
  };
}

async function readKept(path: string, name: string, report: Effects["report"]): Promise<string | undefined> {
  if (!(await fileExists(path))) return undefined;
  try {
    return await readSealed(path, name);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    report({ kind: "notice", text: `Damaged cache entry made again: ${path}` });
    return undefined;
  }
}
