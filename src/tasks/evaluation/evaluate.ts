/**
 * Evaluation: one checkpoint answers a fixed set of tasks, the same for every checkpoint, so that comparisons are
 * paired. Each answer keeps its grade; aggregates are counts.
 */
import { createHash } from "node:crypto";
import { createRandom } from "../../base/core/index.ts";
import {
  appendAnswer,
  greedy,
  type ModelDescription,
  type Policy,
  type Sampling,
  type TemplateUse,
} from "../../engine/model/index.ts";
import type { Environment, GradeParts, PromptFormat, Split } from "../environment/index.ts";
import { collectEpisodes, type Episode } from "../rollout/index.ts";

/** One task, answered and graded. */
export interface EvaluatedItem {
  readonly split: Split;
  readonly index: number;
  /** First 16 hexadecimal digits of the SHA-256 of the prompt, or of what else tells the task from others. */
  readonly promptHash: string;
  /** The last answer given, and how many were. */
  readonly answer: string;
  readonly numAttempts: number;
  readonly outcome: string;
  readonly reward: number;
  /** Format and values are absent where another tool graded: its logs do not have them. */
  readonly parts: Pick<GradeParts, "solved"> & {
    readonly [Part in "format" | "values"]?: GradeParts[Part] | undefined;
  };
  /** Of a task that was answered several times, each answer on its own: how many there are, and how many are right. */
  readonly samples?: { readonly solved: number; readonly total: number } | undefined;
  /** The probability that a guess is right; absent where guessing gets nowhere. */
  readonly chance?: number | undefined;
  /** What the task shares with others; absent where it stands for itself. */
  readonly group?: string | undefined;
  /**
   * Negative log-likelihood in nats of the reference answer, end token included, and its number of tokens; absent where the
   * model lies behind an endpoint, or gives no numbers.
   */
  readonly reference?: ReferenceScore | undefined;
}

/** How likely a model finds a given answer. */
export interface ReferenceScore {
  readonly negativeLogLikelihood: number;
  readonly numTokens: number;
}

/** Which tasks are answered, and how. */
export interface EvaluationOptions {
  readonly environment: Environment;
  readonly promptFormat: PromptFormat;
  readonly splits: readonly Split[];
  /** Tasks per split. */
  readonly numTasks: number;
  /** Names the tasks, and the draws where `sampling` is not greedy. */
  readonly seed: number;
  readonly numAttempts: number;
  readonly maxNewTokens: number;
  /** Whether tasks in the chat prompt format are put by the model's own template. Default: none. */
  readonly template?: TemplateUse | undefined;
  /** Default: greedy. */
  readonly sampling?: Sampling;
  /** Tasks answered together. */
  readonly batchSize: number;
  /** Called before every batch with the fraction of the tasks that are answered; what it throws stops the evaluation. */
  readonly onBatch?: (doneFraction: number) => void;
}

/** Answers and grades every task of the splits, a batch at a time; items in order of split and index. */
export async function evaluate(
  model: ModelDescription,
  policy: Policy,
  options: EvaluationOptions,
): Promise<readonly EvaluatedItem[]> {
  const items: EvaluatedItem[] = [];
  const { splits, numTasks, batchSize } = options;
  for (const split of splits)
    for (let first = 0; first < numTasks; first += batchSize) {
      options.onBatch?.(items.length / (splits.length * numTasks));
      items.push(...(await evaluateBatch(model, policy, { split, first, options })));
    }
  return items;
}

interface TaskBatch {
  readonly split: Split;
  /** Index of the batch's first task. */
  readonly first: number;
  readonly options: EvaluationOptions;
}

async function evaluateBatch(
  model: ModelDescription,
  policy: Policy,
  { split, first, options }: TaskBatch,
): Promise<readonly EvaluatedItem[]> {
  const numTasks = Math.min(options.batchSize, options.numTasks - first);
  const tasks = createTasks(options, { split, first, numTasks });
  const episodes = await collectEpisodes(tasks, {
    ...options,
    policy,
    tokenizer: model.tokenizer,
    sampling: options.sampling ?? greedy,
    path: ["evaluation", split, first],
    references: tasks.map((task) => encodeReference(model, task, options)),
  });
  return tasks.map((task, row) =>
    describeItem({ split, index: first + row, task, options }, episodes[row] ?? []),
  );
}

/** Some of the tasks of a split: the same for every checkpoint that is evaluated with these options. */
export function createTasks(
  { environment, promptFormat, seed }: Pick<EvaluationOptions, "environment" | "promptFormat" | "seed">,
  { split, first, numTasks }: { readonly split: Split; readonly first: number; readonly numTasks: number },
): readonly unknown[] {
  // A random offset per split keeps the tasks apart from those of training, which count up from their own seeds.
  const offset = createRandom(seed, "evaluation", split).integer(0, 2 ** 30);
  return Array.from({ length: numTasks }, (_, row) =>
    environment.createTask({ split, seed: offset, index: first + row, promptFormat }),
  );
}

/** First 16 hexadecimal digits of the SHA-256 of a task's prompt, or of what else tells it from others. */
export function hashTask(
  environment: Pick<Environment, "prompt" | "identify">,
  task: unknown,
  promptFormat: PromptFormat,
): string {
  const text = environment.identify?.(task) ?? environment.prompt(task, promptFormat);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

interface ItemSource {
  readonly split: Split;
  readonly index: number;
  readonly task: unknown;
  readonly options: EvaluationOptions;
}

function describeItem({ split, index, task, options }: ItemSource, episode: Episode): EvaluatedItem {
  const [last, referenceLogProbs] = [episode.at(-1), episode[0]?.referenceLogProbs];
  if (last === undefined) throw new RangeError(`Cannot grade task ${index} of ${split}: it was not answered`);
  return {
    split,
    index,
    promptHash: hashTask(options.environment, task, options.promptFormat),
    answer: last.text,
    numAttempts: episode.length,
    outcome: last.grade.outcome,
    reward: last.grade.reward,
    parts: last.grade.parts,
    ...describeKind(options.environment, task),
    ...(referenceLogProbs !== undefined && scoreReference(referenceLogProbs)),
  };
}

/** What an item says of its task: of guessing, and what it shares with others. */
export function describeKind(
  environment: Environment,
  task: unknown,
): Pick<EvaluatedItem, "chance" | "group"> {
  const [chance, group] = [environment.chance?.(task) ?? 0, environment.group?.(task)];
  return { ...(chance !== 0 && { chance }), ...(group !== undefined && { group }) };
}

/** A task's reference answer as token ids, the end token included where the model has one; absent where there is no text to score. */
function encodeReference(
  { tokenizer, config }: ModelDescription,
  task: unknown,
  { environment, promptFormat }: EvaluationOptions,
): readonly number[] | undefined {
  const answer = findScoredAnswer(environment, task, promptFormat);
  if (answer === undefined) return undefined;
  return appendAnswer(tokenizer, [], { answer, endToken: config.endToken }).tokens;
}

/** What an item says of its reference. A model whose weights are not finite has no likelihoods. */
function scoreReference(logProbs: readonly number[]): Pick<EvaluatedItem, "reference"> {
  const sum = logProbs.reduce((sum, value) => sum + value, 0);
  return Number.isFinite(sum)
    ? { reference: { negativeLogLikelihood: -sum, numTokens: logProbs.length } }
    : {};
}

function findScoredAnswer(
  environment: Environment,
  task: unknown,
  promptFormat: PromptFormat,
): string | undefined {
  return environment.scoredAnswer === undefined
    ? environment.referenceAnswer(task, promptFormat)
    : environment.scoredAnswer(task, promptFormat);
}
