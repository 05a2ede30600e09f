/** lm-evaluation-harness: its `samples_*.jsonl` read, and results written in its shape. */
import { toObject, UsageError } from "../base/index.ts";
import { readText } from "../file/index.ts";
import { chooseMetric, type ImportChoice, type ImportedItem, readSolved, toText } from "./imported-item.ts";

/** Reads `samples_<task>_<date>.jsonl`. Throws `UsageError` naming the line that is malformed. */
export async function readLmEvalSamples(
  path: string,
  choice: ImportChoice,
): Promise<readonly ImportedItem[]> {
  const lines = (await readText(path)).split("\n");
  const samples = lines.flatMap((line, index) =>
    line.trim() === ""
      ? []
      : [{ place: `line ${index + 1} of "${path}"`, sample: parseLine(line, index, path) }],
  );
  const filters = [...new Set(samples.map(({ sample }) => toText(sample.filter ?? "none")))];
  const filter = chooseFilter(filters, choice, path);
  const [first] = samples;
  const metric = chooseMetric(first === undefined ? [] : listMetrics(first.sample), choice, path);
  return samples
    .filter(({ sample }) => toText(sample.filter ?? "none") === filter)
    .map(({ place, sample }) => readSample(sample, metric, place));
}

function parseLine(line: string, index: number, path: string): Readonly<Record<string, unknown>> {
  try {
    const sample = toObject(JSON.parse(line));
    if (sample.doc_id !== undefined) return sample;
  } catch {
    // Told below.
  }
  throw new UsageError(
    `Cannot read line ${index + 1} of "${path}": it is no sample of lm-evaluation-harness; give the samples_*.jsonl that --log_samples writes`,
  );
}

function chooseFilter(filters: readonly string[], { filter }: ImportChoice, path: string): string {
  const [only, ...others] = filters;
  // A file with one filter has nothing to choose: the ID and OOD tasks need not have the same.
  if (only !== undefined && others.length === 0) return only;
  const found = filters.find((one) => one === filter);
  if (found !== undefined) return found;
  throw new UsageError(
    filters.length === 0
      ? `Cannot read "${path}": it holds no samples`
      : `Cannot read "${path}": choose one of its filters with --filter: ${filters.join(", ")}`,
  );
}

/** What `metrics` names, or else every field that is a number. */
function listMetrics(sample: Readonly<Record<string, unknown>>): readonly string[] {
  if (Array.isArray(sample.metrics)) return sample.metrics.map(String);
  return Object.entries(sample).flatMap(([key, value]) =>
    typeof value === "number" && key !== "doc_id" && key !== "target" ? [key] : [],
  );
}

function readSample(sample: Readonly<Record<string, unknown>>, metric: string, place: string): ImportedItem {
  const { doc_id: id, doc, target, filtered_resps: filtered, resps } = sample;
  const asked = toObject(toObject(sample.arguments).gen_args_0).arg_0;
  return {
    key: toText(id),
    prompt: asked === undefined ? toText(doc) : toText(asked),
    target: toText(target),
    answer: toText(filtered ?? resps),
    isSolved: readSolved(sample[metric], place),
  };
}

/** An answered task, with its question. */
export interface ExportedItem {
  readonly index: number;
  readonly prompt: string;
  readonly promptHash: string;
  readonly target: string;
  readonly answer: string;
  readonly isSolved: boolean;
}

/** The lines of `samples_<task>_<date>.jsonl`. */
export function describeSamples(items: readonly ExportedItem[]): readonly object[] {
  return items.map(({ index, prompt, promptHash, target, answer, isSolved }) => ({
    doc_id: index,
    doc: { question: prompt, answer: target },
    target,
    arguments: { gen_args_0: { arg_0: prompt, arg_1: {} } },
    resps: [[answer]],
    filtered_resps: [answer],
    filter: "none",
    metrics: ["acc"],
    prompt_hash: promptHash,
    acc: isSolved ? 1 : 0,
  }));
}

/** `results_<date>.json` of several tasks by name. */
export function describeResults(
  tasks: Readonly<Record<string, readonly ExportedItem[]>>,
  { model, date }: { readonly model: string; readonly date: string },
): object {
  const entries = Object.entries(tasks);
  const describe = (items: readonly ExportedItem[], name: string): object => {
    const share = items.filter(({ isSolved }) => isSolved).length / Math.max(1, items.length);
    // The standard error of a mean of zeros and ones, with n − 1 as the harness has it.
    const error = Math.sqrt((share * (1 - share)) / Math.max(1, items.length - 1));
    return { alias: name, sample_len: items.length, "acc,none": share, "acc_stderr,none": error };
  };
  return {
    results: Object.fromEntries(entries.map(([name, items]) => [name, describe(items, name)])),
    "n-samples": Object.fromEntries(
      entries.map(([name, { length }]) => [name, { original: length, effective: length }]),
    ),
    higher_is_better: Object.fromEntries(entries.map(([name]) => [name, { acc: true }])),
    config: { model: "untwist", model_args: model },
    model_name: model,
    date,
  };
}
