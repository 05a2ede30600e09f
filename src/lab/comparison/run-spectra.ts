/** The spectra of a run: every checkpoint against the base, the SFT peak and the SFT end; tables beside the run. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type FolderRule, writeFileAtomic, writeFolderAtomic, writeParquet } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { carryOutJob, type JobOptions } from "../../cluster/dispatch/index.ts";
import { countWorkBytes } from "../../cluster/job/index.ts";
import {
  isFollowed,
  isPresent,
  type LineageEntry,
  type RunFolder,
  type SpectraRecord,
  schemaVersion,
  type TrajectoryRecord,
} from "../../run/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import {
  createTables,
  describePair,
  flagShrinking,
  type PairSpectra,
  type SpectraSettings,
  spectraVersion,
  type TensorLabel,
  tableNames,
} from "../../weights/spectra/index.ts";
import { openBackend } from "../machine/index.ts";
import { computeSpectra, type SpectraRequest } from "./compute-spectra.ts";
import { planSpectraJob, readKnownFingerprints } from "./spectra-job.ts";
import type { NamedCheckpoint } from "./spectra-pairs.ts";

/** Ranks of the subspaces of two checkpoints that are compared unless others are asked for. */
export const defaultRanks: readonly number[] = [8, 32, 128];

/** Which tensors, and how. */
export interface SpectraChoice {
  readonly settings: SpectraSettings;
  readonly isWanted: (label: TensorLabel) => boolean;
  /** Default: in this process. */
  readonly place?: JobOptions | undefined;
  /** Memory for the work in this process. Default: 1 GiB. */
  readonly bytes?: number | undefined;
}

/** Spectra in this process, or by a job whose results this process puts together. */
async function computeAnywhere(
  { place, bytes, ...request }: SpectraRequest & Pick<SpectraChoice, "place" | "bytes">,
  effects: Effects,
): Promise<{ readonly pairs: readonly PairSpectra[]; readonly backend: LinearAlgebra["name"] }> {
  const cores = availableParallelism();
  const share = bytes === undefined ? {} : { share: { cores, bytes: countWorkBytes({ bytes }) } };
  // Where there is nothing to compare, there is nothing to hand over.
  if (place === undefined || request.pairs.length === 0)
    return {
      pairs: await computeSpectra({ ...request, ...share }, effects),
      backend: (await openBackend(effects.machine)).name,
    };
  const known = await readKnownFingerprints(
    await carryOutJob(await planSpectraJob(request, effects.machine), place, effects),
  );
  return { pairs: await computeSpectra({ ...request, known }, effects), backend: known.backend };
}

/** Compares two checkpoint folders. Throws as `computeSpectra`. */
export async function compareCheckpoints(
  { before, after }: { readonly before: string; readonly after: string },
  choice: SpectraChoice,
  effects: Effects,
): Promise<PairSpectra> {
  const pair = { before: { name: before, folder: before }, after: { name: after, folder: after } };
  const request = { ...choice, pairs: [pair] };
  const {
    pairs: [compared],
  } = await computeAnywhere(request, effects);
  if (compared === undefined) throw new Error("Cannot compare checkpoints: there is no result");
  return compared;
}

/** Which checkpoints of a run are compared. */
interface Milestones {
  readonly lineage: readonly LineageEntry[];
  readonly trajectory: Pick<TrajectoryRecord, "peak" | "sftEnd"> | null;
}

/** Two checkpoints of a run. */
interface LineagePair {
  readonly before: LineageEntry;
  readonly after: LineageEntry;
}

/**
 * Pairs of a run: each checkpoint with the base, each later one with the SFT peak, each RL one with the SFT end and with
 * the SFT checkpoint that it grew from. None twice.
 */
