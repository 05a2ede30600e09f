/** A run's evaluations for other tools: curves for TensorBoard or as a table, or results in the shape of lm-evaluation-harness. */
import { basename, join } from "node:path";
import { action, toObject, UsageError } from "../../base/core/index.ts";
import { encodeEvents, type ScalarEvent, writeFileAtomic, writeFolderAtomic } from "../../base/file/index.ts";
import { toShare } from "../../base/statistics/index.ts";
import { describeResults, describeSamples, type ExportedItem } from "../../bridge/interchange/index.ts";
import { findTasks, openRunFolder, type RunFolder, type Summary } from "../../run/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import { solvedFraction } from "../../tasks/evaluation/index.ts";
import { type RunQuestion, readQuestions } from "./run-questions.ts";
import { readOutcome } from "./summarize.ts";

/** The forms of an export. */
export const exportForms = ["tfevents", "csv", "jsonl", "lm-eval"] as const;
/** What results are written for. */
export type ExportForm = (typeof exportForms)[number];

/**
 * Writes a run's evaluations into a new folder, whole or not at all. `date` names the files. Throws `UsageError` for a run
 * without evaluations.
 */
export async function exportResults(
  path: string,
  out: string,
  { form, date }: { readonly form: ExportForm; readonly date: Date },
): Promise<void> {
  const folder = await openRunFolder(path);
  const summary = await readOutcome(folder);
  if (summary.checkpoints.length === 0)
    throw new UsageError(
      `Cannot export "${path}": none of its checkpoints is evaluated yet; do it with: ${action("evaluate", path)}`,
    );
  const task = basename((findTasks(folder.recipe)?.environment ?? "tasks").replace(/^items:/, ""));
  await writeFolderAtomic(out, async (temporary) => {
    if (form === "lm-eval")
      await writeSamples(folder, temporary, { summary, date, task, questions: await readQuestions(folder) });
    else await curveWriters[form](await collectCurves(folder, summary, task), temporary, date);
  });
}

interface ExportContext {
  readonly summary: Summary;
  readonly date: Date;
  readonly task: string;
}

/** A number at a step, of what its name says. */
type CurvePoint = Omit<ScalarEvent, "wallTime">;
type Curves = ReadonlyMap<string, readonly CurvePoint[]>;

/** What was evaluated and logged, by stage; a branch of RL begins with the checkpoint that it started from, at step 0. */
async function collectCurves(folder: RunFolder, summary: Summary, task: string): Promise<Curves> {
  const curves = new Map<string, CurvePoint[]>();
  const add = (stage: string, points: readonly CurvePoint[]): void => {
    curves.set(stage, [...(curves.get(stage) ?? []), ...points]);
  };
  const byId = new Map(summary.checkpoints.map((checkpoint) => [checkpoint.id, checkpoint]));
  for (const checkpoint of summary.checkpoints) {
    const { stage, branch, step, parent } = checkpoint;
    const name = branch ?? (stage === "base" ? "sft" : stage);
    const start = stage === "rl" && !curves.has(name) ? byId.get(parent ?? "") : undefined;
    if (start !== undefined) add(name, describeEvaluation(start, 0, task));
    add(name, describeEvaluation(checkpoint, step, task));
  }
  for (const name of curves.keys()) add(name, (await folder.readMetrics(name)).flatMap(describeMetrics));
  return new Map([...curves].map(([name, points]) => [name, points.sort((a, b) => a.step - b.step)]));
}

function describeEvaluation(
  { accuracy, format, values, loss }: Summary["checkpoints"][number],
  step: number,
  task: string,
): readonly CurvePoint[] {
  return splits.flatMap((split) => {
    const shares = { acc: accuracy[split], format: format[split], values: values[split] };
    const known = Object.entries(shares).filter(([, { total }]) => total > 0);
    const measured = known.map(([name, tally]) => [name, toShare(tally)] as const);
    const { [split]: nats } = loss;
    return [...measured, ...(nats === null ? [] : [["loss", nats] as const])].map(([name, value]) => ({
      name: `eval/${split}/${task}/${name}`,
      step,
      value,
    }));
  });
}

