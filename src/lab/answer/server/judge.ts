/** Judges of a run: who they are is kept with it, so that all its checkpoints are graded by the same. */

import { createHash } from "node:crypto";
import { setting, UsageError } from "../../../base/core/index.ts";
import type { Variables } from "../../../base/machine/index.ts";
import type { Effects } from "../../../base/progress/index.ts";
import { createEndpoint, findDifference, type ModelIdentity } from "../../../bridge/endpoint/index.ts";
import { type Environment, splits } from "../../../tasks/environment/index.ts";
import { findJudgeKey } from "./api-keys.ts";

/** How a judge is asked: for its likeliest words in a chat; it may think before its grade. */
export const judgeAsking = { api: "chat", temperature: 0, maxNewTokens: 2048, fields: {} } as const;

/** A judge, and what it is asked. */
export interface JudgeRecord extends ModelIdentity {
  /** First 16 hexadecimal digits of the SHA-256 of what it is asked about an answer. */
  readonly prompt: string;
}

/** Where a judge is. */
export interface JudgeChoice {
  readonly url: string;
  readonly model: string;
  /** The environment variable that holds its server's key, where one was named. */
  readonly apiKeyEnv?: string | undefined;
}

/** A judge's server as it is asked. `url` is the model's server, whose key may be the judge's as well. */
export interface JudgedChoice {
  readonly judge?: JudgeChoice | undefined;
  readonly url?: string;
  readonly apiKeyEnv?: string | undefined;
  readonly timeoutMs: number;
  readonly maxTries: number;
}

/** The settings of a judge's client. Throws `UsageError` for a key that cannot be sent. */
export function describeJudgeEndpoint(
  judge: JudgeChoice,
  { url = judge.url, apiKeyEnv, timeoutMs, maxTries }: JudgedChoice,
  variables: Variables,
): Omit<Parameters<typeof createEndpoint>[0], "signal"> {
  const apiKey = findJudgeKey(judge, { url, apiKeyEnv }, variables);
  return { ...judgeAsking, timeoutMs, maxTries, url: judge.url, model: judge.model, apiKey };
}

/**
 * Who grades the answers to an environment's tasks; `undefined` where it takes no judge. Throws `UsageError` where it takes one
 * and none was named, or its server is down.
 */
export async function identifyJudge(
  environment: Environment,
  choice: JudgedChoice,
  { signal, machine }: Pick<Effects, "signal" | "machine">,
): Promise<JudgeRecord | undefined> {
  if (environment.judging === undefined) return undefined;
  if (choice.judge === undefined)
    throw new UsageError(
      `Cannot grade ${environment.name}: some of its answers take a judge; name one by ${setting("judgeEndpoint")} and ${setting("judgeModel")}`,
    );
  const endpoint = createEndpoint({
    ...describeJudgeEndpoint(choice.judge, choice, machine.variables),
    signal,
  });
  return { ...(await endpoint.identify()), prompt: hashJudgePrompt(environment) };
}

/** What a judge is asked about an answer to the first task that needs one. */
function hashJudgePrompt({ judging, createTask, numTasks }: Environment): string {
  for (const split of splits)
    for (let index = 0; index < (numTasks?.[split] ?? 1); index++) {
      const task = createTask({ split, seed: 0, index, promptFormat: "chat" });
      if (judging?.isNeeded(task) !== true) continue;
      return createHash("sha256").update(judging.prompt(task, "…")).digest("hex").slice(0, 16);
    }
  return "";
}

/** Throws `UsageError` where answers would be graded by another judge than those before, or by other words. */
export function requireSameJudge(
  subject: string,
  before: JudgeRecord | undefined,
  now: JudgeRecord | undefined,
): void {
  const refuse = (what: string, one: unknown, other: unknown): never => {
    throw new UsageError(
      `Cannot evaluate "${subject}" by another judge: its checkpoints were graded with ${what} ${JSON.stringify(one) ?? "that is not known"}, now it is ${JSON.stringify(other) ?? "not known"}; serve the same judge, or follow the checkpoints into another run`,
    );
  };
  if (now === undefined) return;
  if (before === undefined) throw refuse("a judge", undefined, now.model);
  const difference = findDifference(before, now);
  if (difference !== undefined) refuse(`the judge's ${difference}`, before[difference], now[difference]);
  if (before.prompt !== now.prompt) refuse("the judge's prompt", before.prompt, now.prompt);
}
