/** A run as it is after its training: checkpoints of a few small tensors, and what each of them solved. */
import { join } from "node:path";
import type { Answerer, Assignment } from "../../src/lab/answer/index.ts";
import { summarize } from "../../src/lab/outcome/index.ts";
import {
  createRunFolder,
  openRunFolder,
  parseRecipe,
  type RunFolder,
  schemaVersion,
  type TrajectoryRecord,
} from "../../src/run/index.ts";
import { buildModel, writeCheckpointFolder } from "./checkpoint-folder.ts";

/** Tasks in each split. */
export const numTasks = 40;

/** What its checkpoints are asked, for answerers that are made before the run. */
export const fallenTasks = {
  splits: ["id", "ood"],
  tasks: {
    environment: "general-points",
    promptFormat: "compact",
    evaluation: { numTasks, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 1 },
  },
} as const satisfies Pick<Assignment, "splits" | "tasks">;

/** Of whom each checkpoint solves how many OOD tasks: it rises to the peak and falls. */
const oodSolved: Readonly<Record<string, number>> = { base: 10, "sft-1": 36, "sft-2": 20, "sft-3": 8 };

const recipe = `name: fallen
summary: An SFT that forgets
environment: general-points
base: general-points-base
evaluation: { numTasks: ${numTasks} }
sft:
  numSteps: 3
  batchSize: 1
  checkpoints: [1, 2, 3]
  optimizer: { learningRate: 0.01 }
`;

/** Creates the run; each checkpoint is answered for by an answerer, or by nobody. */
export async function createFallenRun(
  path: string,
  answerer?: Answerer,
): Promise<{ readonly folder: RunFolder; readonly trajectory: TrajectoryRecord | null }> {
  await createRunFolder(path, parseRecipe(recipe, "fallen.yaml"), {
    schema: schemaVersion,
    recipe: "fallen",
    seed: 1,
    numThreads: 1,
    versions: {},
  });
  const folder = await openRunFolder(path);
  let parent: string | undefined;
  for (const [step, id] of Object.keys(oodSolved).entries()) {
    const place = `checkpoints/${id}`;
    await writeCheckpointFolder(join(path, place), buildModel(id));
    if (answerer !== undefined) {
      const { items } = await answerer.answer({ kind: "checkpoint", id, path: join(path, place) });
      await folder.writeEvaluation(id, items);
    }
    const stage = step === 0 ? "base" : "sft";
    await folder.addToLineage({ id, stage, step, path: place, ...(parent !== undefined && { parent }) });
    parent = id;
  }
  return { folder, trajectory: answerer === undefined ? null : (await summarize(folder)).trajectory };
}

/** Whether a checkpoint of the run solves a task; repairs solve all. */
export function solvesFallen(id: string, split: "id" | "ood", index: number): boolean {
  return split === "id" || index < (oodSolved[id] ?? numTasks);
}
