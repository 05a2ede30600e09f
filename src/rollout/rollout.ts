/** Rollouts: a policy answers tasks, up to the allowed attempts, and is graded. */
import { createRandom } from "../base/index.ts";
import type { Attempt, Environment, Rendering, Verdict } from "../environment/index.ts";
import type { Generation, Generator, Sampling, Sequence, Tokenizer } from "../model/index.ts";

/** One attempt: the prompt as the policy saw it, its answer, the log-probabilities it had, and the grade. */
export interface Turn {
  readonly sequence: Sequence;
  /** log π of each answer token when it was sampled. */
  readonly logProbs: readonly number[];
  readonly text: string;
  readonly verdict: Verdict;
}

/** The attempts at one task, the last one solved or the last allowed. */
export type Episode = readonly Turn[];

/** Who answers, and how answers are graded. */
export interface RolloutOptions {
  readonly environment: Environment;
  readonly rendering: Rendering;
  readonly tokenizer: Tokenizer;
  readonly generator: Generator;
  readonly sampling: Sampling;
  readonly maxNewTokens: number;
  readonly numAttempts: number;
  /** Names the random streams of the answers, so that a rollout can be repeated. */
  readonly seed: number;
  readonly path: readonly (string | number)[];
}

/**
 * Lets the policy answer every task; one episode a task, in their order. An episode also ends where the prompt of its
 * next attempt, which grows with the history, would leave no room for an answer.
 */
export async function collectEpisodes(
  parameters: Float32Array,
  tasks: readonly unknown[],
  options: RolloutOptions,
): Promise<readonly Episode[]> {
  const episodes: Turn[][] = tasks.map(() => []);
  for (let attempt = 0; attempt < options.numAttempts; attempt++) {
    const open = [...tasks.entries()]
      .filter(([index]) => !episodes[index]?.at(-1)?.verdict.parts.solved)
      .map(([index, task]) => ({ index, task, prompt: tokenizePrompt(task, episodes[index] ?? [], options) }))
      .filter(({ prompt }) => attempt === 0 || fits(prompt, options));
    if (open.length === 0) break;
    const requests = open.map(({ index, prompt }) => ({
      prompt,
      random: createRandom(options.seed, ...options.path, index, attempt),
    }));
    const generations = await options.generator.generate(parameters, requests, options);
    for (const [row, { index, task, prompt }] of open.entries()) {
      const generation = generations[row];
      if (generation !== undefined) episodes[index]?.push(gradeTurn(task, prompt, { generation, options }));
    }
  }
  return episodes;
}

function fits(prompt: readonly number[], { generator, maxNewTokens }: RolloutOptions): boolean {
  return prompt.length + maxNewTokens <= generator.maxPositions;
}

function tokenizePrompt(task: unknown, turns: readonly Turn[], options: RolloutOptions): readonly number[] {
  const { environment, rendering, tokenizer } = options;
  const attempts = turns.map(({ text, verdict }): Attempt => ({ answer: text, verdict }));
  const isFirst = attempts.length === 0;
  return tokenizer.encode(
    isFirst ? environment.prompt(task, rendering) : environment.retryPrompt(task, { rendering, attempts }),
  );
}

function gradeTurn(
  task: unknown,
  prompt: readonly number[],
  { generation, options }: { readonly generation: Generation; readonly options: RolloutOptions },
): Turn {
  const { environment, rendering, tokenizer } = options;
  const text = tokenizer.decode(generation.tokens);
  return {
    sequence: { tokens: [...prompt, ...generation.tokens], numPromptTokens: prompt.length },
    logProbs: generation.logProbs,
    text,
    verdict: environment.grade(task, text, { rendering }),
  };
}
