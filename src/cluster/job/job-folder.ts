/** A job on the disk: the plan, what was submitted, and a file for every result. Result files decide what is done. */
import { randomUUID } from "node:crypto";
import { basename, join } from "node:path";
import { z } from "zod";
import { action, describeError, UsageError } from "../../base/core/index.ts";
import {
  fileExists,
  folderExists,
  listFolders,
  listNames,
  readText,
  removeFile,
  writeFileAtomic,
} from "../../base/file/index.ts";
import { type ExecutorName, executorNames, type PlacedSubmission } from "../executor/index.ts";
import { computeJobId, type JobPlan, jobPlanSchema } from "./job-plan.ts";
import type { PackGroup } from "./pack-pieces.ts";

const originSchema = z.object({
  args: z.array(z.string()),
  folder: z.string(),
  at: z.string(),
  host: z.string().optional(),
});

/** The command that made a job. */
export interface JobOrigin {
  /** Its arguments, without the program. */
  readonly args: readonly string[];
  /** Where it was given. */
  readonly folder: string;
  /** When, in ISO 8601. */
  readonly at: string;
  /** Where its scheduler is asked over ssh. */
  readonly host?: string | undefined;
}

const causeSchema = z.enum(["completed", "failed", "memory", "time", "node", "cancelled"]);
const submissionSchema = z.object({
  number: z.number(),
  executor: z.enum(executorNames),
  packs: z.array(z.array(z.number())),
  resources: z.object({ cores: z.number(), bytes: z.number(), seconds: z.number() }),
  /** By pack, how it ended. */
  ended: z.record(
    z.string(),
    z.object({
      cause: causeSchema,
      node: z.string().optional(),
      /** It was taken back, and is nobody's failure. */
      isForgiven: z.boolean().optional(),
    }),
  ),
  /** Its failures count no more: somebody asked to try again. */
  isForgiven: z.boolean(),
});

/** A submission and what became of it. */
export type KeptSubmission = z.infer<typeof submissionSchema>;

const failureSchema = z.object({ message: z.string(), isFinal: z.boolean(), node: z.string() });

/** Why a piece has no result. */
export interface Failure {
  readonly message: string;
  /** Trying again would not help: something is to be put right. */
  readonly isFinal: boolean;
  readonly node: string;
}

/** An open job folder. */
export interface JobFolder {
  readonly id: string;
  readonly path: string;
  readonly plan: JobPlan;
  readonly origin: JobOrigin;
  /** Positions of the pieces that have results. */
  listResults(): Promise<ReadonlySet<number>>;
  hasResult(piece: number): Promise<boolean>;
  /** The result of a piece, by the schema of its kind. Throws `UsageError` for a file that is not written so. */
  readResult<Value>(piece: number, schema: z.ZodType<Value>): Promise<Value>;
  /** Keeps a result, whole or not at all; a failure of before is forgotten. */
  keepResult(piece: number, value: unknown): Promise<void>;
  readFailure(piece: number): Promise<Failure | undefined>;
  keepFailure(piece: number, failure: Failure): Promise<void>;
  readSubmissions(): Promise<readonly KeptSubmission[]>;
  keepSubmission(submission: KeptSubmission): Promise<void>;
  isCancelled(): Promise<boolean>;
  /** What tells the cancellation from others; `undefined` where the job is not cancelled. */
  readCancellation(): Promise<string | undefined>;
  setCancelled(isCancelled: boolean): Promise<void>;
  /** Where a file of the job lies. */
  locate(path: string): string;
}

/** A submission of packs that nothing has become of yet. */
export function createSubmission(
  { packs, resources }: PackGroup,
  { number, executor }: { readonly number: number; readonly executor: ExecutorName },
): KeptSubmission {
  return {
    number,
    executor,
    packs: packs.map((pack) => [...pack]),
    resources: { ...resources },
    ended: {},
    isForgiven: false,
  };
}

/** Whether some of its packs are not known to have ended. */
export const isOpen = ({ packs, ended }: KeptSubmission): boolean => Object.keys(ended).length < packs.length;

/** The submission with the job that it belongs to. */
export function placeSubmission(job: JobFolder, submission: KeptSubmission): PlacedSubmission {
  return { ...submission, job: job.id, folder: job.path, made: Date.parse(job.origin.at).toString(36) };
}

/** The job of a plan among those in `home`; made where it is not there yet, as it is where it is. Throws `RangeError` for a plan without pieces. */
export async function obtainJob(
  home: string,
  { plan, origin }: { readonly plan: JobPlan; readonly origin: JobOrigin },
): Promise<JobFolder> {
  const id = computeJobId(plan);
  const known = await findJob(home, id);
  if (known !== undefined) return known;
  if (plan.pieces.length === 0) throw new RangeError("Cannot make a job: it has no pieces");
  const path = join(home, id);
  // Schedulers make files, not folders.
  await writeFileAtomic(join(path, "logs", ".keep"), "");
  await writeFileAtomic(join(path, "job.json"), `${JSON.stringify({ ...origin, ...plan })}\n`);
  return await openJob(path);
}

