/** Logs of Inspect: `.json`, and `.eval`, which is a ZIP archive with a file for each sample. */
import { toObject, UsageError } from "../base/index.ts";
import { listZip, openByteSource, readText } from "../file/index.ts";
import { chooseMetric, type ImportChoice, type ImportedItem, readSolved, toText } from "./imported-item.ts";

/** Reads a log in either format. Throws `UsageError` where it is malformed or has no samples. */
export async function readInspectLog(path: string, choice: ImportChoice): Promise<readonly ImportedItem[]> {
  const samples = path.endsWith(".eval") ? await readArchive(path) : await readJson(path);
  const [first] = samples;
  if (first === undefined)
    throw new UsageError(
      `Cannot read "${path}": it holds no samples; give a log of an evaluation that was logged with them`,
    );
  const scorer = chooseMetric(Object.keys(toObject(first.scores)), choice, path);
  return samples.map((sample) => {
    const { id, epoch, input, target, output } = sample;
    const score = toObject(toObject(sample.scores)[scorer]);
    const numbered = epoch === undefined || epoch === 1 ? toText(id) : `${toText(id)} epoch ${toText(epoch)}`;
    return {
      key: numbered,
      prompt: describeInput(input),
      target: toText(target),
      answer: toText(score.answer ?? toObject(output).completion),
      isSolved: readSolved(score.value, `sample ${toText(id)} of "${path}"`),
    };
  });
}

/** A prompt, or the last message of a conversation. */
function describeInput(input: unknown): string {
  if (!Array.isArray(input)) return toText(input);
  const last: unknown = input.at(-1);
  return toText(toObject(last).content);
}

type Sample = Readonly<Record<string, unknown>>;

async function readJson(path: string): Promise<readonly Sample[]> {
  const log = parse(await readText(path), path);
  if (log.results !== undefined && log.samples === undefined && log.config !== undefined)
    throw new UsageError(
      `Cannot read "${path}": it holds means only, which cannot be compared question by question; give the samples_*.jsonl that lm-eval writes with --log_samples`,
    );
  return Array.isArray(log.samples) ? log.samples.map(toObject) : [];
}

async function readArchive(path: string): Promise<readonly Sample[]> {
  const source = await openByteSource(path);
  try {
    const entries = listZip(source).filter(({ name }) => /^samples\/.*\.json$/.test(name));
    const samples: Sample[] = [];
    for (const entry of entries) samples.push(parse(new TextDecoder().decode(await entry.read()), path));
    return samples;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new UsageError(`Cannot read "${path}": ${cause.message}`, { cause });
  } finally {
    await source.close();
  }
}

function parse(text: string, path: string): Sample {
  try {
    return toObject(JSON.parse(text));
  } catch (cause) {
    throw new UsageError(`Cannot read "${path}": it is not whole JSON`, { cause });
  }
}
