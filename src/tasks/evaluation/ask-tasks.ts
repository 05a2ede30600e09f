/** Evaluation of a model that is asked one conversation at a time, several at once: one behind a server. */
import { createRandom, setting, UsageError } from "../../base/core/index.ts";
import {
  type Attempt,
  type ConversationTurn,
  type Grade,
  type Split,
  writeConversation,
} from "../environment/index.ts";
import { type Completion, gradeCompletion, type Reply, readReply } from "../rollout/index.ts";
import {
  createTasks,
  describeKind,
  type EvaluatedItem,
  type EvaluationOptions,
  hashTask,
} from "./evaluate.ts";

/** Gives an answer; `seed` is the same whenever the same attempt at the same task is asked. */
export type Respond = (conversation: readonly ConversationTurn[], seed: number) => Promise<Reply>;

/** Which tasks are asked, and how. */
export interface AskOptions
  extends Pick<
    EvaluationOptions,
    "environment" | "promptFormat" | "splits" | "numTasks" | "seed" | "numAttempts"
  > {
  /** Conversations held at once. */
  readonly concurrency: number;
  /** Grades what only a model can grade. */
  readonly judge?: Respond | undefined;
  /** Called when a task is done. */
  readonly onItem?: (item: EvaluatedItem) => void;
}

/**
 * Asks and grades every task of the splits; items in order of split and index, whatever the order of the answers. Rejects
 * with the first error of `respond`; nothing more is asked then.
 */
export async function askTasks(respond: Respond, options: AskOptions): Promise<readonly EvaluatedItem[]> {
  const places = options.splits.flatMap((split) =>
    createTasks(options, { split, first: 0, numTasks: options.numTasks }).map((task, index) => ({
      split,
      index,
      task,
    })),
  );
  const items: EvaluatedItem[] = [];
  let next = 0;
  let hasFailed = false;
  const work = async (): Promise<void> => {
    while (next < places.length && !hasFailed) {
      const position = next++;
      const place = places[position];
      if (place === undefined) return;
      try {
        const item = await askTask(respond, place, options);
        items[position] = item;
        options.onItem?.(item);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  // What is being asked when one fails is still awaited, so that its answers are kept.
  const ended = await Promise.allSettled(
    Array.from({ length: Math.min(options.concurrency, places.length) }, work),
  );
  for (const one of ended) if (one.status === "rejected") throw one.reason;
  return items;
}

/** The outcome of an answer whose judge did not come to the end of its own. */
export const notJudged = "not judged";

interface NumberedTask {
  readonly split: Split;
  readonly index: number;
  readonly task: unknown;
}

async function askTask(
  respond: Respond,
  { split, index, task }: NumberedTask,
  options: AskOptions,
): Promise<EvaluatedItem> {
  const { environment, promptFormat, numAttempts, seed } = options;
  const attempts: Attempt[] = [];
  for (let attempt = 0; attempt < numAttempts; attempt++) {
    const conversation = writeConversation(environment, task, { promptFormat, attempts });
    const drawn = createRandom(seed, "answer", split, index, attempt).integer(0, 2 ** 31 - 1);
    const completion = readReply(await respond(conversation, drawn));
    const grade = await gradeAsked({ task, completion, seed: drawn }, options);
    attempts.push({ answer: completion.answer, grade });
    if (grade.parts.solved) break;
  }
  const last = attempts.at(-1);
  if (last === undefined)
    throw new RangeError(`Cannot grade task ${index} of ${split}: no attempt is allowed`);
  const { outcome, reward, parts } = last.grade;
  return {
    split,
    index,
    promptHash: hashTask(environment, task, promptFormat),
    answer: last.answer,
    numAttempts: attempts.length,
    outcome,
    reward,
    parts,
    ...describeKind(environment, task),
  };
}

/** The environment's grade, or the judge's. Throws `UsageError` where it takes a judge and there is none. */
async function gradeAsked(
  {
    task,
    completion,
    seed,
  }: { readonly task: unknown; readonly completion: Completion; readonly seed: number },
  { environment, promptFormat, judge }: AskOptions,
): Promise<Grade> {
  const { judging } = environment;
  if (completion.problem !== undefined || judging === undefined || !judging.isNeeded(task))
    return gradeCompletion({ environment, task, promptFormat }, completion);
  if (judge === undefined)
    throw new UsageError(
      `Cannot grade ${environment.name}: some of its answers take a judge; name one by ${setting("judgeEndpoint")} and ${setting("judgeModel")}`,
    );
  const prompt = judging.prompt(task, completion.answer);
  const said = readReply(await judge([{ role: "user", content: prompt }], seed));
  const grade = said.problem === undefined ? judging.grade(said.answer) : undefined;
  if (grade !== undefined) return grade;
  const nothing = environment.grade(task, "", { promptFormat });
  return { ...nothing, outcome: notJudged, feedback: "the judge gave no grade" };
}