/** The job as another command has it now, perhaps with the plan's estimates put right; when it began stays. */
export async function renewJob(
  { path, origin: { at } }: JobFolder,
  { plan, origin }: { readonly plan: JobPlan; readonly origin: JobOrigin },
): Promise<JobFolder> {
  await writeFileAtomic(join(path, "job.json"), `${JSON.stringify({ ...origin, at, ...plan })}\n`);
  return await openJob(path);
}

/** The job of that name among those in `home`; `undefined` where there is none. */
export async function findJob(home: string, id: string): Promise<JobFolder | undefined> {
  const path = join(home, id);
  return (await fileExists(join(path, "job.json"))) ? await openJob(path) : undefined;
}

/** Opens the folder of a job. Throws `UsageError` where it is none. */
export async function openJob(path: string): Promise<JobFolder> {
  const file = join(path, "job.json");
  if (!(await fileExists(file)))
    throw new UsageError(
      `Cannot open the job "${basename(path)}": there is none; ${action("list jobs")} lists them`,
    );
  const content = parseFile(file, await readText(file), jobPlanSchema.extend(originSchema.shape));
  const { args, folder, at, host, ...plan } = content;
  return createJobFolder(path, { plan, origin: { args, folder, at, host } });
}

/** All jobs in `home`, the newest first; one that cannot be read is a problem in a sentence, and hides no other. */
export async function listJobs(
  home: string,
  onProblem: (problem: string) => void,
): Promise<readonly JobFolder[]> {
  if (!(await folderExists(home))) return [];
  const names = (await listFolders(home)).filter((name) => /^[0-9a-f]{12}$/.test(name));
  // One that is just being made, or was left half-made, has no plan yet.
  const find = async (name: string): Promise<JobFolder | undefined> => {
    try {
      return await findJob(home, name);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      onProblem(describeError(error));
      return undefined;
    }
  };
  const jobs = (await Promise.all(names.map(find))).flatMap((job) => job ?? []);
  return jobs.sort((a, b) => b.origin.at.localeCompare(a.origin.at));
}

function createJobFolder(
  path: string,
  content: { readonly plan: JobPlan; readonly origin: JobOrigin },
): JobFolder {
  const locate = (part: string): string => join(path, part);
  const cancelled = locate("cancelled");
  return {
    ...content,
    id: basename(path),
    path,
    locate,
    listResults: async () => new Set(await listNumbers(locate("results"))),
    hasResult: async (piece) => await fileExists(locate(`results/${piece}.json`)),
    readResult: async (piece, schema) => {
      const file = locate(`results/${piece}.json`);
      return parseFile(file, await readText(file), z.object({ value: schema })).value;
    },
    keepResult: async (piece, value) => {
      await writeFileAtomic(locate(`results/${piece}.json`), `${JSON.stringify({ value })}\n`);
      await removeFile(locate(`failures/${piece}.json`));
    },
    readFailure: async (piece) => {
      const file = locate(`failures/${piece}.json`);
      return (await fileExists(file)) ? parseFile(file, await readText(file), failureSchema) : undefined;
    },
    keepFailure: (piece, failure) =>
      writeFileAtomic(locate(`failures/${piece}.json`), `${JSON.stringify(failure)}\n`),
    readSubmissions: async () => {
      const numbers = [...(await listNumbers(locate("submissions")))].sort((a, b) => a - b);
      const files = numbers.map((number) => locate(`submissions/${number}.json`));
      return await Promise.all(
        files.map(async (file) => parseFile(file, await readText(file), submissionSchema)),
      );
    },
    keepSubmission: (submission) =>
      writeFileAtomic(locate(`submissions/${submission.number}.json`), `${JSON.stringify(submission)}\n`),
    isCancelled: () => fileExists(cancelled),
    readCancellation: async () => ((await fileExists(cancelled)) ? await readText(cancelled) : undefined),
    setCancelled: async (isCancelled) => {
      if (isCancelled) await writeFileAtomic(cancelled, randomUUID());
      else await removeFile(cancelled);
    },
  };
}

/**
 * Forgets failures and a cancellation, so that what is missing is tried again. Where `known` says which cancellation there was, one
 * that came since stays: whoever gave it wants the job to end.
 */
export async function forgiveJob(
  job: JobFolder,
  known?: { readonly cancellation: string | undefined },
): Promise<void> {
  for (const piece of await listNumbers(job.locate("failures")))
    await removeFile(job.locate(`failures/${piece}.json`));
  for (const submission of await job.readSubmissions())
    if (!submission.isForgiven) await job.keepSubmission({ ...submission, isForgiven: true });
  if (known === undefined || (await job.readCancellation()) === known.cancellation)
    await job.setCancelled(false);
}

async function listNumbers(folder: string): Promise<readonly number[]> {
  return (await listNames(folder)).flatMap((name) =>
    /^\d+\.json$/.test(name) ? [Number.parseInt(name, 10)] : [],
  );
}

function parseFile<Value>(file: string, text: string, schema: z.ZodType<Value>): Value {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new UsageError(`Cannot read "${file}": it is not a file of a job as untwist writes it; delete it`, {
      cause,
    });
  }
}
