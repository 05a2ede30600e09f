/** Sweeps as a job: a piece for each repair; its answers, and how far the weights moved, are the result. */
import { resolve } from "node:path";
import { z } from "zod";
import type { Effects } from "../../base/progress/index.ts";
import { computePieceKey, type JobFolder, type JobPlan, type PieceHandler } from "../../cluster/job/index.ts";
import {
  isFollowed,
  itemSchema,
  type LineageEntry,
  openRunFolder,
  type RepairAnswers,
  type RunFolder,
  requireTasks,
  type SweepPlan,
  sweepSchema,
} from "../../run/index.ts";
import { answerTasks, createWorkshop } from "../answer/index.ts";
import {
  editParameters,
  listPoints,
  loadFactors,
  loadStoredModel,
  type StoredModel,
  type SweepPoint,
} from "../edit/index.ts";
import { estimateAnswering } from "../evaluation/index.ts";
import { openBackend, stampCheckpoint, stampQuestions } from "../machine/index.ts";

/** The kind of these jobs. */
export const sweepJobKind = "sweep";

const inputSchema = z.object({ run: z.string(), plan: sweepSchema, target: z.string(), source: z.string() });
const resultSchema = z.object({ moved: z.number(), items: z.array(itemSchema) });

/** Factors and parameters of both ends, a few times over. */
const bytesPerParameter = 64;

/** The job: all repairs, those included that are evaluated already, so that it stays the same job while answers come in. */
export async function planSweepJob(
  folder: RunFolder,
  points: readonly SweepPoint[],
  {
    plan,
    ends,
    numParameters,
  }: {
    readonly plan: SweepPlan;
    readonly ends: Readonly<Record<"target" | "source", LineageEntry>>;
    readonly numParameters: number;
  },
): Promise<JobPlan> {
  const tasks = requireTasks(folder);
  const [target, source] = [folder.locate(ends.target.path), folder.locate(ends.source.path)];
  const seconds = estimateAnswering(tasks, numParameters);
  const bytes = bytesPerParameter * numParameters;
  const asked = {
    run: resolve(folder.path),
    tasks,
    asking: isFollowed(folder.recipe) ? folder.recipe.asking : undefined,
    target: resolve(target),
    source: resolve(source),
    stamps: [await stampCheckpoint(target), await stampCheckpoint(source)],
    questions: await stampQuestions(tasks.environment),
  };
  return {
    kind: sweepJobKind,
    input: { ...asked, plan },
    pieces: points.map(({ name, operation }) => ({
      name,
      seconds,
      bytes,
      key: computePieceKey([asked, operation]),
    })),
  };
}

/** Carries out pieces: the target is edited in memory, and answers the tasks of its run, which is only read. */
export function openSweepPieces(given: unknown, effects: Effects): PieceHandler {
  const { run, plan, ...paths } = inputSchema.parse(given);
  let opened: Promise<Awaited<ReturnType<typeof openEnds>>> | undefined;
  return {
    carryOut: async ({ name, index }) => {
      opened ??= openEnds(run, paths, effects);
      const { models, workshop, algebra } = await opened;
      const { target, source } = models;
      const point = listPoints(plan, { target: target.tensors, source: source.tensors })[index];
      if (point?.name !== name) throw new RangeError(`Cannot find the repair ${name} in its sweep`);
      const factors = await loadFactors([point.operation], models, { algebra, effects });
      const { parameters, moved } = editParameters(point.operation, { ...models, factors }, algebra);
      return { moved, items: await answerTasks(workshop, parameters) };
    },
    close: async () => await (await opened)?.workshop.release(),
  };
}

async function openEnds(
  run: string,
  paths: { readonly target: string; readonly source: string },
  effects: Effects,
): Promise<{
  readonly models: { readonly target: StoredModel; readonly source: StoredModel };
  readonly workshop: Awaited<ReturnType<typeof createWorkshop>>;
  readonly algebra: Awaited<ReturnType<typeof openBackend>>;
}> {
  const [target, source] = [await loadStoredModel(paths.target), await loadStoredModel(paths.source)];
  const workshop = await createWorkshop(await openRunFolder(run), target, effects);
  return { models: { target, source }, workshop, algebra: await openBackend(effects.machine) };
}

/** Reads the result of a piece. */
export async function readPieceRepair(job: JobFolder, piece: number): Promise<RepairAnswers> {
  return resultSchema.parse(await job.readResult(piece));
}
