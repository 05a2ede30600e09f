/** A run in a list: the few fields that lists show, read without the rest, as a folder may hold hundreds of runs. */
import { join } from "node:path";
import { z } from "zod";
import { UsageError } from "../base/core/index.ts";
import { fileExists } from "../base/file/index.ts";
import { names, readRecord } from "./record-file.ts";
import { statisticsVersion } from "./statistics-version.ts";

const runSchema = z.object({ recipe: z.string(), seed: z.number() });
const lineageSchema = z.object({ checkpoints: z.array(z.unknown()) });
const countSchema = z.object({ correct: z.number(), total: z.number() });
const oodSchema = z.object({ ood: countSchema });
const estimateSchema = z.object({ estimate: z.number(), low: z.number(), high: z.number() });
const summarySchema = z.object({
  recipe: z.string(),
  seed: z.number(),
  checkpoints: z.array(z.unknown()),
  statistics: z.number().optional(),
  /** Null where there is no SFT stage to speak of. */
  trajectory: z
    .object({
      peak: oodSchema,
      peakAccuracy: countSchema.optional(),
      sftEnd: oodSchema,
      forgetting: estimateSchema.nullish(),
      /** Why forgetting cannot be judged. */
      unjudgedBecause: z.string().optional(),
      recovery: z.object({ estimate: z.number() }).nullish(),
    })
    .nullable(),
});

/** What a list shows of a summary. */
export type SummaryOutline = z.infer<typeof summarySchema>;

/** A run as far as a list shows it. */
export interface RunOutline {
  readonly recipe: string;
  readonly seed: number;
  readonly numCheckpoints: number;
  /** Absent while the run is not finished. */
  readonly summary?: SummaryOutline;
}

/** Whether the folder holds a run. */
export async function isRunFolder(path: string): Promise<boolean> {
  return fileExists(join(path, names.run));
}

/** Throws `UsageError` where the folder holds no run. */
export async function requireRunFolder(path: string): Promise<void> {
  if (!(await isRunFolder(path)))
    throw new UsageError(
      `Cannot open the run "${path}": there is no ${names.run} in it; give the folder of a run`,
    );
}

/** Reads what lists show of a run. Throws `UsageError` where there is none or one of the files that say so is malformed. */
export async function readRunOutline(path: string): Promise<RunOutline> {
  await requireRunFolder(path);
  const { recipe, seed } = await readRecord(join(path, names.run), runSchema);
  const { checkpoints } = await readRecord(join(path, names.lineage), lineageSchema);
  const summary = await readSummaryOutline(path);
  return { recipe, seed, numCheckpoints: checkpoints.length, ...(summary !== undefined && { summary }) };
}

/** What a list shows of a finished run's summary, or `undefined` while the run is not finished. */
export async function readSummaryOutline(path: string): Promise<SummaryOutline | undefined> {
  const file = join(path, names.summary);
  if (!(await fileExists(file))) return undefined;
  const summary = await readRecord(file, summarySchema);
  if (summary.trajectory === null || summary.statistics === statisticsVersion) return summary;
  // What another version computed in another way stands beside no numbers of this one.
  const { peak, sftEnd } = summary.trajectory;
  return { ...summary, trajectory: { peak, sftEnd } };
}
