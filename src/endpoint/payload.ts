/** What servers answer, read at the edge: models, chat completions, completions, errors. */
import { z } from "zod";

/** What a server says of a model: answers of two identities are never mixed. */
export interface ModelIdentity {
  readonly model: string;
  /** Path or name that it was loaded from. */
  readonly root?: string | undefined;
  /** The model that an adapter belongs to. */
  readonly parent?: string | undefined;
  /** A hash of the weights, where the server gives one. */
  readonly fingerprint?: string | undefined;
  /** The server's address, where nothing else tells two servers apart. */
  readonly url?: string | undefined;
  /** log π of the likeliest token after a fixed text, where there is no fingerprint. */
  readonly probe?: number | undefined;
}

/** An answer with what it cost. */
export interface EndpointAnswer {
  readonly text: string;
  /** Why it ended: `stop`, `length`, … */
  readonly finish: string;
  readonly numPromptTokens: number;
  readonly numNewTokens: number;
}

/** How much the probe of the same weights may differ from one answer to the next: servers sum in changing orders. */
const probeTolerance = 0.02;

/** The first field in which two identities differ; `undefined` where they are the same. */
export function findDifference(before: ModelIdentity, now: ModelIdentity): keyof ModelIdentity | undefined {
  const keys = ["model", "root", "parent", "fingerprint", "url"] as const;
  const found = keys.find((key) => before[key] !== now[key]);
  if (found !== undefined || before.probe === undefined || now.probe === undefined) return found;
  return Math.abs(before.probe - now.probe) > probeTolerance ? "probe" : undefined;
}

/** A value, or why the answer has none. */
export type Exchange<Value> =
  | { readonly value: Value }
  | { readonly problem: string; readonly isTransient: boolean };

const modelsSchema = z.looseObject({
  data: z.array(
    z.looseObject({
      id: z.string(),
      root: z.string().nullish(),
      parent: z.string().nullish(),
      fingerprint: z.string().nullish(),
    }),
  ),
});

/** The models of `/v1/models`. */
export function parseModels(text: string): Exchange<readonly ModelIdentity[]> {
  const parsed = modelsSchema.safeParse(JSON.parse(text));
  if (!parsed.success)
    return {
      problem: "its /v1/models lists no models; give the address of a server that speaks OpenAI's interface",
      isTransient: false,
    };
  return {
    value: parsed.data.data.map(({ id, root, parent, fingerprint }) => ({
      model: id,
      ...(typeof root === "string" && { root }),
      ...(typeof parent === "string" && { parent }),
      ...(typeof fingerprint === "string" && { fingerprint }),
    })),
  };
}

const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        /** Of completions. */
        text: z.string().optional(),
        /** Of chat completions; null where a model only thought. */
        message: z.looseObject({ content: z.string().nullish() }).optional(),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
  usage: z
    .looseObject({ prompt_tokens: z.number().nullish(), completion_tokens: z.number().nullish() })
    .nullish(),
});

/** The answer in a completion of either kind. One that does not look like any may come right at another try. */
export function parseAnswer(text: string): Exchange<EndpointAnswer> {
  const parsed = answerSchema.safeParse(JSON.parse(text));
  const choice = parsed.data?.choices[0];
  if (choice === undefined || (choice.text === undefined && choice.message === undefined))
    return { problem: "its answer is no completion", isTransient: true };
  return {
    value: {
      text: choice.text ?? choice.message?.content ?? "",
      finish: choice.finish_reason ?? "",
      numPromptTokens: parsed.data?.usage?.prompt_tokens ?? 0,
      numNewTokens: parsed.data?.usage?.completion_tokens ?? 0,
    },
  };
}

const logProbSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({ logprobs: z.looseObject({ token_logprobs: z.array(z.number().nullable()).min(1) }) }),
    )
    .min(1),
});

/** The log-probability of the first token of a completion. */
export function parseLogProb(text: string): Exchange<number> {
  const value = logProbSchema.safeParse(JSON.parse(text)).data?.choices[0]?.logprobs.token_logprobs[0];
  return typeof value === "number"
    ? { value }
    : { problem: "it gives no log-probabilities", isTransient: false };
}

/** Longest part of an error that is passed on. */
const mostErrorCharacters = 200;

/** What a refusal says, in one line; empty where it says nothing readable. */
export function readErrorMessage(text: string): string {
  const message = findMessage(text).replaceAll(/\s+/g, " ").trim();
  return message.length > mostErrorCharacters ? `${message.slice(0, mostErrorCharacters)}…` : message;
}

const errorSchema = z.looseObject({
  error: z.union([z.string(), z.looseObject({ message: z.string() })]).optional(),
  message: z.string().optional(),
  detail: z.string().optional(),
});

function findMessage(text: string): string {
  try {
    const { error, message, detail } = errorSchema.parse(JSON.parse(text));
    return (typeof error === "string" ? error : error?.message) ?? message ?? detail ?? "";
  } catch {
    // A page of some proxy: its markup helps nobody.
    return text.trimStart().startsWith("<") ? "" : text;
  }
}