export function listRunPairs({ lineage, trajectory }: Milestones): readonly LineagePair[] {
  const [base, ...others] = lineage;
  if (base === undefined) return [];
  const find = (id: string | undefined): LineageEntry | undefined => lineage.find((entry) => entry.id === id);
  const [peak, end] = [find(trajectory?.peak.checkpoint), find(trajectory?.sftEnd.checkpoint)];
  const isRl = ({ stage }: LineageEntry): boolean => stage === "rl";
  const isLater = (entry: LineageEntry): boolean =>
    isRl(entry) || (entry.stage === "sft" && entry.step > (peak?.step ?? 0));
  const findStart = (entry: LineageEntry): LineageEntry | undefined => {
    const parent = find(entry.parent);
    return parent !== undefined && isRl(parent) ? findStart(parent) : parent;
  };
  const compare = (before: LineageEntry | undefined, after: LineageEntry): readonly LineagePair[] =>
    before === undefined ? [] : [{ before, after }];
  const pairs = [
    ...others.flatMap((after) => compare(base, after)),
    ...others.filter(isLater).flatMap((after) => compare(peak, after)),
    ...others.filter(isRl).flatMap((after) => [...compare(end, after), ...compare(findStart(after), after)]),
  ];
  return [...new Map(pairs.map((pair) => [`${pair.before.id} ${pair.after.id}`, pair])).values()];
}

/** The spectra of a run: every pair, and what goes into its summary. */
export interface RunSpectra {
  readonly pairs: readonly PairSpectra[];
  readonly record: SpectraRecord;
}

/** Computes the spectra of a run; writes nothing but the cache. Throws as `computeSpectra`. */
export async function computeRunSpectra(
  folder: RunFolder,
  {
    trajectory,
    choice,
  }: {
    readonly trajectory: Milestones["trajectory"];
    readonly choice: SpectraChoice;
  },
  effects: Effects,
): Promise<RunSpectra> {
  const lineage = await listPresent(folder, effects);
  const name = ({ id, path }: LineageEntry): NamedCheckpoint => ({ name: id, folder: folder.locate(path) });
  const pairs = listRunPairs({ lineage, trajectory }).map(({ before, after }) => ({
    before: name(before),
    after: name(after),
  }));
  const request = { ...choice, pairs };
  const parents = new Map(lineage.map(({ id, parent }) => [id, parent]));
  const { pairs: plain, backend } = await computeAnywhere(request, effects);
  const compared = flagShrinking(plain, parents);
  const record: SpectraRecord = {
    schema: schemaVersion,
    backend,
    ranks: [...choice.settings.ranks],
    pairs: compared.map((pair) => roundNumbers(describePair(pair))),
  };
  return { pairs: compared, record };
}

/** The lineage; of a followed run without what its trainer has deleted, which is reported. */
async function listPresent(folder: RunFolder, { report }: Effects): Promise<readonly LineageEntry[]> {
  const lineage = await folder.readLineage();
  if (!isFollowed(folder.recipe)) return lineage;
  const present = await Promise.all(lineage.map(({ path }) => isPresent(folder.locate(path))));
  const gone = lineage.filter((_, index) => !present[index]).map(({ id }) => id);
  if (gone.length > 0)
    report({ kind: "notice", text: `Left out, as their folders are gone: ${gone.join(", ")}` });
  return lineage.filter((_, index) => present[index]);
}

/** Writes the spectra of a run into its folder `spectra`: Parquet tables and spectra.json. */
export async function keepRunSpectra(folder: RunFolder, { pairs, record }: RunSpectra): Promise<void> {
  await writeSpectra(folder.locate("spectra"), pairs, record, { whenTaken: "replace" });
}

/** Writes a folder of spectra, whole or not at all: the tables, and the record as spectra.json. */
export async function writeSpectra(
  path: string,
  pairs: readonly PairSpectra[],
  record: unknown,
  rule?: FolderRule,
): Promise<void> {
  const tables = createTables(pairs);
  const fill = async (temporary: string): Promise<void> => {
    await writeFileAtomic(join(temporary, "spectra.json"), `${JSON.stringify(record, null, 2)}\n`);
    for (const table of tableNames)
      await writeParquet(join(temporary, `${table}.parquet`), tables[table], {
        metadata: { "untwist.spectra": String(spectraVersion) },
      });
  };
  await writeFolderAtomic(path, fill, rule);
}

/** Digits of a summary's numbers: what different backends agree on. */
const numDigits = 6;

/** The same value with all numbers rounded, so that a summary does not depend on the last bits. */
function roundNumbers<Value>(value: Value): Value {
  return JSON.parse(
    JSON.stringify(value, (_, part: unknown) =>
      typeof part === "number" && !Number.isInteger(part) ? Number(part.toPrecision(numDigits)) : part,
    ),
  ) as Value;
}
