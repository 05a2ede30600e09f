/** Repair grids of a run, carried out whenever they are asked. */
import { action, UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { JobOptions } from "../../cluster/dispatch/index.ts";
import {
  openRunFolder,
  type RepairGrid,
  type RepairRecord,
  type RunFolder,
  type Summary,
  withLock,
} from "../../run/index.ts";
import {
  type AnswerSource,
  describeAssignment,
  openAnswerer,
  requireOwnServers,
  restoreFirstModel,
} from "../answer/index.ts";
import { requireSameAsking } from "../evaluation/index.ts";
import { readFinished, readOutcome } from "../outcome/index.ts";
import { runRecipeRepairs, runRepairGrid } from "./run-repair-grid.ts";

/** Who answers for the repairs, and where. */
export interface RepairRunOptions {
  readonly source: AnswerSource<"embedded" | "adapters">;
  /** Who carries it out. Default: this process. */
  readonly job?: JobOptions | undefined;
  readonly effects: Effects;
}

/**
 * Carries out repair grids on a run that has an SFT stage: the given ones, or those of its recipe. Once the run is finished, its
 * summary holds the result. Throws as `runRepairGrid`.
 */
export async function repairRun(
  path: string,
  plans: readonly RepairGrid[] | undefined,
  { source, job, effects }: RepairRunOptions,
): Promise<readonly RepairRecord[]> {
  requireOwnServers(source, job);
  const folder = await openRunFolder(path);
  return withLock(folder, async () => {
    const { trajectory } = await readOutcome(folder);
    const evaluated = await Promise.all(
      (await folder.readLineage()).map(({ id }) => folder.hasEvaluation(id)),
    );
    if (!evaluated.includes(true))
      throw new UsageError(
        `Cannot try repairs on "${path}": its checkpoints are not evaluated yet; do it with: ${action("evaluate", path)}`,
      );
    if (trajectory === null)
      throw new UsageError(
        `Cannot try repairs on "${path}": it has no SFT stage, whose peak could repair its end`,
      );
    const model = source.kind === "embedded" ? await restoreFirstModel(folder) : undefined;
    await requireSameAsking(folder, { source, model, effects, missing: [] });
    const answerer = openAnswerer(source, describeAssignment(folder), effects);
    try {
      const options = { folder, trajectory, answerer, job, effects };
      const records: RepairRecord[] = [];
      if (plans === undefined) records.push(...(await runRecipeRepairs(options)));
      else for (const plan of plans) records.push(await runRepairGrid(plan, options));
      await keepRecords(folder, records);
      return records;
    } finally {
      await answerer.close();
    }
  });
}

/** Enters repair grids into the summary of a finished run. */
async function keepRecords(folder: RunFolder, records: readonly RepairRecord[]): Promise<void> {
  if (records.length === 0) return;
  const finished = await readFinished(folder);
  if (finished !== undefined)
    await folder.writeSummary({ ...finished, repairs: mergeRecords(finished.repairs, records) });
}

/** Earlier repair grids, those of the same names replaced. */
function mergeRecords(
  before: Summary["repairs"] = [],
  records: readonly RepairRecord[],
): NonNullable<Summary["repairs"]> {
  return [...new Map([...before, ...records].map((record) => [record.name, record])).values()];
}
