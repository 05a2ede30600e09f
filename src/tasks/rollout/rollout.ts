/** Rollouts: a policy answers tasks, up to the allowed attempts, and is graded. */
import { createRandom } from "../../base/core/index.ts";
import {
  type Generation,
  type Policy,
  type Sampling,
  type Sequence,
  type TemplateUse,
  type Tokenizer,
  writeChatPrompt,
} from "../../engine/model/index.ts";
import {
  type Attempt,
  type Environment,
  type Grade,
  type PromptFormat,
  writeConversation,
} from "../environment/index.ts";
import { gradeCompletion, opensThinking, readReply } from "./completion.ts";

/** One attempt: the prompt as the policy saw it, its answer, the log-probabilities it had, and the grade. */
export interface Turn {
  readonly sequence: Sequence;
  /** log π of each answer token when it was sampled. */
  readonly logProbs: readonly number[];
  /** The answer, without the thinking before it. */
  readonly text: string;
  readonly grade: Grade;
  /** log π of each token of the task's reference after the prompt; absent where there is none, and after the first attempt. */
  readonly referenceLogProbs?: readonly number[] | undefined;
}

/** The attempts at one task, the last one solved or the last allowed. */
export type Episode = readonly Turn[];

/** How tasks are put to a model. */
export interface PromptOptions {
  readonly environment: Environment;
  readonly promptFormat: PromptFormat;
  readonly tokenizer: Tokenizer;
  /** Whether tasks in the chat prompt format are put by the model's own template. Default: none. */
  readonly template?: TemplateUse | undefined;
}

/** Who answers, and how answers are graded. */
export interface RolloutOptions extends PromptOptions {
  readonly policy: Policy;
  readonly sampling: Sampling;
  readonly maxNewTokens: number;
  readonly numAttempts: number;
  /** Names the random streams of the answers, so that a rollout can be repeated. */
  readonly seed: number;
  readonly path: readonly (string | number)[];
  /** A task's reference as token ids, one a task: it is scored after the prompt of the first attempt, where there is room. Default: none. */
  readonly references?: readonly (readonly number[] | undefined)[];
}

/**
 * Lets the policy answer every task; one episode a task, in their order. An episode also ends where the prompt of its
 * next attempt, which grows with the history, would leave no room for an answer.
 */
export async function collectEpisodes(
  tasks: readonly unknown[],
  options: RolloutOptions,
): Promise<readonly Episode[]> {
  const episodes: Turn[][] = tasks.map(() => []);
  for (let attempt = 0; attempt < options.numAttempts; attempt++) {
    const open = [...tasks.entries()]
      .filter(([index]) => !episodes[index]?.at(-1)?.grade.parts.solved)
      .map(([index, task]) => {
        const text = writeTaskPrompt(task, listAttempts(episodes[index] ?? []), options);
        return {
          index,
          task,
          prompt: encodeTaskPrompt(text, options),
          isThinking: options.template === "model" && opensThinking(text),
        };
      })
      .filter(({ prompt }) => attempt === 0 || fits(prompt, options));
    if (open.length === 0) break;
    const requests = open.map(({ index, prompt }) => ({
      prompt,
      random: createRandom(options.seed, ...options.path, index, attempt),
      ...(attempt === 0 && { reference: findReference(prompt, index, options) }),
    }));
    const generations = await options.policy.generate(requests, options);
    for (const [row, asked] of open.entries()) {
      const generation = generations[row];
      if (generation !== undefined) episodes[asked.index]?.push(gradeTurn(asked, generation, options));
    }
  }
  return episodes;
}

/** The reference of a task, where the policy has positions for it. */
function findReference(
  prompt: readonly number[],
  index: number,
  { references, policy }: RolloutOptions,
): readonly number[] | undefined {
  const reference = references?.[index];
  const isRoom = prompt.length + (reference?.length ?? 0) <= policy.maxPositions;
  return isRoom ? reference : undefined;
}

function fits(prompt: readonly number[], { policy, maxNewTokens }: RolloutOptions): boolean {
  return prompt.length + maxNewTokens <= policy.maxPositions;
}

function listAttempts(turns: readonly Turn[]): readonly Attempt[] {
  return turns.map(({ text, grade }) => ({ answer: text, grade }));
}

/** The text that a model continues with its next attempt at a task, after `attempts`. */
export function writeTaskPrompt(
  task: unknown,
  attempts: readonly Attempt[],
  { environment, promptFormat, tokenizer, template }: PromptOptions,
): string {
  if (template === "model" && promptFormat === "chat")
    return writeChatPrompt(tokenizer, writeConversation(environment, task, { promptFormat, attempts }));
  return attempts.length === 0
    ? environment.prompt(task, promptFormat)
    : environment.retryPrompt(task, { promptFormat, attempts });
}

/** Token ids of a text that `writeTaskPrompt` wrote. */
export function encodeTaskPrompt(
  text: string,
  { promptFormat, tokenizer, template }: Omit<PromptOptions, "environment">,
): readonly number[] {
  const isTemplated = template === "model" && promptFormat === "chat";
  return isTemplated ? tokenizer.encode(text) : tokenizer.encodePrompt(text);
}

interface AskedTask {
  readonly task: unknown;
  readonly prompt: readonly number[];
  /** Whether the prompt opened the thinking that the answer begins with. */
  readonly isThinking: boolean;
}

function gradeTurn(
  { task, prompt, isThinking }: AskedTask,
  { tokens, logProbs, isFinished, referenceLogProbs }: Generation,
  { environment, promptFormat, tokenizer }: RolloutOptions,
): Turn {
  const reply = { text: tokenizer.decode(tokens), finish: isFinished ? "stop" : "length" };
  const completion = readReply(reply, isThinking);
  return {
    sequence: { tokens: [...prompt, ...tokens], numPromptTokens: prompt.length },
    logProbs,
    text: completion.answer,
    grade: gradeCompletion({ environment, task, promptFormat }, completion),
    ...(referenceLogProbs !== undefined && { referenceLogProbs }),
  };
}
