/**
 * The run folder, the single source of truth about it. Everything in it is written whole or not at all, so a
 * run that was killed continues from what is there.
 */
import { isAbsolute, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { stringify } from "yaml";
import { describeError, setting, toObject, UsageError } from "../base/core/index.ts";
import {
  ensureWritableFolder,
  fileExists,
  folderExists,
  isEmptyFolder,
  openJsonLines,
  readJsonLines,
  readText,
  removeFile,
  removeTemporaries,
  TakenError,
  truncateJsonLines,
  writeFileAtomic,
  writeFileIfChanged,
  writeFolderAtomic,
} from "../base/file/index.ts";
import { parseRunRecipe, type RunRecipe } from "./recipe/recipe.ts";
import { names, parseRecord, readRecord, writeJson } from "./record-file.ts";
import {
  type ItemRecord,
  type LineageEntry,
  type RepairAnswers,
  type RepairRecord,
  type RunRecord,
  recordSchemas,
  type Summary,
  schemaVersion,
} from "./records.ts";
import { requireRunFolder } from "./run-outline.ts";

/** The file that is there while a run is watched. */
export const watchLockName = "watch.lock";

/** Writes the metrics of one stage, one line per step. */
export interface MetricsWriter {
  append(metrics: Readonly<Record<string, unknown>>): Promise<void>;
  /** Forces all lines to the disk: they must not be older than a saved training state. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** An open run folder. */
export interface RunFolder {
  readonly path: string;
  readonly record: RunRecord;
  readonly recipe: RunRecipe;
  /** Checkpoints that are complete, in the order in which they were made: saved, and evaluated too where we trained. */
  readLineage(): Promise<readonly LineageEntry[]>;
  addToLineage(entry: LineageEntry): Promise<void>;
  /** Replaces the lineage of a run that follows another trainer. */
  writeLineage(entries: readonly LineageEntry[]): Promise<void>;
  /** Replaces what a run that follows another trainer was asked; the handle keeps the old one. */
  writeRecipe(recipe: RunRecipe): Promise<void>;
  /** The path of something inside the run; an absolute path, as of a followed checkpoint, stays as it is. */
  locate(place: string): string;
  hasEvaluation(checkpoint: string): Promise<boolean>;
  writeEvaluation(checkpoint: string, items: readonly ItemRecord[]): Promise<void>;
  readEvaluation(checkpoint: string): Promise<readonly ItemRecord[]>;
  /** The metrics of a stage, continued after step `lastStep`; later lines of an interrupted run are dropped. */
  openMetrics(stage: string, lastStep: number): Promise<MetricsWriter>;
  /** Replaces the metrics of a stage that another trainer logged. */
  writeMetrics(stage: string, lines: readonly Readonly<Record<string, unknown>>[]): Promise<void>;
  readMetrics(stage: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  addTiming(name: string, ms: number): Promise<void>;
  /** Seconds by name, summed over all processes that worked on the run. */
  readTimings(): Promise<Readonly<Record<string, number>>>;
  /** Where the training state of an unfinished stage is kept. */
  locateState(stage: string): string;
  removeState(stage: string): Promise<void>;
  /** Whether a repair of a repair grid was evaluated; `key` names its file. */
  hasRepair(grid: string, key: string): Promise<boolean>;
  writeRepair(grid: string, key: string, answers: RepairAnswers): Promise<void>;
  readRepair(grid: string, key: string): Promise<RepairAnswers>;
  writeRepairRecord(record: RepairRecord): Promise<void>;
  writeSummary(summary: Summary): Promise<void>;
  /** A JSON object that lies beside the run's own files, or `undefined` where it is not there or damaged. */
  readExtra(name: string): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Whether checkpoints of another trainer are being watched for: more may come. */
  isWatched(): Promise<boolean>;
  /** The summary, or `undefined` while the run is not finished. */
  readSummary(): Promise<Summary | undefined>;
}

/**
 * Makes a new run folder. Throws `TakenError` where the folder holds anything, as a run that was started together with this
 * one, and `UsageError` where it cannot be written; nothing is written then.
 */
export async function createRunFolder(
  path: string,
  recipe: RunRecipe,
  record: RunRecord,
): Promise<RunFolder> {
  const fill = async (folder: string): Promise<void> => {
    await writeFileAtomic(join(folder, names.recipe), stringify(recipe));
    await writeJson(join(folder, names.lineage), { schema: schemaVersion, checkpoints: [] });
    await writeJson(join(folder, names.run), record);
  };
  const isTaken = async (): Promise<boolean> => (await folderExists(path)) && !(await isEmptyFolder(path));
  const refuse = (cause?: unknown): never => {
    const problem = `the folder is not empty; choose another ${setting("out")}, or add ${setting("resume")} to continue a run`;
    throw new TakenError(`Cannot start a run in "${path}": ${problem}`, { cause });
  };
  if (await isTaken()) refuse();
  // The folder appears as a whole: a run that is killed here leaves none that is neither free nor a run.
  await writeFolderAtomic(path, fill, { whenTaken: "refuse" }).catch(async (error: unknown) => {
    // Of runs that start together one has the folder.
    if (error instanceof TakenError && (await isTaken())) refuse(error);
    throw error;
  });
  const folder = await openRunFolder(path);
  if (!isDeepStrictEqual(toStored([folder.record, folder.recipe]), toStored([record, recipe]))) refuse();
  return folder;
}

/** A value as it is read again from a file. */
function toStored(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Opens a run folder to read it. Throws `UsageError` where there is none or its files are malformed. */
export async function openRunFolder(path: string): Promise<RunFolder> {
  await requireRunFolder(path);
  const record = await readRecord(join(path, names.run), recordSchemas.run);
  const recipePath = join(path, names.recipe);
  const recipe = parseRunRecipe(await readText(recipePath), recipePath);
  return createHandle(path, record, recipe);
}

/** Puts right what interrupted writes have left. Only for the process that holds the run. */
export async function clearLeftovers({ path }: RunFolder): Promise<void> {
  await ensureWritableFolder(path);
  await removeTemporaries(path);
}

function createHandle(path: string, record: RunRecord, recipe: RunRecipe): RunFolder {
  const locate = (place: string): string => (isAbsolute(place) ? place : join(path, place));
  const evaluationPath = (checkpoint: string): string => locate(`evaluations/${checkpoint}.jsonl`);
  const repairPath = (grid: string, key: string): string => locate(`repairs/${grid}/answers/${key}.json`);
  const locateState = (stage: string): string => locate(`state/${stage}.safetensors`);
  const readLineage = async (): Promise<readonly LineageEntry[]> =>
    (await readRecord(locate(names.lineage), recordSchemas.lineage)).checkpoints;
  const writeLineage = (checkpoints: readonly LineageEntry[]): Promise<void> =>
    writeJson(locate(names.lineage), { schema: schemaVersion, checkpoints });
  return {
    path,
    record,
    recipe,
    locate,
    locateState,
    readLineage,
    writeLineage,
    writeRecipe: (next) => writeFileIfChanged(locate(names.recipe), stringify(next)),
    addToLineage: async (entry) => {
      const checkpoints = [...(await readLineage()).filter(({ id }) => id !== entry.id), entry];
      await writeLineage(checkpoints);
    },
    hasEvaluation: (checkpoint) => fileExists(evaluationPath(checkpoint)),
    writeEvaluation: (checkpoint, items) =>
      writeFileAtomic(evaluationPath(checkpoint), items.map((item) => `${JSON.stringify(item)}\n`).join("")),
    readEvaluation: async (checkpoint) => {
      const file = evaluationPath(checkpoint);
      return (await readLines(file)).map((line) => parseRecord(line, file, recordSchemas.item));
    },
    ...createMetricsHandle((stage) => locate(`metrics/${stage}.jsonl`)),
    addTiming: async (name, ms) => {
      const writer = await openJsonLines(locate(names.timings));
      await writer.append({ name, ms });
      await writer.close();
    },
    readTimings: () => readTimings(locate(names.timings)),
    removeState: (stage) => removeFile(locateState(stage)),
    hasRepair: (grid, key) => fileExists(repairPath(grid, key)),
    writeRepair: (grid, key, answers) =>
      writeFileAtomic(repairPath(grid, key), `${JSON.stringify(answers)}\n`),
    readRepair: (grid, key) => readRecord(repairPath(grid, key), recordSchemas.repair),
    writeRepairRecord: (record) => writeJson(locate(`repairs/${record.name}/record.json`), record),
    writeSummary: (summary) => writeJson(locate(names.summary), summary),
    readExtra: (name) => readExtra(locate(name)),
    isWatched: () => fileExists(locate(watchLockName)),
    readSummary: async () => {
      const file = locate(names.summary);
      return (await fileExists(file)) ? readRecord(file, recordSchemas.summary) : undefined;
    },
  };
}

function createMetricsHandle(
  locateMetrics: (stage: string) => string,
): Pick<RunFolder, "openMetrics" | "writeMetrics" | "readMetrics"> {
  return {
    openMetrics: async (stage, lastStep) => {
      const file = locateMetrics(stage);
      if (await fileExists(file)) {
        await readLines(file);
        await truncateJsonLines(file, (line) => readStep(line) <= lastStep);
      }
      return openJsonLines(file);
    },
    writeMetrics: (stage, lines) =>
      writeFileIfChanged(locateMetrics(stage), lines.map((line) => `${JSON.stringify(line)}\n`).join("")),
    readMetrics: async (stage) => {
      const file = locateMetrics(stage);
      return (await fileExists(file)) ? (await readLines(file)).map(toObject) : [];
    },
  };
}

async function readExtra(file: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (!(await fileExists(file))) return undefined;
  try {
    return toObject(JSON.parse(await readText(file)));
  } catch {
    return undefined;
  }
}

async function readTimings(file: string): Promise<Readonly<Record<string, number>>> {
  const seconds: Record<string, number> = {};
  if (!(await fileExists(file))) return seconds;
  for (const line of (await readLines(file)).map(toObject)) {
    const { name, ms } = line;
    if (typeof name === "string" && typeof ms === "number") seconds[name] = (seconds[name] ?? 0) + ms / 1000;
  }
  return Object.fromEntries(
    Object.entries(seconds).map(([name, value]) => [name, Math.round(value * 10) / 10]),
  );
}

/** The values of a JSON-lines file. Throws `UsageError` for a malformed line. */
async function readLines(file: string): Promise<readonly unknown[]> {
  try {
    return await readJsonLines(file);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new UsageError(`${describeError(cause)}; restore the file or start the run again`, { cause });
  }
}

function readStep(line: unknown): number {
  const { step } = toObject(line);
  return typeof step === "number" ? step : Number.POSITIVE_INFINITY;
}
