/** Keys of servers, read from the environment where they are needed and written nowhere. */
import { findApiKey } from "../../bridge/endpoint/index.ts";

/** The variable of the key for a model's server, and of that for a judge's, where none was named. */
const usualNames = { model: "UNTWIST_API_KEY", judge: "UNTWIST_JUDGE_API_KEY" } as const;

/** The key for a model's server. Throws as `findApiKey`. */
export function findModelKey(url: string, named: string | undefined): string | undefined {
  return findApiKey({ url, named, usual: usualNames.model, variables: process.env });
}

/** The key for a judge's server, which is the model's where one server has both. Throws as `findApiKey`. */
export function findJudgeKey(
  judge: { readonly url: string; readonly apiKeyEnv?: string | undefined },
  model: { readonly url: string; readonly apiKeyEnv?: string | undefined },
): string | undefined {
  const isOwn = judge.apiKeyEnv !== undefined || process.env[usualNames.judge] !== undefined;
  if (!isOwn && URL.canParse(model.url) && URL.canParse(judge.url))
    if (new URL(model.url).origin === new URL(judge.url).origin)
      return findModelKey(judge.url, model.apiKeyEnv);
  return findApiKey({
    url: judge.url,
    named: judge.apiKeyEnv,
    usual: usualNames.judge,
    variables: process.env,
  });
}
