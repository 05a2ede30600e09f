/** Flags of commands that ask a model behind a server. */
import type { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { type Interface, interfaces } from "../../../bridge/endpoint/index.ts";
import { type TemplateUse, templateUses } from "../../../engine/model/index.ts";
import type { RequestOptions, RunSource, Usage } from "../../../lab/answer/index.ts";
import { listGiven, nameFlag } from "./given-flags.ts";
import { parseChoice, parseCount, parseNumber, parseSeconds } from "./parse-flags.ts";

/** The flags as they are given. */
export interface RequestFlags {
  readonly model?: string;
  readonly api: string;
  readonly temperature: string;
  readonly body?: string;
  readonly concurrency: string;
  readonly timeout: string;
  readonly tries: string;
  readonly price?: string;
  readonly apiKeyEnv?: string;
  readonly judgeApiKeyEnv?: string;
  readonly judgeEndpoint?: string;
  readonly judgeModel?: string;
}

/** Adds the flags to a command. */
export function addRequestFlags(command: Command): Command {
  return command
    .option("--model <name>", "the model's name at the server")
    .option("--api <name>", "how it is asked: chat or completions", "chat")
    .option("--temperature <number>", "0 for the likeliest answer", "0")
    .option("--body <json>", "extra JSON fields for every request, such as '{\"top_p\":0.9}'")
    .option("--concurrency <number>", "questions asked at once", "16")
    .option("--timeout <seconds>", "longest that one request may take", "300")
    .option("--tries <number>", "give up after this many consecutive failed requests", "10")
    .option(
      "--judge-endpoint <url>",
      "the server of a model that grades answers of items whose grader is a judge",
    )
    .option("--judge-model <name>", "model name of the judge at --judge-endpoint")
    .option(
      "--api-key-env <name>",
      "the environment variable with the server's key (default: UNTWIST_API_KEY; for api.openai.com also OPENAI_API_KEY)",
    )
    .option(
      "--judge-api-key-env <name>",
      "the same for the judge's server (default: UNTWIST_JUDGE_API_KEY; for api.openai.com also OPENAI_API_KEY)",
    )
    .option("--price <in,out>", "price of a million tokens read and written, to say what it cost");
}

/** Flags that say who answers for the checkpoints of a run. */
export interface SourceFlags extends RequestFlags {
  readonly template?: string;
  readonly serve?: string;
  readonly serveTimeout: string;
  readonly loraEndpoint?: string;
}

/** Adds the flags to a command. */
export function addSourceFlags(command: Command): Command {
  return addRequestFlags(
    command
      .option("--serve <command>", "start this server for each checkpoint; {path} and {port} are substituted")
      .option("--serve-timeout <seconds>", "longest that a server may take to start", "1800")
      .option("--lora-endpoint <url>", "(runs only) load its adapters, one after the other, at this server")
      .option(
        "--template <use>",
        "on the embedded engine, how chat prompts are formatted: by the model's own template, or none for plain text (default: model, where it has one)",
      ),
  );
}

/** Who answers for checkpoints. Throws `UsageError` where two are named. */
export function chooseSource(flags: SourceFlags): RunSource {
  const { serve, loraEndpoint: url, model, serveTimeout } = flags;
  if (serve !== undefined && url !== undefined)
    throw new UsageError("Cannot evaluate with both --serve and --lora-endpoint: choose one");
  const requests = parseRequests(flags);
  const template = parseTemplate(flags, serve ?? url);
  if (serve !== undefined)
    return {
      kind: "server",
      template: serve,
      startMs: 1000 * parseSeconds("--serve-timeout", serveTimeout),
      requests,
    };
  return url === undefined ? { kind: "embedded", template } : { kind: "adapters", url, model, requests };
}

/** Flags that only servers know what to do with, as commander names them. */
const serverFlags: readonly string[] = [
  "model",
  "api",
  "temperature",
  "body",
  "concurrency",
  "timeout",
  "tries",
  "price",
  "serveTimeout",
  "answers",
  "judgeEndpoint",
  "judgeModel",
  "apiKeyEnv",
  "judgeApiKeyEnv",
];

/** Throws `UsageError` where flags for servers were given and no server is: they would be left out without a word. */
export function requireServer(given: Command, server: string | undefined): void {
  if (server !== undefined) return;
  const flags = Object.keys(listGiven(given)).filter((name) => serverFlags.includes(name));
  if (flags.length > 0)
    throw new UsageError(
      `Cannot use ${flags.map(nameFlag).join(", ")} on the embedded engine: only servers know what to do with that; name a server too, or leave it out`,
    );
}

/** How chats are put on the embedded engine. Throws `UsageError` where a server answers. */
export function parseTemplate(
  { template }: Pick<SourceFlags, "template">,
  server?: string,
): TemplateUse | undefined {
  if (template === undefined) return undefined;
  if (server !== undefined)
    throw new UsageError(
      "Cannot choose the --template of a server: it puts chats by its model's own; plain text is asked by --api completions",
    );
  return parseChoice<TemplateUse>("--template", template, templateUses);
}

/** What the flags say of a server. Throws `UsageError`. */
export function parseRequests(flags: RequestFlags): RequestOptions {
  const temperature = parseNumber("--temperature", flags.temperature);
  if (temperature < 0)
    throw new UsageError(`Cannot read --temperature "${flags.temperature}": give a number from 0`);
  return {
    api: parseChoice<Interface>("--api", flags.api, interfaces),
    temperature,
    fields: parseFields(flags.body),
    concurrency: parseCount("--concurrency", flags.concurrency, 1),
    timeoutMs: 1000 * parseSeconds("--timeout", flags.timeout),
    maxTries: parseCount("--tries", flags.tries, 1),
    apiKeyEnv: flags.apiKeyEnv,
    judge: parseJudge(flags),
  };
}

function parseJudge({
  judgeEndpoint: url,
  judgeModel: model,
  judgeApiKeyEnv: apiKeyEnv,
}: RequestFlags): RequestOptions["judge"] {
  if (url === undefined && model === undefined && apiKeyEnv === undefined) return undefined;
  if (url !== undefined && model !== undefined) return { url, model, apiKeyEnv };
  throw new UsageError("Cannot ask a judge: give both --judge-endpoint and --judge-model");
}

function parseFields(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  const refuse = (problem: string): never => {
    throw new UsageError(`Cannot read --body "${text}": ${problem}`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse(`give a JSON object, as in '{"top_p":0.9}'`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return refuse(`give a JSON object, as in '{"top_p":0.9}'`);
  return { ...value };
}

/** What asking took, in a line; with what it cost where `--price` says so. */
export function formatUsage(usage: Usage, price: string | undefined): string {
  const { numAsked, numKnown, numRetries, numPromptTokens, numNewTokens } = usage;
  const cost = price === undefined ? "" : `, which cost ${computeCost(usage, price).toFixed(4)}`;
  const retries = numRetries === 0 ? "" : `, ${numRetries} requests sent again`;
  const known = numKnown === 0 ? "" : `, ${numKnown} known from before`;
  return `${numAsked} answers asked${known}${retries}; ${numPromptTokens} tokens read, ${numNewTokens} written${cost}`;
}

/** The price of all answers that a result rests on. Throws `UsageError` for a malformed `--price`. */
export function computeCost({ numPromptTokens, numNewTokens }: Usage, price: string): number {
  const [read, written, ...others] = price.split(",").map((part) => parseNumber("--price", part.trim()));
  if (read === undefined || written === undefined || others.length > 0)
    throw new UsageError(`Cannot read --price "${price}": give two numbers, as in 0.15,0.60`);
  return (read * numPromptTokens + written * numNewTokens) / 1e6;
}
