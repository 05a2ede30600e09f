/** Results of other evaluation tools become the evaluations of a followed run. */
import { basename } from "node:path";
import { setting, UsageError } from "../../base/core/index.ts";
import { findFiles, writeFileAtomic } from "../../base/file/index.ts";
import {
  chooseResults,
  type ImportChoice,
  type ImportedItem,
  readResults,
  sortItems,
  toEvaluated,
} from "../../bridge/interchange/index.ts";
import {
  evaluationSchema,
  findTasks,
  importedEnvironment,
  importedTasksName,
  isFollowed,
  type LineageEntry,
  openRunFolder,
  type RunFolder,
  type Summary,
  withLock,
} from "../../run/index.ts";
import { type Split, splits } from "../../tasks/environment/index.ts";
import { readFinished, renewSummary } from "../outcome/index.ts";

/** Where the results of each checkpoint are: paths in which `{step}`, `{id}` or `{name}` stand for the checkpoint. */
export interface ImportRequest {
  readonly id: string;
  readonly ood: string;
  readonly choice: ImportChoice;
}

/** A file that was read, and what of it. */
export interface ImportSource {
  readonly checkpoint: string;
  readonly split: Split;
  readonly path: string;
  readonly task?: string | undefined;
  readonly filter?: string | undefined;
  readonly metric: string;
  readonly numQuestions: number;
  /** Answers of each question: epochs, repeats or samples. */
  readonly numSamples: number;
}

/** What was imported. */
export interface ImportReport {
  readonly folder: RunFolder;
  readonly summary: Summary;
  readonly imported: readonly string[];
  /** Checkpoints without results. */
  readonly missing: readonly string[];
  readonly sources: readonly ImportSource[];
}

/**
 * Reads the results of every checkpoint of a followed run. Throws `UsageError` where they are malformed, belong to different
 * questions, or the run was asked something itself; nothing is kept then.
 */
export async function importResults(path: string, request: ImportRequest): Promise<ImportReport> {
  const folder = await openRunFolder(path);
  return await withLock(folder, async () => {
    const { recipe } = folder;
    const settled = findTasks(recipe)?.environment;
    if (!isFollowed(recipe) || (settled !== undefined && settled !== importedEnvironment))
      throw new UsageError(
        `Cannot import into "${path}": its checkpoints are evaluated by untwist; follow them into another run`,
      );
    const { read, missing } = await readCheckpoints(folder, request);
    const [first] = read;
    if (first === undefined) throw await describeAbsence(folder, request);
    requireGroups(first, request);
    for (const one of read) requireSameQuestions(one, first);
    for (const id of missing)
      if (await folder.hasEvaluation(id))
        throw new UsageError(
          `Cannot import into "${path}": ${id} has results from before and none among these; follow the checkpoints into another run`,
        );
    await keep(folder, read);
    await renewSummary(await openRunFolder(path));
    const summary = await readFinished(folder);
    if (summary === undefined) throw new Error("Cannot import: there is no summary");
    const sources = read.flatMap((one) => one.sources);
    return { folder, summary, imported: read.map(({ entry }) => entry.id), missing, sources };
  });
}

interface ReadCheckpoint {
  readonly entry: LineageEntry;
  /** Sorted by their keys. */
  readonly items: Readonly<Record<Split, readonly ImportedItem[]>>;
  readonly sources: readonly ImportSource[];
}

async function readCheckpoints(
  folder: RunFolder,
  request: ImportRequest,
): Promise<{ readonly read: readonly ReadCheckpoint[]; readonly missing: readonly string[] }> {
  const read: ReadCheckpoint[] = [];
  const missing: string[] = [];
  for (const entry of await folder.readLineage()) {
    const files = { id: await findResults(request.id, entry), ood: await findResults(request.ood, entry) };
    if (files.id.length === 0 || files.ood.length === 0) {
      missing.push(entry.id);
      continue;
    }
    const [id, ood] = [
      await readSplit({ entry, split: "id", paths: files.id }, request.choice),
      await readSplit({ entry, split: "ood", paths: files.ood }, request.choice),
    ];
    read.push({
      entry,
      items: { id: id.items, ood: ood.items },
      sources: [...id.sources, ...ood.sources],
    });
  }
  return { read, missing };
}

/** The questions of all tasks that some files hold; where there are several, their names tell equal questions apart. */
async function readSplit(
  {
    entry,
    split,
    paths,
  }: { readonly entry: LineageEntry; readonly split: Split; readonly paths: readonly string[] },
  choice: ImportChoice,
): Promise<{ readonly items: readonly ImportedItem[]; readonly sources: readonly ImportSource[] }> {
  const items: ImportedItem[] = [];
  const sources: ImportSource[] = [];
  const chosen = await chooseResults(paths);
  for (const { task, path } of chosen) {
    const results = await readResults(path, choice);
    const sorted = sortItems(results.items, path);
    items.push(...(chosen.length === 1 ? sorted : sorted.map((item) => nameByTask(item, task))));
    sources.push({
      checkpoint: entry.id,
      split,
      path,
      ...(task !== undefined && { task }),
      ...(results.filter !== undefined && { filter: results.filter }),
      metric: results.metric,
      numQuestions: sorted.length,
      numSamples: Math.max(1, ...sorted.map(({ samples }) => samples.total)),
    });
  }
  return { items, sources };
}

