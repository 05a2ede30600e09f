/** Evaluations as a job: a piece for each checkpoint of a run; its answers are the result. */
import { resolve } from "node:path";
import { z } from "zod";
import { requireValue } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { interfaces } from "../../bridge/endpoint/index.ts";
import { computePieceKey, type JobFolder, type JobPlan, type PieceHandler } from "../../cluster/job/index.ts";
import { loadModel, type Model } from "../../engine/model/index.ts";
import {
  type AskedTasks,
  type ItemRecord,
  isFollowed,
  itemSchema,
  type LineageEntry,
  openRunFolder,
  type RunFolder,
  requireTasks,
} from "../../run/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import {
  answerTasks,
  askCheckpoint,
  createWorkshop,
  reportNotFinite,
  type ServeWay,
  withServer,
} from "../answer/index.ts";
import { measureCheckpoint, stampCheckpoint, stampQuestions } from "../machine/index.ts";
import type { EmbeddedWay } from "./settle-tasks.ts";

/** The kind of these jobs. */
export const evaluationJobKind = "evaluation";

/** Ways to answers that need nothing but the checkpoint. */
export type StandaloneWay = EmbeddedWay | ServeWay;

const askingSchema = z.object({
  api: z.enum(interfaces),
  temperature: z.number(),
  fields: z.record(z.string(), z.unknown()),
  concurrency: z.number(),
  timeoutMs: z.number(),
  maxTries: z.number(),
  apiKeyEnv: z.string().optional(),
  judge: z.object({ url: z.string(), model: z.string(), apiKeyEnv: z.string().optional() }).optional(),
});
const waySchema = z.discriminatedUnion("way", [
  z.object({ way: z.literal("embedded") }),
  z.object({ way: z.literal("serve"), template: z.string(), startMs: z.number(), asking: askingSchema }),
]);
const inputSchema = z.object({ run: z.string(), paths: z.record(z.string(), z.string()), way: waySchema });
const resultSchema = z.object({ ms: z.number(), items: z.array(itemSchema) });

/** What a server's checkpoint is allowed for in the estimate: it has to be loaded, and is larger than ours. */
const servedSeconds = 1800;

/** What a server takes beside its checkpoint, which passes through memory on its way to a GPU. */
const serverBytes = 4 * 2 ** 30;

/** Multiplications of the embedded engine in a second of one core, beside other work. */
const multiplicationsPerSecond = 2e9;

/**
 * The job: all checkpoints, those included that are evaluated already, so that it stays the same job while answers come in.
 * `model` is any of them, where the embedded engine answers.
 */
export async function planEvaluationJob(
  folder: RunFolder,
  entries: readonly LineageEntry[],
  { way, model }: { readonly way: StandaloneWay; readonly model: Model | undefined },
): Promise<JobPlan> {
  const tasks = requireTasks(folder);
  const numParameters = model?.parameters.length ?? 0;
  const seconds = way.way === "serve" ? servedSeconds : estimateAnswering(tasks, numParameters);
  const stamps = await Promise.all(
    entries.map(async ({ id, path }) => [id, await stampCheckpoint(folder.locate(path))] as const),
  );
  const paths = new Map(entries.map(({ id, path }) => [id, resolve(folder.locate(path))]));
  const stampById = new Map(stamps);
  const asked = {
    run: resolve(folder.path),
    tasks,
    asking: isFollowed(folder.recipe) ? folder.recipe.asking : undefined,
    questions: await stampQuestions(tasks.environment),
    way: way.way === "embedded" ? { way: way.way } : way,
  };
  const countBytes = async (path: string): Promise<number> =>
    way.way === "serve" ? serverBytes + (await measureCheckpoint(path)) : 16 * numParameters;
  return {
    kind: evaluationJobKind,
    input: { ...asked, paths: Object.fromEntries(paths), stamps: Object.fromEntries(stamps) },
    pieces: await Promise.all(
      entries.map(async ({ id, path }) => ({
        name: id,
        seconds,
        bytes: await countBytes(folder.locate(path)),
        key: computePieceKey([asked, paths.get(id), stampById.get(id)]),
      })),
    ),
  };
}

/** Seconds that a model of the embedded engine takes for a run's tasks. */
export function estimateAnswering({ evaluation }: AskedTasks, numParameters: number): number {
  const { numTasks, numAttempts, maxNewTokens } = evaluation;
  const numTokens = splits.length * numTasks * numAttempts * maxNewTokens;
  return 2 + (2 * numParameters * numTokens) / multiplicationsPerSecond;
}

/** Carries out pieces: checkpoints answer the tasks of their run, where servers' answers are kept as they come. */
export function openEvaluationPieces(given: unknown, effects: Effects): PieceHandler {
  const { run, paths, way } = inputSchema.parse(given);
  const pathOf = new Map(Object.entries(paths));
  return {
    carryOut: async ({ name }) => {
      const startMs = effects.now();
      const [folder, path] = [await openRunFolder(run), requireValue(pathOf, name)];
      const items =
        way.way === "embedded"
          ? await answerEmbedded(folder, { checkpoint: name, path }, effects)
          : await answerServed(folder, { checkpoint: name, path, way }, effects);
      return { ms: effects.now() - startMs, items };
    },
    close: async () => undefined,
  };
}

async function answerServed(
  folder: RunFolder,
  { checkpoint, path, way }: { readonly checkpoint: string; readonly path: string; readonly way: ServeWay },
  effects: Effects,
): Promise<readonly ItemRecord[]> {
  return await withServer(way, path, effects, (server) =>
    askCheckpoint(folder, checkpoint, { path, choice: { ...way.asking, ...server }, effects }),
  );
}

async function answerEmbedded(
  folder: RunFolder,
  { checkpoint, path }: { readonly checkpoint: string; readonly path: string },
  effects: Effects,
): Promise<readonly ItemRecord[]> {
  const model = await loadModel(path);
  reportNotFinite(model.parameters, { checkpoint, report: effects.report });
  const workshop = await createWorkshop(folder, model, effects);
  try {
    return await answerTasks(workshop, model.parameters);
  } finally {
    await workshop.release();
  }
}

/** What a piece of an evaluation came to. */
export interface PieceEvaluation {
  readonly ms: number;
  readonly items: readonly ItemRecord[];
}

/** Reads the result of a piece. */
export async function readPieceEvaluation(job: JobFolder, piece: number): Promise<PieceEvaluation> {
  return resultSchema.parse(await job.readResult(piece));
}
