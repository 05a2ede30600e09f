/** Logs of Inspect: `.json`, and `.eval`, which is a ZIP archive with a file for each sample. */
import { describeError, parsePythonJson, toObject, UsageError } from "../../base/core/index.ts";
import { listZip, openByteSource, readText, type ZipEntry } from "../../base/file/index.ts";
import {
  chooseMetric,
  type ImportChoice,
  type ImportedItem,
  type ImportedResults,
  type ResultsHead,
  readGroup,
  readSolved,
  toText,
} from "./imported-item.ts";

type Sample = Readonly<Record<string, unknown>>;

/** What a log is of. Throws `UsageError` where it is malformed. */
export async function readInspectHead(path: string): Promise<ResultsHead> {
  const { eval: described, status } = path.endsWith(".eval")
    ? await readArchive(path, async (entries) => {
        // The header is written last; until then there is only what was planned.
        const [header, start] = ["header.json", "_journal/start.json"].map((wanted) =>
          entries.find(({ name }) => name === wanted),
        );
        if (header !== undefined) return await readEntry(header, path);
        return start === undefined ? {} : { ...(await readEntry(start, path)), status: "started" };
      })
    : await readJson(path);
  const { task, created, model, task_args: given } = toObject(described);
  const options = Object.keys(toObject(given)).length === 0 ? "" : ` ${JSON.stringify(given)}`;
  return {
    task: task === undefined ? undefined : `${toText(task)}${options}`,
    date: created === undefined ? undefined : toText(created),
    model: model === undefined ? undefined : toText(model),
    problem:
      status === undefined || status === "success"
        ? undefined
        : `its evaluation ended as "${toText(status)}"`,
  };
}

/**
 * Reads a log in either format; the epochs of a question become one item. Throws `UsageError` where it is malformed, has no samples, or
 * not as many epochs of each question.
 */
export async function readInspectLog(path: string, choice: ImportChoice): Promise<ImportedResults> {
  const samples = path.endsWith(".eval")
    ? await readArchive(path, (entries) => readArchivedSamples(entries, path))
    : listSamples(await readJson(path));
  const [first] = samples;
  if (first === undefined)
    throw new UsageError(
      `Cannot read "${path}": it holds no samples; give a log of an evaluation that was logged with them`,
    );
  const metric = chooseMetric(Object.keys(toObject(first.scores)), choice, path);
  const questions = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = toText(sample.id);
    questions.set(key, [...(questions.get(key) ?? []), sample]);
  }
  return {
    metric,
    items: [...questions].map(([key, epochs]) => ({
      ...mergeEpochs(key, epochs, { path, metric, numEpochs: questions.get(toText(first.id))?.length ?? 1 }),
      ...readGroup(toObject(epochs[0]?.metadata), choice, `sample ${key} of "${path}"`),
    })),
  };
}

/** One item of all epochs of a question: they ask the same once more, so that they are not questions of their own. */
function mergeEpochs(
  key: string,
  epochs: readonly Sample[],
  { path, metric, numEpochs }: { readonly path: string; readonly metric: string; readonly numEpochs: number },
): ImportedItem {
  if (new Set(epochs.map(({ epoch }) => epoch)).size !== epochs.length)
    throw new UsageError(`Cannot read "${path}": question ${key} is in it twice in one epoch`);
  if (epochs.length !== numEpochs)
    throw new UsageError(
      `Cannot read "${path}": question ${key} has ${epochs.length} epochs and others have ${numEpochs}; give a log of an evaluation that was finished`,
    );
  const sorted = [...epochs].sort((a, b) => Number(a.epoch ?? 1) - Number(b.epoch ?? 1));
  const solved = sorted.map(({ scores, error, epoch = 1 }) => {
    const place = `sample ${key}${numEpochs === 1 ? "" : `, epoch ${toText(epoch)},`} of "${path}"`;
    const { [metric]: score } = toObject(scores);
    if (score === undefined && error !== undefined && error !== null)
      throw new UsageError(
        `Cannot read ${place}: it ended by an error and has no score; retry the evaluation`,
      );
    return readSolved(toObject(score).value, place);
  });
  const [{ input, target, output, scores } = {}] = sorted;
  return {
    key,
    prompt: describeInput(input),
    target: toText(target),
    answer: toText(toObject(toObject(scores)[metric]).answer ?? toObject(output).completion),
    samples: { solved: solved.filter(Boolean).length, total: solved.length },
  };
}

/** A prompt, or the last message of a conversation. */
function describeInput(input: unknown): string {
  if (!Array.isArray(input)) return toText(input);
  const last: unknown = input.at(-1);
  return toText(toObject(last).content);
}

async function readJson(path: string): Promise<Sample> {
  const log = parse(await readText(path), path);
  if (log.results !== undefined && log.samples === undefined && log.config !== undefined)
    throw new UsageError(
      `Cannot read "${path}": it holds means only, which cannot be compared question by question; give the samples_*.jsonl that lm-eval writes with --log_samples`,
    );
  return log;
}

function listSamples({ samples }: Sample): readonly Sample[] {
  return Array.isArray(samples) ? samples.map(toObject) : [];
}

async function readArchivedSamples(entries: readonly ZipEntry[], path: string): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  for (const entry of entries)
    if (/^samples\/.*\.json$/.test(entry.name)) samples.push(await readEntry(entry, path));
  return samples;
}

async function readEntry(entry: ZipEntry, path: string): Promise<Sample> {
  return parse(new TextDecoder().decode(await entry.read()), path);
}

async function readArchive<Value>(
  path: string,
  read: (entries: readonly ZipEntry[]) => Promise<Value>,
): Promise<Value> {
  const source = await openByteSource(path);
  try {
    return await read(listZip(source));
  } catch (cause) {
    // Fields that point out of the archive are a damaged archive too.
    if (!(cause instanceof SyntaxError || cause instanceof RangeError)) throw cause;
    throw new UsageError(`Cannot read "${path}": ${describeError(cause)}`, { cause });
  } finally {
    await source.close();
  }
}

function parse(text: string, path: string): Sample {
  try {
    return toObject(parsePythonJson(text));
  } catch (cause) {
    throw new UsageError(`Cannot read "${path}": it is not whole JSON`, { cause });
  }
}
