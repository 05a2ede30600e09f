/** Keys of servers, read from the environment where they are needed and written nowhere. */
import type { Variables } from "../../../base/machine/index.ts";
import { findApiKey } from "../../../bridge/endpoint/index.ts";

/** The variable of the key for a model's server, and of that for a judge's, where none was named. */
const usualNames = { model: "UNTWIST_API_KEY", judge: "UNTWIST_JUDGE_API_KEY" } as const;

/** A server, and the variable that holds its key, where one was named. */
interface KeyedServer {
  readonly url: string;
  readonly apiKeyEnv?: string | undefined;
}

/** The key for a model's server. Throws as `findApiKey`. */
export function findModelKey(
  { url, apiKeyEnv: named }: KeyedServer,
  variables: Variables,
): string | undefined {
  return findApiKey({ url, named, usual: usualNames.model, variables });
}

/** The key for a judge's server, which is the model's where one server has both. Throws as `findApiKey`. */
export function findJudgeKey(
  judge: KeyedServer,
  model: KeyedServer,
  variables: Variables,
): string | undefined {
  const isOwn = judge.apiKeyEnv !== undefined || variables[usualNames.judge] !== undefined;
  if (!isOwn && URL.canParse(model.url) && URL.canParse(judge.url))
    if (new URL(model.url).origin === new URL(judge.url).origin)
      return findModelKey({ url: judge.url, apiKeyEnv: model.apiKeyEnv }, variables);
  return findApiKey({
    url: judge.url,
    named: judge.apiKeyEnv,
    usual: usualNames.judge,
    variables,
  });
}
