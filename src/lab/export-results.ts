/** A run's evaluations for other tools: curves for TensorBoard, or results in the shape of lm-evaluation-harness. */
import { basename, join } from "node:path";
import { quoteForShell, UsageError } from "../base/index.ts";
import { writeFileAtomic, writeFolderAtomic } from "../file/index.ts";
import { encodeEvents, type ScalarEvent } from "../follow/index.ts";
import { describeResults, describeSamples, type ExportedItem } from "../interchange/index.ts";
import { findTasks, openRunFolder, type RunFolder, type Summary } from "../run/index.ts";
import { toShare } from "../statistics/index.ts";
import { summarize } from "./summarize.ts";

/** The forms of an export. */
export const exportForms = ["tfevents", "lm-eval"] as const;
/** One of `exportForms`. */
export type ExportForm = (typeof exportForms)[number];

/** The questions of a run: prompts and right answers, in the order of its items. */
export type ReadQuestions = (folder: RunFolder) => Promise<
  readonly {
    readonly split: string;
    readonly index: number;
    readonly prompt: string;
    readonly reference: string;
  }[]
>;

/**
 * Writes a run's evaluations into a new folder, whole or not at all. `date` names the files. Throws `UsageError` for a run
 * without evaluations.
 */
export async function exportResults(
  path: string,
  out: string,
  {
    form,
    date,
    readQuestions,
  }: { readonly form: ExportForm; readonly date: Date; readonly readQuestions: ReadQuestions },
): Promise<void> {
  const folder = await openRunFolder(path);
  const summary = (await folder.readSummary()) ?? (await summarize(folder));
  if (summary.checkpoints.length === 0)
    throw new UsageError(
      `Cannot export "${path}": none of its checkpoints is evaluated yet; do it with: untwist eval ${quoteForShell(path)} --environment NAME`,
    );
  const task = basename((findTasks(folder.recipe)?.environment ?? "tasks").replace(/^items:/, ""));
  await writeFolderAtomic(out, async (temporary) => {
    if (form === "tfevents") await writeCurves(folder, temporary, { summary, date, task });
    else
      await writeSamples(folder, temporary, { summary, date, task, questions: await readQuestions(folder) });
  });
}

interface ExportPlace {
  readonly summary: Summary;
  readonly date: Date;
  readonly task: string;
}

/** A folder a stage, so that TensorBoard shows each as a run of its own. */
async function writeCurves(
  folder: RunFolder,
  out: string,
  { summary, date, task }: ExportPlace,
): Promise<void> {
  const startSeconds = Math.floor(date.getTime() / 1000);
  const stages = new Map<string, ScalarEvent[]>();
  const add = (stage: string, event: Omit<ScalarEvent, "wallTime">): void => {
    const events = stages.get(stage) ?? [];
    events.push({ ...event, wallTime: startSeconds + event.step });
    stages.set(stage, events);
  };
  for (const { stage, branch, step, accuracy, loss } of summary.checkpoints) {
    const name = branch ?? (stage === "base" ? "sft" : stage);
    for (const split of ["id", "ood"] as const) {
      add(name, { name: `eval/${split}/${task}/acc`, step, value: toShare(accuracy[split]) });
      const value = loss[split];
      if (value !== null) add(name, { name: `eval/${split}/${task}/loss`, step, value });
    }
  }
  for (const name of [...stages.keys()])
    for (const { step, trainer: _, ...line } of await folder.readMetrics(name).catch(() => []))
      for (const [metric, value] of Object.entries(line))
        if (typeof step === "number" && typeof value === "number")
          add(name, { name: `train/${metric}`, step, value });
  for (const [name, events] of stages)
    await writeFileAtomic(
      join(out, name, `events.out.tfevents.${startSeconds}.untwist`),
      encodeEvents(events.sort((a, b) => a.step - b.step)),
    );
}

/** A folder a checkpoint, with results and samples of both splits as tasks of their own. */
async function writeSamples(
  folder: RunFolder,
  out: string,
  {
    summary,
    date,
    task,
    questions,
  }: ExportPlace & { readonly questions: Awaited<ReturnType<ReadQuestions>> },
): Promise<void> {
  const stamp = date.toISOString().replaceAll(":", "-").replace("Z", "000");
  const asked = new Map(questions.map((one) => [`${one.split} ${one.index}`, one]));
  for (const { id } of summary.checkpoints) {
    const items = await folder.readEvaluation(id);
    const tasks: Record<string, readonly ExportedItem[]> = {};
    for (const split of ["id", "ood"] as const)
      tasks[`${task}-${split}`] = items
        .filter((item) => item.split === split)
        .map(({ index, promptHash, answer, parts }) => {
          const { prompt = "", reference = "" } = asked.get(`${split} ${index}`) ?? {};
          return { index, prompt, promptHash, target: reference, answer, isSolved: parts.solved };
        });
    for (const [name, exported] of Object.entries(tasks)) {
      const lines = describeSamples(exported).map((line) => `${JSON.stringify(line)}\n`);
      await writeFileAtomic(join(out, id, `samples_${name}_${stamp}.jsonl`), lines.join(""));
    }
    const results = describeResults(tasks, { model: id, date: date.toISOString() });
    await writeFileAtomic(join(out, id, `results_${stamp}.json`), `${JSON.stringify(results, null, 2)}\n`);
  }
}
