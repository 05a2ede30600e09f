/** lm-evaluation-harness: its `samples_*.jsonl` read, and results written in its shape. */
import { parsePythonJson, setting, toObject, UsageError } from "../../base/core/index.ts";
import { readText } from "../../base/file/index.ts";
import {
  chooseMetric,
  findLargest,
  type ImportChoice,
  type ImportedItem,
  type ImportedResults,
  readGroup,
  readSamples,
  toText,
} from "./imported-item.ts";

/** Reads `samples_<task>_<date>.jsonl`. Throws `UsageError` naming the line that is malformed. */
export async function readLmEvalSamples(path: string, choice: ImportChoice): Promise<ImportedResults> {
  const lines = (await readText(path)).split("\n");
  const samples = lines.flatMap((line, index) =>
    line.trim() === ""
      ? []
      : [{ place: `line ${index + 1} of "${path}"`, sample: parseLine(line, index, path) }],
  );
  const filters = [...new Set(samples.map(({ sample }) => toText(sample.filter ?? "none")))];
  const filter = chooseFilter(filters, choice, path);
  const kept = samples.filter(({ sample }) => toText(sample.filter ?? "none") === filter);
  const [first] = kept;
  const metric = chooseMetric(first === undefined ? [] : listMetrics(first.sample), choice, path);
  return {
    metric,
    filter,
    items: kept.map(({ place, sample }) => ({
      ...readSample(sample, metric, place),
      ...readGroup(toObject(sample.doc), choice, place),
    })),
  };
}

function parseLine(line: string, index: number, path: string): Readonly<Record<string, unknown>> {
  try {
    const sample = toObject(parsePythonJson(line));
    if (sample.doc_id !== undefined) return sample;
  } catch {
    // Told below.
  }
  throw new UsageError(
    `Cannot read line ${index + 1} of "${path}": it is not a sample of lm-evaluation-harness; give the samples_*.jsonl that --log_samples writes`,
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
      : `Cannot read "${path}": choose one of its filters with ${setting("filter")}: ${filters.join(", ")}`,
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
  const requests = Object.values(toObject(sample.arguments)).map(toObject);
  const asked = requests[0]?.arg_0;
  const choices = listChoices(requests, filtered);
  // A log-likelihood and whether it is greedy, of a text to score: one answer, not two.
  const isScored = typeof requests[0]?.arg_1 === "string";
  const answers = !isScored && Array.isArray(filtered) && Array.isArray(filtered[0]) ? filtered[0].length : 1;
  const { [metric]: value } = sample;
  return {
    key: toText(id),
    prompt: asked === undefined ? toText(doc) : toText(asked),
    target: choices === undefined ? toText(target) : (choices.options[Number(target)] ?? toText(target)),
    answer: choices === undefined ? toText(filtered ?? resps) : chooseOption(choices, metric),
    samples: readSamples(value, choices === undefined ? answers : 1, place),
    ...(choices !== undefined && { chance: 1 / choices.options.length }),
  };
}

/** Of a question with choices: the options, and how likely the model finds each. */
interface Choices {
  readonly options: readonly string[];
  readonly logLikelihoods: readonly number[];
}

/**
 * The choices of a question whose answers are log-likelihoods: one request for each, whose second argument is the option.
 * `undefined` for any other question.
 */
function listChoices(
  requests: readonly Readonly<Record<string, unknown>>[],
  filtered: unknown,
): Choices | undefined {
  if (!Array.isArray(filtered) || filtered.length < 2 || requests.length < filtered.length) return undefined;
  const options = requests.slice(0, filtered.length).map(({ arg_1: option }) => option);
  const logLikelihoods = filtered.map((pair: unknown) => Number(Array.isArray(pair) ? pair[0] : Number.NaN));
  if (!options.every((option) => typeof option === "string") || logLikelihoods.some(Number.isNaN))
    return undefined;
  return { options: options.map((option) => option.trim()), logLikelihoods };
}

/** The option that the metric counts: the likeliest, for acc_norm by its characters and for acc_bytes by its bytes. */
function chooseOption({ options, logLikelihoods }: Choices, metric: string): string {
  const weigh = (value: number, index: number): number => {
    const option = options[index] ?? "";
    if (metric === "acc_norm") return value / Math.max(1, option.length);
    return metric === "acc_bytes" ? value / Math.max(1, new TextEncoder().encode(option).length) : value;
  };
  return options[findLargest(logLikelihoods.map(weigh))] ?? "";
}

/** An answered task, with its question. */
export interface ExportedItem {
  readonly index: number;
  readonly prompt: string;
  readonly promptHash: string;
  readonly target: string;
  readonly answer: string;
  /** 1 or 0; between them where several answers were graded. */
  readonly solvedFraction: number;
}

/** The lines of `samples_<task>_<date>.jsonl`. */
export function describeSamples(items: readonly ExportedItem[]): readonly object[] {
  return items.map(({ index, prompt, promptHash, target, answer, solvedFraction }) => ({
    doc_id: index,
    doc: { question: prompt, answer: target },
    target,
    arguments: { gen_args_0: { arg_0: prompt, arg_1: {} } },
    resps: [[answer]],
    filtered_resps: [answer],
    filter: "none",
    metrics: ["acc"],
    prompt_hash: promptHash,
    acc: solvedFraction,
  }));
}

/** `results_<date>.json` of several tasks by name, with all that `lm_eval.utils.make_table` reads. */
export function describeResults(
  tasks: Readonly<Record<string, readonly ExportedItem[]>>,
  { model, date }: { readonly model: string; readonly date: string },
): object {
  const entries = Object.entries(tasks);
  const describe = (items: readonly ExportedItem[], name: string): object => {
    const count = Math.max(1, items.length);
    const share = items.reduce((sum, { solvedFraction }) => sum + solvedFraction, 0) / count;
    const squares = items.reduce((sum, { solvedFraction }) => sum + (solvedFraction - share) ** 2, 0);
    // The standard error of a mean, with n − 1 as the harness has it.
    const error = Math.sqrt(squares / Math.max(1, items.length - 1) / count);
    return { alias: name, sample_len: items.length, "acc,none": share, "acc_stderr,none": error };
  };
  return {
    results: Object.fromEntries(entries.map(([name, items]) => [name, describe(items, name)])),
    group_subtasks: Object.fromEntries(entries.map(([name]) => [name, []])),
    configs: Object.fromEntries(
      entries.map(([name]) => [name, { task: name, num_fewshot: 0, output_type: "generate_until" }]),
    ),
    versions: Object.fromEntries(entries.map(([name]) => [name, 1])),
    "n-shot": Object.fromEntries(entries.map(([name]) => [name, 0])),
    "n-samples": Object.fromEntries(
      entries.map(([name, { length }]) => [name, { original: length, effective: length }]),
    ),
    higher_is_better: Object.fromEntries(entries.map(([name]) => [name, { acc: true }])),
    config: { model: "untwist", model_args: model },
    model_name: model,
    date,
  };
}
