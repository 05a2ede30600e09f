/**
 * A model behind a server that speaks OpenAI's HTTP interface: asked with retries and back-off, so that a busy, flaky or
 * restarting server costs time and never an answer.
 */
import { setMaxListeners } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { setting, UsageError } from "../../base/core/index.ts";
import { normalizeUrl } from "./address.ts";
import { maskKey, stripControls } from "./clean-text.ts";
import {
  type EndpointAnswer,
  type Exchange,
  isPermanentRefusal,
  type ModelIdentity,
  parseAnswer,
  parseLogProb,
  parseModels,
  readErrorMessage,
} from "./payload.ts";
import { readWaitMs } from "./retry-after.ts";
import { AnswerTooLargeError, type HttpAnswer, sendRequest } from "./send.ts";

/** The two ways of asking. */
export const interfaces = ["chat", "completions"] as const;
/** Which of OpenAI's routes a server is asked by. */
export type Interface = (typeof interfaces)[number];

/** A turn of a conversation. */
export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** How a model is asked: what answers depend on. */
export interface AskingOptions {
  readonly api: Interface;
  readonly temperature: number;
  readonly maxNewTokens: number;
  /** Further fields of the request, such as `top_p`. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How patient one is with a server. */
export interface ConnectionOptions {
  readonly apiKey?: string | undefined;
  /** Milliseconds that one request may take. */
  readonly timeoutMs: number;
  /** Requests in a row that may fail before it is given up. */
  readonly maxTries: number;
  readonly signal: AbortSignal;
}

/** Where a model is, and how it is asked. */
export interface EndpointOptions extends AskingOptions, ConnectionOptions {
  /** With or without its final `/v1`. */
  readonly url: string;
  readonly model: string;
}

/** A model that can be asked. */
export interface Endpoint {
  /** Throws `UsageError` where the server is down or has no such model. */
  identify(): Promise<ModelIdentity>;
  /** Throws `UsageError` where the server refuses, or fails too often in a row; the signal's reason when it is aborted. */
  ask(messages: readonly Message[], seed: number): Promise<EndpointAnswer>;
  /**
   * log π of the likeliest token after each of some fixed texts, by which two sets of weights behind one server can be told
   * apart; `undefined` where the server gives no log-probabilities.
   */
  probe(): Promise<readonly number[] | undefined>;
  /** Requests that failed and were sent again so far. */
  readonly numRetries: () => number;
}

/** A server at which LoRA adapters can be loaded while it runs. */
export interface AdapterHost {
  /** Everything it serves. Throws `UsageError` where it is down. */
  list(): Promise<readonly ModelIdentity[]>;
  /** Loads an adapter from a folder that the server can read. Throws `UsageError` where the server refuses. */
  load(name: string, path: string): Promise<void>;
  unload(name: string): Promise<void>;
}

/** Creates the client of a server with adapters, by vLLM's routes; nothing is sent before the first call. */
export function createAdapterHost(options: ConnectionOptions & { readonly url: string }): AdapterHost {
  const root = normalizeUrl(options.url);
  const { exchange } = createConnection(`the server at ${root}`, options);
  const post = (route: string, body: Readonly<Record<string, unknown>>): Promise<true> =>
    exchange({ url: `${root}/${route}`, body, parse: () => ({ value: true as const }) }, options.maxTries);
  return {
    list: () => exchange({ url: `${root}/models`, parse: parseModels }, Math.min(3, options.maxTries)),
    load: async (name, path) => {
      await post("load_lora_adapter", { lora_name: name, lora_path: path });
    },
    unload: async (name) => {
      await post("unload_lora_adapter", { lora_name: name });
    },
  };
}

/** Sends requests until they are answered, or have failed too often in a row. */
interface Connection {
  readonly exchange: <Value>(call: Call<Value>, maxTries: number) => Promise<Value>;
  readonly numRetries: () => number;
}

function createConnection(subject: string, options: ConnectionOptions): Connection {
  let numRetries = 0;
  // Every request under way listens, and there are as many as one asks at once.
  setMaxListeners(0, options.signal);
  return {
    numRetries: () => numRetries,
    exchange: async (call, maxTries) => {
      for (let failures = 0; ; ) {
        const outcome = await tryOnce(call, options);
        if ("value" in outcome) return outcome.value;
        failures += 1;
        if (!outcome.isTransient || failures >= maxTries)
          throw new UsageError(
            `Cannot ask ${subject}: ${maskKey(stripControls(outcome.problem), options.apiKey)}`,
          );
        numRetries += 1;
        await wait(outcome.waitMs ?? backOff(failures), undefined, { signal: options.signal });
      }
    },
  };
}

/** Fields of a request that would ask another model, another question or for another kind of answer; some have one value that says nothing. */
const ownFields: Readonly<Record<string, unknown>> = {
  model: undefined,
  messages: undefined,
  prompt: undefined,
  stream: false,
  echo: false,
  n: 1,
};

/** Throws `UsageError` where further fields of requests are ours to set. */
function requireForeignFields(fields: EndpointOptions["fields"]): void {
  for (const [name, value] of Object.entries(fields))
    if (Object.hasOwn(ownFields, name) && value !== null && value !== ownFields[name])
      throw new UsageError(
        `Cannot ask with a field "${name}" of ${JSON.stringify(value)} (${setting("fields")}): it would change what is asked or how the answer is read; leave it out`,
      );
}

/** Creates the client of a model; nothing is sent before the first question. Throws `UsageError` for fields that are not to be given. */
export function createEndpoint(options: EndpointOptions): Endpoint {
  const { model, maxTries } = options;
  requireForeignFields(options.fields);
  const root = normalizeUrl(options.url);
  const { exchange, numRetries } = createConnection(`${model} at ${root}`, options);
  const hasty = createConnection(`${model} at ${root}`, {
    ...options,
    timeoutMs: Math.min(options.timeoutMs, mostProbeMs),
  });
  const probe = async (): Promise<readonly number[] | undefined> => {
    const values: number[] = [];
    try {
      for (const prompt of probeTexts) {
        const body = { model, prompt, max_tokens: 1, temperature: 0, logprobs: 1 };
        const call = { url: `${root}/completions`, body, parse: parseLogProb };
        values.push(await hasty.exchange(call, Math.min(2, maxTries)));
      }
      return values;
    } catch (error) {
      if (error instanceof UsageError) return undefined;
      throw error;
    }
  };
  return {
    identify: async () => {
      /** A server that gives no more than a name is told from another one by its address, and by what it finds likely. */
      const complete = async (identity: ModelIdentity): Promise<ModelIdentity> => {
        if (identity.fingerprint !== undefined) return identity;
        const isPlace = identity.root !== undefined && identity.root !== identity.model;
        const found = await probe();
        return {
          ...identity,
          ...(!isPlace && { url: root }),
          ...(found !== undefined && { probe: found }),
        };
      };
      const models = await exchange({ url: `${root}/models`, parse: parseModels }, Math.min(3, maxTries));
      const found = models.find((one) => one.model === model);
      if (found !== undefined) return await complete(found);
      const known = stripControls(models.map((one) => `"${one.model}"`).join(", "));
      throw new UsageError(
        `Cannot ask "${model}" at ${root}: there is no such model; it serves ${known === "" ? "none" : known}`,
      );
    },
    ask: (messages, seed) => exchange(describeQuestion(root, { messages, seed }, options), maxTries),
    probe,
    numRetries,
  };
}

/**
 * What a model is asked to be recognized: texts that may go on in many ways, so that small differences show. They are part of
 * what identities in files mean: the order of those that are there stays.
 */
const probeTexts = [
  "The 7 most 3",
  "I think that",
  "12 + 7 - 3 =",
  "Yesterday, a small",
  "def f(x):\n    return",
  "However, nobody",
] as const;

/** Longest that one question of a probe may take: a server that has trouble with it is asked without. */
const mostProbeMs = 30_000;

/** A request, and how its answer is read. */
interface Call<Value> {
  readonly url: string;
  /** Sent as JSON; absent means that something is only read. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** Reads the text of an answer; a `SyntaxError` means that it is cut off. */
  readonly parse: (text: string) => Exchange<Value>;
}

function describeQuestion(
  root: string,
  { messages, seed }: { readonly messages: readonly Message[]; readonly seed: number },
  { api, model, temperature, maxNewTokens, fields }: EndpointOptions,
): Call<EndpointAnswer> {
  // A field that is given as null is left out: some servers refuse one that they do not know.
  const all: Readonly<Record<string, unknown>> = { temperature, max_tokens: maxNewTokens, seed, ...fields };
  const limit = Number(all.max_tokens ?? all.max_completion_tokens ?? Number.POSITIVE_INFINITY);
  const parse = (text: string): Exchange<EndpointAnswer> => parseAnswer(text, limit);
  const common = { model, ...Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) };
  if (api === "chat") return { url: `${root}/chat/completions`, body: { ...common, messages }, parse };
  const prompt = messages.map(({ content }) => content).join("\n\n");
  return { url: `${root}/completions`, body: { ...common, prompt }, parse };
}

