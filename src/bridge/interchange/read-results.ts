/** Results of other evaluation tools, told apart by their files' names. */
import { basename } from "node:path";
import { UsageError } from "../../base/core/index.ts";
import { type ImportChoice, type ImportedResults, type ResultsHead, readNamedHead } from "./imported-item.ts";
import { readInspectHead, readInspectLog } from "./inspect.ts";
import { readLightevalDetails } from "./lighteval.ts";
import { readLmEvalSamples } from "./lm-eval.ts";

/** How one tool's files are read. */
interface Reader {
  readonly readHead: (path: string) => Promise<ResultsHead> | ResultsHead;
  readonly read: (path: string, choice: ImportChoice) => Promise<ImportedResults>;
}

const inspect: Reader = { readHead: readInspectHead, read: readInspectLog };
const readers: Readonly<Record<string, Reader>> = {
  ".jsonl": {
    readHead: (path) => readNamedHead(basename(path), "samples", ".jsonl"),
    read: readLmEvalSamples,
  },
  ".parquet": {
    readHead: (path) => readNamedHead(basename(path), "details", ".parquet"),
    read: readLightevalDetails,
  },
  ".json": inspect,
  ".eval": inspect,
};

/**
 * The questions in a file of lm-evaluation-harness (.jsonl), lighteval (.parquet) or Inspect (.json, .eval). Throws `UsageError`
 * for any other file and for one that is malformed.
 */
export async function readResults(path: string, choice: ImportChoice): Promise<ImportedResults> {
  return await findReader(path).read(path, choice);
}

/** A file of results, and the task that it is of. */
export interface ChosenResults {
  /** Absent where neither the file's name nor its head says it. */
  readonly task: string | undefined;
  readonly path: string;
}

/**
 * Of several files the newest of each task, in the order of the tasks' names. Throws `UsageError` where they cannot be told apart: no
 * task or date, two of one date, two models; and for results that are not whole, unless newer whole ones take their place.
 */
export async function chooseResults(paths: readonly string[]): Promise<readonly ChosenResults[]> {
  const heads: (ResultsHead & { readonly path: string })[] = [];
  for (const path of paths) heads.push({ path, ...(await findReader(path).readHead(path)) });
  const refuse = (problem: string, concerned: readonly { readonly path: string }[]): never => {
    const names = concerned.map(({ path }) => `"${path}"`).join(", ");
    throw new UsageError(
      `Cannot choose among ${names}: ${problem}; give a pattern that means one file, or one of each task`,
    );
  };
  const [first] = heads;
  if (heads.length > 1 && heads.some(({ task, date }) => task === undefined || date === undefined))
    refuse("their names do not say of which task and date each is", heads);
  const tasks = new Map<string | undefined, typeof heads>();
  for (const head of heads) tasks.set(head.task, [...(tasks.get(head.task) ?? []), head]);
  if (first !== undefined && new Set(heads.map(({ model }) => model)).size > 1)
    refuse(
      `they are of several models, ${[...new Set(heads.map(({ model }) => model))].join(" and ")}`,
      heads,
    );
  const chosen = [...tasks.values()].map((own) => {
    const whole = own.filter(({ problem }) => problem === undefined);
    if (whole.length === 0)
      throw new UsageError(
        `Cannot read "${own.at(-1)?.path}": ${own.at(-1)?.problem}; give results of an evaluation that was finished`,
      );
    const newest = whole.reduce((best, one) => ((one.date ?? "") > (best.date ?? "") ? one : best));
    const equals = whole.filter(({ date }) => date === newest.date);
    if (equals.length > 1) refuse("they are of one task and one date", equals);
    return { task: newest.task, path: newest.path };
  });
  return chosen.sort((a, b) => ((a.task ?? "") < (b.task ?? "") ? -1 : 1));
}

function findReader(path: string): Reader {
  const [extension = ""] = /\.[a-z]+$/.exec(basename(path)) ?? [];
  const reader = readers[extension];
  if (reader !== undefined) return reader;
  throw new UsageError(
    `Cannot read "${path}": give samples_*.jsonl of lm-evaluation-harness, details_*.parquet of lighteval, or a .json or .eval log of Inspect`,
  );
}