/** Questions and groups of several tasks may have the same names. */
function nameByTask({ key, group, ...rest }: ImportedItem, task: string | undefined): ImportedItem {
  return { ...rest, key: `${task} ${key}`, ...(group !== undefined && { group: `${task} ${group}` }) };
}

/** Throws `UsageError` where all OOD questions are of one group: halves could not be cut. */
function requireGroups({ entry, items }: ReadCheckpoint, { ood, choice }: ImportRequest): void {
  const [first] = items.ood;
  if (first?.group !== undefined && items.ood.every(({ group }) => group === first.group))
    throw new UsageError(
      `Cannot import "${ood}": all OOD questions of ${entry.id} are of one ${choice.group}, "${first.group}", and it takes two; choose another ${setting("group")}`,
    );
}

async function describeAbsence(folder: RunFolder, request: ImportRequest): Promise<UsageError> {
  const last = (await folder.readLineage()).at(-1) ?? { id: "sft-10", step: 10, path: "checkpoint-10" };
  return new UsageError(
    `Cannot import into "${folder.path}": no checkpoint has both results; of ${last.id}, "${request.id}" means "${fill(request.id, last)}"`,
  );
}

async function keep(folder: RunFolder, read: readonly ReadCheckpoint[]): Promise<void> {
  const { recipe } = folder;
  const [first] = read;
  if (!isFollowed(recipe) || first === undefined) return;
  await folder.writeRecipe({
    ...recipe,
    environment: importedEnvironment,
    evaluation: evaluationSchema.parse({ numTasks: Math.max(2, first.items.ood.length) }),
  });
  const tasks = splits.flatMap((split) =>
    first.items[split].map(({ prompt, target }, index) => ({ split, index, prompt, reference: target })),
  );
  const sources = read.flatMap((one) => one.sources);
  await writeFileAtomic(folder.locate(importedTasksName), `${JSON.stringify({ tasks, sources })}\n`);
  for (const { entry, items } of read)
    await folder.writeEvaluation(
      entry.id,
      splits.flatMap((split) => toEvaluated(items[split], split)),
    );
}

/** Throws `UsageError` where two checkpoints were asked different questions, not as often, or graded by something else. */
function requireSameQuestions(own: ReadCheckpoint, first: ReadCheckpoint): void {
  const names = `${own.entry.id} with ${first.entry.id}`;
  for (const split of splits) requireSameItems(own.items[split], first.items[split], { names, split });
  for (const [index, source] of own.sources.entries())
    for (const key of ["metric", "filter"] as const)
      if (source[key] !== first.sources[index]?.[key])
        throw new UsageError(
          `Cannot compare ${names}: "${source.path}" is read by ${key} ${source[key]}, "${first.sources[index]?.path}" by ${first.sources[index]?.[key]}; name one by ${setting(key)}`,
        );
}

/** Throws `UsageError` where two results of a split are of different questions, or of answers to them that are not as many. */
function requireSameItems(
  items: readonly ImportedItem[],
  expected: readonly ImportedItem[],
  { names, split }: { readonly names: string; readonly split: Split },
): void {
  const position = items.findIndex(
    ({ key, prompt, target, group }, index) =>
      key !== expected[index]?.key ||
      prompt !== expected[index].prompt ||
      target !== expected[index].target ||
      group !== expected[index].group,
  );
  if (items.length !== expected.length || position >= 0)
    throw new UsageError(
      `Cannot compare ${names}: their ${split.toUpperCase()} results are of ${items.length} and ${expected.length} questions${position >= 0 ? `, and question ${items[position]?.key ?? ""} differs` : ""}; evaluate all checkpoints on the same questions`,
    );
  const uneven = items.findIndex(({ samples }, index) => samples.total !== expected[index]?.samples.total);
  if (uneven >= 0)
    throw new UsageError(
      `Cannot compare ${names}: ${split.toUpperCase()} question ${items[uneven]?.key ?? ""} was answered ${items[uneven]?.samples.total ?? 0} and ${expected[uneven]?.samples.total ?? 0} times; evaluate all checkpoints with as many epochs`,
    );
}

/** The files that a pattern means for a checkpoint. */
async function findResults(pattern: string, entry: LineageEntry): Promise<readonly string[]> {
  if (!/\{(?:step|id|name)\}/.test(pattern))
    throw new UsageError(
      `Cannot tell checkpoints apart in "${pattern}": say where their step or name stands, as in results/{step}/samples_*.jsonl`,
    );
  return await findFiles(fill(pattern, entry));
}

function fill(pattern: string, { id, step, path }: Pick<LineageEntry, "id" | "step" | "path">): string {
  return pattern
    .replaceAll("{step}", String(step))
    .replaceAll("{id}", id)
    .replaceAll("{name}", basename(path));
}