type Outcome<Value> =
  | { readonly value: Value }
  | { readonly problem: string; readonly isTransient: boolean; readonly waitMs?: number };

/** Statuses that another try may change. */
const transientStatuses = new Set([408, 409, 425, 429, 500, 502, 503, 504, 529]);

async function tryOnce<Value>(
  { url, body, parse }: Call<Value>,
  { apiKey, timeoutMs, signal }: ConnectionOptions,
): Promise<Outcome<Value>> {
  try {
    const answer = await sendRequest({
      url,
      headers: {
        "content-type": "application/json",
        ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    return answer.status >= 200 && answer.status < 300 ? parse(answer.text) : describeRefusal(answer, apiKey);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof AnswerTooLargeError) return { problem: error.message, isTransient: false };
    return { problem: describeFailure(error, timeoutMs), isTransient: true };
  }
}

function describeRefusal({ status, headers, text }: HttpAnswer, key: string | undefined): Outcome<never> {
  const said = readErrorMessage(maskKey(text, key));
  const problem = `it answers with status ${status}${said === "" ? "" : `: ${said}`}`;
  const isTransient = transientStatuses.has(status) && !isPermanentRefusal(text);
  const waitMs = readWaitMs(headers["retry-after"], Date.now());
  if (isTransient) return { problem, isTransient, ...(waitMs !== undefined && { waitMs }) };
  const remedy =
    status === 401 || status === 403
      ? `; give its key in the environment variable UNTWIST_API_KEY (a judge's in UNTWIST_JUDGE_API_KEY), or name another by ${setting("apiKeyEnv")} or ${setting("judgeApiKeyEnv")}`
      : status === 404
        ? "; check the address and the model's name"
        : "";
  return { problem: `${problem}${remedy}`, isTransient };
}

function describeFailure(error: unknown, timeoutMs: number): string {
  if (error instanceof SyntaxError) return "its answer is cut off or no JSON";
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `there is no answer within ${timeoutMs / 1000} s`;
  const code = "code" in error ? String(error.code) : "";
  if (code === "ECONNREFUSED") return "nothing listens there; start the server, or check the address";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "there is no such host; check the address";
  return `the connection failed (${code === "" ? error.message : code})`;
}

/** Milliseconds before the next try: doubling from a quarter of a second up to 20, scattered so that clients spread out. */
function backOff(failures: number): number {
  return Math.min(20_000, 250 * 2 ** (failures - 1)) * (0.5 + Math.random());
}