/** The numbers of a line of metrics, and those of the objects in it, as reward/mean. */
function describeMetrics({
  step,
  trainer: _,
  ...line
}: Readonly<Record<string, unknown>>): readonly CurvePoint[] {
  if (typeof step !== "number") return [];
  return Object.entries(line).flatMap(([metric, value]) => {
    const named =
      typeof value === "number"
        ? [[metric, value] as const]
        : Object.entries(toObject(value)).map(([part, inner]) => [`${metric}/${part}`, inner] as const);
    return named.flatMap(([name, number]) =>
      typeof number === "number" ? [{ name: `train/${name}`, step, value: number }] : [],
    );
  });
}

const curveWriters: {
  readonly [Form in Exclude<ExportForm, "lm-eval">]: (
    curves: Curves,
    out: string,
    date: Date,
  ) => Promise<void>;
} = {
  // One folder per stage, so that TensorBoard shows each as a run of its own.
  tfevents: async (curves, out, date) => {
    const seconds = Math.floor(date.getTime() / 1000);
    // When a step was taken, nobody recorded: all have the time of the export, and steps order them.
    for (const [name, points] of curves)
      await writeFileAtomic(
        join(out, name, `events.out.tfevents.${seconds}.untwist`),
        encodeEvents(points.map((point) => ({ ...point, wallTime: seconds }))),
      );
  },
  csv: async (curves, out) => {
    const lines = listRows(curves).map(({ stage, step, name, value }) =>
      [stage, step, quoteCell(name), value].join(","),
    );
    await writeFileAtomic(join(out, "curves.csv"), `${["stage,step,name,value", ...lines].join("\n")}\n`);
  },
  jsonl: async (curves, out) =>
    writeFileAtomic(
      join(out, "curves.jsonl"),
      listRows(curves)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(""),
    ),
};

function listRows(curves: Curves): readonly (CurvePoint & { readonly stage: string })[] {
  return [...curves].flatMap(([stage, points]) => points.map((point) => ({ stage, ...point })));
}

/** A cell of CSV (RFC 4180). */
function quoteCell(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One folder per checkpoint, with results and samples of both splits as tasks of their own. */
async function writeSamples(
  folder: RunFolder,
  out: string,
  { summary, date, task, questions }: ExportContext & { readonly questions: readonly RunQuestion[] },
): Promise<void> {
  const stamp = date.toISOString().replaceAll(":", "-").replace("Z", "000");
  const asked = new Map(questions.map((one) => [`${one.split} ${one.index}`, one]));
  for (const { id } of summary.checkpoints) {
    const items = await folder.readEvaluation(id);
    const tasks: Record<string, readonly ExportedItem[]> = {};
    for (const split of splits)
      tasks[`${task}-${split}`] = items
        .filter((item) => item.split === split)
        .map((item) => {
          const { index, promptHash, answer } = item;
          const question = asked.get(`${split} ${index}`);
          if (question === undefined)
            throw new UsageError(
              `Cannot export "${folder.path}": nothing says what ${split.toUpperCase()} question ${index} was`,
            );
          const { prompt, reference } = question;
          return {
            index,
            prompt,
            promptHash,
            target: reference,
            answer,
            solvedFraction: solvedFraction(item),
          };
        });
    for (const [name, exported] of Object.entries(tasks)) {
      const lines = describeSamples(exported).map((line) => `${JSON.stringify(line)}\n`);
      await writeFileAtomic(join(out, id, `samples_${name}_${stamp}.jsonl`), lines.join(""));
    }
    const results = describeResults(tasks, { model: id, date: date.toISOString() });
    await writeFileAtomic(join(out, id, `results_${stamp}.json`), `${JSON.stringify(results, null, 2)}\n`);
  }
}
