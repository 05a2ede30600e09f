/** Keeping a checkpoint: save, evaluate, enter into the lineage. Each part is skipped where it is already done. */

import { UsageError } from "../../base/core/index.ts";
import { folderExists } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { hashWeights, stampWeights } from "../../bridge/trainer/index.ts";
import { checkpointPath, findTasks, isFollowed, type LineageEntry, type RunFolder } from "../../run/index.ts";
import { aggregate, describeIncomplete, type EvaluatedItem } from "../../tasks/evaluation/index.ts";
import { createEmbeddedAnswerer, type RunEngine } from "../answer/index.ts";

/** A checkpoint that is to be kept. */
export interface KeptCheckpoint extends Omit<LineageEntry, "path"> {
  readonly parameters: Float32Array;
}

/**
 * Saves and evaluates a checkpoint and enters it into the lineage, in this order, so that what the lineage names is
 * complete. Does nothing that is done already. Throws as `Answerer.answer`; nothing of the evaluation is kept then.
 */
export async function keepCheckpoint(
  engine: RunEngine,
  { parameters, ...entry }: KeptCheckpoint,
): Promise<void> {
  const { folder, effects, config, tokenizer } = engine;
  const { id } = entry;
  const path = checkpointPath(id);
  if (!(await folderExists(folder.locate(path)))) await engine.saveCheckpoint(id, parameters);
  if (!(await folder.hasEvaluation(id))) {
    const startMs = effects.now();
    const answerer = createEmbeddedAnswerer(engine.assignment, effects, { engine });
    const model = { config, tokenizer, parameters };
    const subject = { kind: "checkpoint", id, path: folder.locate(path), model } as const;
    const { items } = await answerer.answer(subject);
    await keepEvaluation(folder, { checkpoint: id, items, ms: effects.now() - startMs }, effects);
  }
  const isKnown = (await folder.readLineage()).some((one) => one.id === id);
  if (!isKnown) await folder.addToLineage({ ...entry, path });
}

/** Throws `UsageError` where an earlier checkpoint was asked something else: nothing could be compared any more. */
async function requirePaired(
  folder: RunFolder,
  { checkpoint, items }: { readonly checkpoint: string; readonly items: readonly EvaluatedItem[] },
): Promise<void> {
  for (const { id } of await folder.readLineage()) {
    if (id === checkpoint || !(await folder.hasEvaluation(id))) continue;
    const others = await folder.readEvaluation(id);
    const changed = items.find(({ promptHash }, index) => promptHash !== others[index]?.promptHash);
    if (changed === undefined && items.length === others.length) return;
    throw new UsageError(
      `Cannot compare ${checkpoint} with ${id}: they were not given the same tasks (${changed === undefined ? "their number" : `${changed.split} ${changed.index}`} differs); were the questions edited meanwhile?`,
    );
  }
}

/** Keeps the answers of a checkpoint, and tells of them. */
export async function keepEvaluation(
  folder: RunFolder,
  {
    checkpoint,
    items,
    ms,
  }: { readonly checkpoint: string; readonly items: readonly EvaluatedItem[]; readonly ms: number },
  { report }: Effects,
): Promise<void> {
  await requirePaired(folder, { checkpoint, items });
  if (isFollowed(folder.recipe)) await keepContent(folder, checkpoint);
  await folder.writeEvaluation(checkpoint, items);
  await folder.addTiming("evaluation", ms);
  const [id, ood] = [aggregate(items, "id"), aggregate(items, "ood")];
  report({ kind: "evaluated", checkpoint, ms, id: id.solved, ood: ood.solved });
  // In our own training the limit of tokens belongs to the recipe, and a cut-off answer is an illegal one.
  const { maxNewTokens } = findTasks(folder.recipe)?.evaluation ?? {};
  if (!isFollowed(folder.recipe) || maxNewTokens === undefined) return;
  const text = describeIncomplete([id, ood], maxNewTokens);
  if (text !== undefined) report({ kind: "notice", text: `${checkpoint}: ${text}` });
}

/** Notes what the weights were, so that a copy of them, or a touched file, is not taken for others. */
async function keepContent(folder: RunFolder, checkpoint: string): Promise<void> {
  const lineage = await folder.readLineage();
  const entry = lineage.find(({ id }) => id === checkpoint);
  if (entry?.stamp === undefined) return;
  const place = folder.locate(entry.path);
  // What was written again meanwhile is not what answered.
  if ((await stampWeights(place)) !== entry.stamp) return;
  const content = await hashWeights(place);
  await folder.writeLineage(lineage.map((one) => (one === entry ? { ...one, content } : one)));
}
