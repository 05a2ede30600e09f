/** Files of a run folder that hold one JSON value each: where they lie, and how they are read. */
import type { z } from "zod";
import { UsageError } from "../base/core/index.ts";
import { readText, writeFileIfChanged } from "../base/file/index.ts";
import { describeIssue } from "./recipe/issue.ts";

/** Where things lie in a run folder. */
export const names = {
  run: "run.json",
  recipe: "recipe.yaml",
  lineage: "lineage.json",
  summary: "summary.json",
  timings: "timings.jsonl",
} as const;

/** Writes a value as JSON, where it is not there already. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileIfChanged(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** Reads a JSON file. Throws `UsageError` where it is missing, not JSON or not as the schema says. */
export async function readRecord<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<z.infer<Schema>> {
  const text = await readText(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`Cannot read "${path}": it is not JSON; restore the file or start the run again`, {
      cause,
    });
  }
  return parseRecord(value, path, schema);
}

/** Checks what was read from a file. Throws `UsageError` where it is not as the schema says. */
export function parseRecord<Schema extends z.ZodType>(
  value: unknown,
  path: string,
  schema: Schema,
): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UsageError(`Cannot read "${path}": ${describeIssue(parsed.error)}`);
}
