/** Results of other evaluation tools, told apart by their files' names. */
import { basename } from "node:path";
import { UsageError } from "../base/index.ts";
import type { ImportChoice, ImportedItem } from "./imported-item.ts";
import { readInspectLog } from "./inspect.ts";
import { readLightevalDetails } from "./lighteval.ts";
import { readLmEvalSamples } from "./lm-eval.ts";

type ReadResults = (path: string, choice: ImportChoice) => Promise<readonly ImportedItem[]>;

const readers: Readonly<Record<string, ReadResults>> = {
  ".jsonl": readLmEvalSamples,
  ".parquet": readLightevalDetails,
  ".json": readInspectLog,
  ".eval": readInspectLog,
};

/**
 * The questions in a file of lm-evaluation-harness (.jsonl), lighteval (.parquet) or Inspect (.json, .eval). Throws `UsageError`
 * for any other file and for one that is malformed.
 */
export async function readResults(path: string, choice: ImportChoice): Promise<readonly ImportedItem[]> {
  const [extension = ""] = /\.[a-z]+$/.exec(basename(path)) ?? [];
  const read = readers[extension];
  if (read !== undefined) return await read(path, choice);
  throw new UsageError(
    `Cannot read "${path}": give samples_*.jsonl of lm-evaluation-harness, details_*.parquet of lighteval, or a .json or .eval log of Inspect`,
  );
}
