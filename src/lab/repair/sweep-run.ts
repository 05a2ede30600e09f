/** Sweeps of a run, carried out whenever they are asked. */
import { setting, UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { JobPlace } from "../../cluster/dispatch/index.ts";
import { openRunFolder, type Summary, type SweepPlan, type SweepRecord, withLock } from "../../run/index.ts";
import type { AdapterWay } from "../answer/index.ts";
import { createWorkshop, restoreFirstModel } from "../answer/index.ts";
import { requireSameAsking } from "../evaluation/index.ts";
import { summarize } from "../outcome/index.ts";
import { runServedSweep } from "./run-served-sweep.ts";
import { runRecipeSweeps, runSweep } from "./run-sweep.ts";

/** Carries out a sweep on a run that has an SFT stage; once the run is finished, its summary holds the result. */
export async function sweepRun(
  path: string,
  plans: readonly SweepPlan[] | undefined,
  {
    effects,
    way,
    job,
  }: {
    readonly effects: Effects;
    readonly way?: AdapterWay | undefined;
    readonly job?: JobPlace | undefined;
  },
): Promise<readonly SweepRecord[]> {
  if (way !== undefined && job !== undefined)
    throw new UsageError(
      `Cannot sweep with both ${setting("executor")} and ${setting("loraEndpoint")}: one server answers for all repairs; leave one of them out`,
    );
  const folder = await openRunFolder(path);
  return withLock(folder, async () => {
    const finished = await folder.readSummary();
    const { trajectory } = finished ?? (await summarize(folder));
    if (trajectory === null)
      throw new UsageError(`Cannot sweep "${path}": it has no SFT stage, whose peak could repair its end`);
    const keep = async (records: readonly SweepRecord[]): Promise<readonly SweepRecord[]> => {
      if (finished !== undefined)
        await folder.writeSummary({ ...finished, repairs: mergeSweeps(finished.repairs, records) });
      return records;
    };
    if (way !== undefined) {
      const { sweeps } = folder.recipe;
      const records: SweepRecord[] = [];
      for (const plan of plans ?? (sweeps === false ? [] : sweeps))
        records.push(await runServedSweep(plan, { folder, trajectory, way, effects }));
      return await keep(records);
    }
    const model = await restoreFirstModel(folder);
    await requireSameAsking(folder, { way: { way: "embedded" }, model, effects, missing: [] });
    const workshop = await createWorkshop(folder, model, effects);
    try {
      const place = { workshop, trajectory, job };
      const records: SweepRecord[] = [];
      if (plans === undefined) records.push(...(await runRecipeSweeps(place)));
      else for (const plan of plans) records.push(await runSweep(plan, place));
      return await keep(records);
    } finally {
      await workshop.release();
    }
  });
}

/** Earlier sweeps, those of the same names replaced. */
export function mergeSweeps(
  before: Summary["repairs"] = [],
  records: readonly SweepRecord[],
): NonNullable<Summary["repairs"]> {
  return [...new Map([...before, ...records].map((record) => [record.name, record])).values()];
}
