/** Results of other evaluation tools become the evaluations of a followed run. */
import { basename } from "node:path";
import { UsageError } from "../base/index.ts";
import { findFiles, writeFileAtomic } from "../file/index.ts";
import {
  compareKeys,
  type ImportChoice,
  type ImportedItem,
  readResults,
  toEvaluated,
} from "../interchange/index.ts";
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
} from "../run/index.ts";
import { renewSummary } from "./follow-run.ts";
import { withLock } from "./run-lock.ts";

/** Where the results of each checkpoint are: paths in which `{step}`, `{id}` or `{name}` stand for the checkpoint. */
export interface ImportRequest {
  readonly id: string;
  readonly ood: string;
  readonly choice: ImportChoice;
}

/** What was imported. */
export interface ImportReport {
  readonly folder: RunFolder;
  readonly summary: Summary;
  readonly imported: readonly string[];
  /** Checkpoints without results. */
  readonly missing: readonly string[];
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
    const read: ReadCheckpoint[] = [];
    const missing: string[] = [];
    for (const entry of await folder.readLineage()) {
      const files = [await findResults(request.id, entry), await findResults(request.ood, entry)];
      const [idFile, oodFile] = files;
      if (idFile === undefined || oodFile === undefined) {
        missing.push(entry.id);
        continue;
      }
      const items = new Map([
        ["id", await readResults(idFile, request.choice)] as const,
        ["ood", await readResults(oodFile, request.choice)] as const,
      ]);
      read.push({ entry, items });
    }
    const [first] = read;
    const last = (await folder.readLineage()).at(-1) ?? { id: "sft-10", step: 10, path: "checkpoint-10" };
    if (first === undefined)
      throw new UsageError(
        `Cannot import into "${path}": no checkpoint has both results; of ${last.id}, "${request.id}" means "${fill(request.id, last)}"`,
      );
    for (const { entry, items } of read) requireSameQuestions({ entry, items }, first);
    for (const id of missing)
      if (await folder.hasEvaluation(id))
        throw new UsageError(
          `Cannot import into "${path}": ${id} has results from before and none among these; follow the checkpoints into another run`,
        );
    await keep(folder, read);
    await renewSummary(await openRunFolder(path));
    const summary = await folder.readSummary();
    if (summary === undefined) throw new Error("Cannot import: there is no summary");
    return { folder, summary, imported: read.map(({ entry }) => entry.id), missing };
  });
}

interface ReadCheckpoint {
  readonly entry: LineageEntry;
  readonly items: ReadonlyMap<"id" | "ood", readonly ImportedItem[]>;
}

async function keep(folder: RunFolder, read: readonly ReadCheckpoint[]): Promise<void> {
  const evaluated = read.map(({ entry, items }) => ({
    entry,
    items: (["id", "ood"] as const).flatMap((split) => toEvaluated(items.get(split) ?? [], split, entry.id)),
  }));
  const { recipe } = folder;
  if (!isFollowed(recipe)) return;
  const numTasks = Math.max(
    2,
    ...evaluated.map(({ items }) => items.filter(({ split }) => split === "ood").length),
  );
  await folder.writeRecipe({
    ...recipe,
    environment: importedEnvironment,
    evaluation: evaluationSchema.parse({ numTasks }),
  });
  const tasks = (["id", "ood"] as const).flatMap((split) =>
    sortByKey(read[0]?.items.get(split) ?? []).map(({ prompt, target }, index) => ({
      split,
      index,
      prompt,
      reference: target,
    })),
  );
  await writeFileAtomic(folder.locate(importedTasksName), `${JSON.stringify({ tasks })}\n`);
  for (const { entry, items } of evaluated) await folder.writeEvaluation(entry.id, items);
}

/** Throws `UsageError` where two checkpoints were asked different questions. */
function requireSameQuestions({ entry, items }: ReadCheckpoint, first: ReadCheckpoint): void {
  for (const split of ["id", "ood"] as const) {
    const keys = (of: ReadCheckpoint["items"]): readonly string[] =>
      sortByKey(of.get(split) ?? []).map(({ key, prompt }) => `${key}\n${prompt}`);
    const [own, expected] = [keys(items), keys(first.items)];
    const position = own.findIndex((key, index) => key !== expected[index]);
    if (own.length !== expected.length || position >= 0)
      throw new UsageError(
        `Cannot compare ${entry.id} with ${first.entry.id}: their ${split.toUpperCase()} results are of ${own.length} and ${expected.length} questions${position >= 0 ? `, and question ${(own[position] ?? "").split("\n")[0]} differs` : ""}; evaluate all checkpoints on the same questions`,
      );
  }
}

function sortByKey(items: readonly ImportedItem[]): readonly ImportedItem[] {
  return [...items].sort((a, b) => compareKeys(a.key, b.key));
}

/** The newest file (by name) that a pattern means for a checkpoint. */
async function findResults(pattern: string, entry: LineageEntry): Promise<string | undefined> {
  if (!/\{(?:step|id|name)\}/.test(pattern))
    throw new UsageError(
      `Cannot tell checkpoints apart in "${pattern}": say where their step or name stands, as in results/{step}/samples_*.jsonl`,
    );
  return (await findFiles(fill(pattern, entry))).at(-1);
}

function fill(pattern: string, { id, step, path }: Pick<LineageEntry, "id" | "step" | "path">): string {
  return pattern
    .replaceAll("{step}", String(step))
    .replaceAll("{id}", id)
    .replaceAll("{name}", basename(path));
}
