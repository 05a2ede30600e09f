/** Details of lighteval: Parquet files with a row for each question. */
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { toObject, UsageError } from "../base/index.ts";
import { chooseMetric, type ImportChoice, type ImportedItem, readSolved, toText } from "./imported-item.ts";

/** Reads `details_<task>_<date>.parquet`. Throws `UsageError` where it is malformed or of another tool. */
export async function readLightevalDetails(
  path: string,
  choice: ImportChoice,
): Promise<readonly ImportedItem[]> {
  const rows = await readRows(path);
  const [first] = rows;
  if (first === undefined || first.__metric__ === undefined)
    throw new UsageError(
      `Cannot read "${path}": it holds no details of lighteval; give details_<task>_<date>.parquet`,
    );
  const metric = chooseMetric(Object.keys(toStructure(first.__metric__)), choice, path);
  return rows.map((row, index) => {
    const [doc, response, metrics] = [row.__doc__, row.__model_response__, row.__metric__].map(toStructure);
    return {
      key: toText(doc?.id ?? index),
      prompt: toText(doc?.query),
      target: toText(doc?.choices),
      answer: toText(response?.text),
      isSolved: readSolved(toNumber(metrics?.[metric]), `row ${index + 1} of "${path}"`),
    };
  });
}

async function readRows(path: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  try {
    return await parquetReadObjects({ file: await asyncBufferFromFile(path) });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`Cannot read "${path}": it is no whole Parquet file (${reason})`, { cause });
  }
}

/** A structure, also one that was written as JSON. */
function toStructure(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "string") return toObject(value);
  try {
    return toObject(JSON.parse(value));
  } catch {
    return {};
  }
}

function toNumber(value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
