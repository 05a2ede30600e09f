/** Answers to single questions out of other tools' results, and the values that count as right and wrong. */
import { createHash } from "node:crypto";
import { setting, UsageError } from "../../base/core/index.ts";
import type { Split } from "../../tasks/environment/index.ts";
import type { EvaluatedItem } from "../../tasks/evaluation/index.ts";

/** One question of another tool's results. */
export interface ImportedItem {
  /** What tells it from the other questions, the same for every model. */
  readonly key: string;
  readonly prompt: string;
  readonly target: string;
  /** The answer; where there are several, the first. */
  readonly answer: string;
  /** How many answers were graded, each on its own, and how many of them are right. */
  readonly samples: { readonly solved: number; readonly total: number };
  /** Of a question with options, one in as many as there are; absent for others. */
  readonly chance?: number;
  /** What it belongs to together with others, such as a passage; absent where nobody asked. */
  readonly group?: string;
}

/** What a file of another tool holds. */
export interface ImportedResults {
  readonly items: readonly ImportedItem[];
  /** What says what is right. */
  readonly metric: string;
  /** Of lm-evaluation-harness: what the answers went through. */
  readonly filter?: string | undefined;
}

/** What a file of results is of, as far as its name or its head says so. */
export interface ResultsHead {
  readonly task?: string | undefined;
  /** When they were made: sorts by its characters. */
  readonly date?: string | undefined;
  readonly model?: string | undefined;
  /** Why the results are not whole; absent where they are. */
  readonly problem?: string | undefined;
}

/** What the name of a file says that is called `<prefix>_<task>_<date><extension>`; nothing where it is called otherwise. */
export function readNamedHead(name: string, prefix: string, extension: string): ResultsHead {
  const isNamed = name.startsWith(`${prefix}_`) && name.endsWith(extension);
  const rest = isNamed ? name.slice(prefix.length + 1, -extension.length) : "";
  const [, task, date] = /^(.+)_(\d{4}-\d\d-\d\d(?:T[\d.:-]+)?)$/.exec(rest) ?? [];
  return { task, date };
}

/** What to take from a file that holds more than one thing. */
export interface ImportChoice {
  /** Name of the metric that says what is right; absent means the first. */
  readonly metric?: string | undefined;
  /** Of lm-evaluation-harness: the filter that the answers went through. */
  readonly filter?: string | undefined;
  /** The field of a question that says what it belongs to together with others; absent: each stands alone. */
  readonly group?: string | undefined;
}

/**
 * What a question belongs to, by the field that was chosen; nothing where none was. Throws `UsageError` naming the fields that there are where the question
 * lacks it or it is no text or number.
 */
export function readGroup(
  fields: Readonly<Record<string, unknown>>,
  { group }: ImportChoice,
  place: string,
): Pick<ImportedItem, "group"> {
  if (group === undefined) return {};
  const { [group]: value } = fields;
  if ((typeof value === "string" && value !== "") || typeof value === "number" || typeof value === "bigint")
    return { group: String(value) };
  const isUsable = (name: string): boolean => ["string", "number", "bigint"].includes(typeof fields[name]);
  const names = Object.keys(fields).filter(isUsable).join(", ");
  throw new UsageError(
    `Cannot read ${place}: its question has no text or number "${group}" to group by; choose another ${setting("group")}${names === "" ? "" : ` from ${names}`}`,
  );
}

/**
 * Whether a metric's value says that an answer is right. Throws `UsageError` for one that is neither right nor wrong: shares of
 * a point cannot be paired.
 */
export function readSolved(value: unknown, place: string): boolean {
  if (value === 1 || value === true || value === "C" || value === "1") return true;
  if (value === 0 || value === false || value === "I" || value === "N" || value === "0") return false;
  throw new UsageError(
    `Cannot read ${place}: its value ${JSON.stringify(value) ?? "nothing"} is neither right (1) nor wrong (0); choose another ${setting("metric")}`,
  );
}

/**
 * How many of `total` answers a metric's mean over them says are right: 0.75 of 4 is 3. Throws `UsageError` as `readSolved` where
 * it is not such a mean.
 */
export function readSamples(value: unknown, total: number, place: string): ImportedItem["samples"] {
  if (total > 1 && typeof value === "number") {
    const solved = Math.round(value * total);
    if (Math.abs(value * total - solved) < 1e-6 && solved >= 0 && solved <= total) return { solved, total };
  }
  return { solved: Number(readSolved(value, place)), total: 1 };
}

/** The metric to read. Throws `UsageError` naming those that there are. */
export function chooseMetric(names: readonly string[], { metric }: ImportChoice, path: string): string {
  const found = metric === undefined ? names[0] : names.find((name) => name === metric);
  if (found !== undefined) return found;
  throw new UsageError(
    names.length === 0
      ? `Cannot read "${path}": it holds no metric`
      : `Cannot read "${path}": it has no metric "${metric}"; choose from ${names.join(", ")}`,
  );
}

/** The items in the order of their keys. Throws `UsageError` where a key is there twice. */
export function sortItems(items: readonly ImportedItem[], path: string): readonly ImportedItem[] {
  const sorted = [...items].sort((a, b) => compareKeys(a.key, b.key));
  const twice = sorted.find(({ key }, index) => key === sorted[index + 1]?.key);
  if (twice !== undefined)
    throw new UsageError(
      `Cannot read "${path}": question ${twice.key} is in it twice; give results of one run of the task (of lm-eval, choose one ${setting("filter")})`,
    );
  return sorted;
}

/** Sorted items of a split as an evaluation holds them. */
export function toEvaluated(items: readonly ImportedItem[], split: Split): readonly EvaluatedItem[] {
  return items.map(({ key, prompt, answer, samples, chance, group }, index) => ({
    split,
    index,
    promptHash: createHash("sha256").update(`${key}\n${prompt}`).digest("hex").slice(0, 16),
    answer,
    numAttempts: 1,
    outcome:
      samples.solved === samples.total ? "correct" : samples.solved === 0 ? "incorrect" : "partly correct",
    reward: samples.solved / samples.total,
    // What the answer's format and values were, no log says.
    parts: { solved: samples.solved === samples.total },
    ...(samples.total > 1 && { samples }),
    ...(chance !== undefined && { chance }),
    ...(group !== undefined && { group }),
  }));
}

/** Whole numbers by size, then other texts by their characters. */
function compareKeys(a: string, b: string): number {
  const [first, second] = [a, b].map((key) =>
    /^\d{1,15}$/.test(key) ? Number(key) : Number.POSITIVE_INFINITY,
  );
  if (first !== second) return (first ?? 0) - (second ?? 0);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A value as one text: texts as they are, lists by their first entry, all else as JSON. */
export function toText(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return toText(value[0]);
  if (typeof value === "bigint") return String(value);
  return value === undefined || value === null ? "" : (JSON.stringify(value) ?? "");
}

/** Position of the largest number; the first of several. */
export function findLargest(values: readonly number[]): number {
  return values.reduce((best, value, index) => (value > (values[best] ?? Number.NaN) ? index : best), 0);
}
