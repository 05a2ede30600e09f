/** Details of lighteval: Parquet files with a row for each question. */

import { toObject, UsageError } from "../../base/core/index.ts";
import { locateThread } from "../../base/machine/index.ts";
import { runIsolated } from "../../base/threads/index.ts";
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

type Structure = Readonly<Record<string, unknown>>;

/**
 * Reads `details_<task>_<date>.parquet`. A metric that is the mean over several answers becomes their count. Throws `UsageError`
 * where the file is malformed or of another tool.
 */
export async function readLightevalDetails(path: string, choice: ImportChoice): Promise<ImportedResults> {
  const rows = (await readRows(path)).map(readRow);
  const [first] = rows;
  if (first === undefined || Object.keys(first.metric).length === 0)
    throw new UsageError(
      `Cannot read "${path}": it holds no details of lighteval; give details_<task>_<date>.parquet`,
    );
  const metric = chooseMetric(Object.keys(first.metric), choice, path);
  return {
    metric,
    items: rows.map((row, index) => ({
      ...readItem(row, index, { metric, path }),
      // What a task keeps of its own about a question lies apart from what all have.
      ...readGroup({ ...row.doc, ...toStructure(row.doc.specific) }, choice, `row ${index + 1} of "${path}"`),
    })),
  };
}

interface Row {
  readonly doc: Structure;
  readonly response: Structure;
  readonly metric: Structure;
}

/** Versions before 0.10 put underlines around the names of the columns. */
function readRow(row: Structure): Row {
  const {
    doc = row.__doc__,
    model_response: response = row.__model_response__,
    metric = row.__metric__,
  } = row;
  return { doc: toStructure(doc), response: toStructure(response), metric: toStructure(metric) };
}

function readItem(
  { doc, response, metric: metrics }: Row,
  index: number,
  { metric, path }: { readonly metric: string; readonly path: string },
): ImportedItem {
  const choices = toTexts(doc.choices);
  const gold = findGold(doc, choices);
  const texts = toTexts(response.text);
  const logProbs = Array.isArray(response.logprobs) ? response.logprobs.map(Number) : [];
  // Where nothing was written, the options were scored.
  const isScored =
    texts.every((text) => text === "") && choices.length > 1 && logProbs.length >= choices.length;
  const { [metric]: value } = metrics;
  return {
    key: toText(doc.id ?? index),
    prompt: toText(doc.query),
    target: (choices[gold] ?? "").trim(),
    answer: isScored ? chooseOption(choices, logProbs) : (texts[0] ?? ""),
    samples: readSamples(
      typeof value === "bigint" ? Number(value) : value,
      isScored ? 1 : texts.length,
      `row ${index + 1} of "${path}"`,
    ),
    ...(isScored && { chance: 1 / choices.length }),
  };
}

/** The position of the right answer. The only text of a question without options is that. */
function findGold({ gold_index: index }: Structure, choices: readonly string[]): number {
  return index === undefined && choices.length === 1 ? 0 : Number([index].flat()[0]);
}

/** The option that is most likely. */
function chooseOption(choices: readonly string[], logProbs: readonly number[]): string {
  return (choices[findLargest(logProbs.slice(0, choices.length))] ?? "").trim();
}

/** Time that a file may take; whole ones take a thousandth of it. */
const limitMs = 120_000;

async function readRows(path: string): Promise<readonly Structure[]> {
  const url = locateThread("parquet-worker");
  try {
    return await runIsolated({ url, task: path, limitMs, limitMiB: 2048 });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`Cannot read "${path}": it is not a whole Parquet file (${reason})`, { cause });
  }
}

function toTexts(value: unknown): readonly string[] {
  return Array.isArray(value)
    ? value.map(toText)
    : value === undefined || value === null
      ? []
      : [toText(value)];
}

/** A structure, also one that was written as JSON. */
function toStructure(value: unknown): Structure {
  if (typeof value !== "string") return toObject(value);
  try {
    return toObject(JSON.parse(value));
  } catch {
    return {};
  }
}
