/** What servers answer, read at the edge: models, chat completions, completions, errors. */
import { z } from "zod";
import { stripControls } from "./clean-text.ts";

/** What a server says of a model: answers of two identities are never mixed. */
export interface ModelIdentity {
  readonly model: string;
  /** Path or name that it was loaded from. */
  readonly root?: string | undefined;
  /** The model that an adapter belongs to. */
  readonly parent?: string | undefined;
  /** A hash of the weights, where the server gives one. */
  readonly fingerprint?: string | undefined;
  /** Sizes and times of the weights' files, where they are known to lie here. */
  readonly stamp?: string | undefined;
  /** The server's address, where nothing else tells two servers apart. */
  readonly url?: string | undefined;
  /** log π of the likeliest token after each of some fixed texts, where there is no fingerprint. */
  readonly probe?: readonly number[] | undefined;
}

/** A `ModelIdentity` in files, by field. */
export const identityShape = {
  model: z.string(),
  root: z.string().optional(),
  parent: z.string().optional(),
  fingerprint: z.string().optional(),
  stamp: z.string().optional(),
  url: z.string().optional(),
  /** One number in files of older versions. */
  probe: z.union([z.array(z.number()).readonly(), z.number().transform((value) => [value])]).optional(),
};

/** Whether anything in an identity depends on the weights: a name, a path and an address may have others tomorrow. */
export function identifiesWeights({ fingerprint, stamp, probe }: ModelIdentity): boolean {
  return fingerprint !== undefined || stamp !== undefined || probe !== undefined;
}

/** An answer with what it cost. */
export interface EndpointAnswer {
  readonly text: string;
  /** Why it ended: `stop`, `length`, … */
  readonly finish: string;
  readonly numPromptTokens: number;
  readonly numNewTokens: number;
}

/** How much probes of the same weights may differ, one and all of them: servers sum in changing orders. */
const probeTolerance = { one: 0.03, mean: 0.01 };

/**
 * The first field in which two identities differ; `undefined` where they are the same. Where only a probe told the weights, one
 * that is not given any more is a difference: nobody knows whose answers come now.
 */
export function findDifference(before: ModelIdentity, now: ModelIdentity): keyof ModelIdentity | undefined {
  const keys = ["model", "root", "parent", "fingerprint", "stamp", "url"] as const;
  const found = keys.find((key) => before[key] !== now[key]);
  if (found !== undefined || before.probe === undefined) return found;
  if (now.probe === undefined) return identifiesWeights(now) ? undefined : "probe";
  return isSameProbe(before.probe, now.probe) ? undefined : "probe";
}

/** Whether probes are of the same weights; an older version took fewer. */
function isSameProbe(before: readonly number[], now: readonly number[]): boolean {
  const numShared = Math.min(before.length, now.length);
  const changes = now.slice(0, numShared).map((value, index) => Math.abs(value - (before[index] ?? 0)));
  const mean = changes.reduce((sum, change) => sum + change, 0) / Math.max(1, numShared);
  return mean <= probeTolerance.mean && changes.every((change) => change <= probeTolerance.one);
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

/** A text, or the parts of one beside those of other kinds, such as thinking. */
const contentSchema = z.union([
  z.string(),
  z.array(z.looseObject({ type: z.string().optional(), text: z.string().optional() })),
]);

const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        /** Of completions. */
        text: z.string().nullish(),
        /** Of chat completions; its content is null where a model only thought, refused or called a tool. */
        message: z.looseObject({ content: contentSchema.nullish() }).nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
  usage: z
    .looseObject({ prompt_tokens: z.number().nullish(), completion_tokens: z.number().nullish() })
    .nullish()
    .catch(undefined),
});

/** Words for an end that is trouble of the server's, not the model's: the same question may be answered at another try. */
const failures =
  /^(?:abort(?:ed)?|(?:network_|model_|server_|internal_)?error|cancel(?:l?ed)?|time_?out|interrupted|insufficient_system_resource)$/i;

/** Whether a server failed at an answer that it sends all the same: that is none to keep. */
export function isFailure({ finish }: Pick<EndpointAnswer, "finish">): boolean {
  return failures.test(finish);
}

/**
 * The answer in a completion of either kind, asked for with at most so many tokens. One that does not look like any, or that
 * the server failed at, may come right at another try.
 */
export function parseAnswer(text: string, maxNewTokens: number): Exchange<EndpointAnswer> {
  const value: unknown = JSON.parse(text);
  const parsed = answerSchema.safeParse(value);
  const choice = parsed.data?.choices[0];
  if ((errorSchema.safeParse(value).data?.error ?? "") !== "") {
    const said = readErrorMessage(text);
    return {
      problem: `it answers with an error${said === "" ? "" : `: ${said}`}`,
      isTransient: !isPermanentRefusal(text),
    };
  }
  if (choice === undefined || (choice.text == null && choice.message == null))
    return { problem: "its answer is not a completion", isTransient: true };
  if (isFailure({ finish: choice.finish_reason ?? "" }))
    return { problem: `it broke its answer off ("${choice.finish_reason}")`, isTransient: true };
  const numNewTokens = countTokens(parsed.data?.usage?.completion_tokens);
  // Some servers do not say why an answer ended; one that is as long as allowed was most likely cut.
  const unsaid = numNewTokens >= maxNewTokens ? "length" : "";
  return {
    value: {
      text: choice.text ?? joinText(choice.message?.content),
      finish: choice.finish_reason ?? unsaid,
      numPromptTokens: countTokens(parsed.data?.usage?.prompt_tokens),
      numNewTokens,
    },
  };
}

function joinText(content: z.infer<typeof contentSchema> | null | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).map(({ type, text }) => (type === "text" ? (text ?? "") : "")).join("");
}

/** A count as servers give it: nothing below none is one. */
function countTokens(value: number | null | undefined): number {
  return typeof value === "number" && value > 0 ? Math.round(value) : 0;
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

/** What a refusal says, in one line without control characters; empty where it says nothing readable. */
export function readErrorMessage(text: string): string {
  const message = stripControls(findMessage(text)).replaceAll(/\s+/g, " ").trim();
  return message.length > mostErrorCharacters ? `${message.slice(0, mostErrorCharacters)}…` : message;
}

const errorSchema = z.looseObject({
  error: z
    .union([
      z.string(),
      z.looseObject({
        message: z.string().nullish(),
        code: z.union([z.string(), z.number()]).nullish(),
        type: z.string().nullish(),
      }),
    ])
    .nullish(),
  message: z.string().nullish(),
  detail: z.string().nullish(),
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

/** Whether a refusal will be the same tomorrow, whatever its status: nobody pays for more. */
export function isPermanentRefusal(text: string): boolean {
  try {
    const { error } = errorSchema.parse(JSON.parse(text));
    const said = typeof error === "object" && error !== null ? [error.code, error.type] : [error];
    return said.some((word) => typeof word === "string" && permanentRefusals.test(word));
  } catch {
    return false;
  }
}

const permanentRefusals =
  /^(?:insufficient_(?:quota|balance|credits?|funds)|billing_\w+|account_deactivated|access_terminated|invalid_api_key)$/;
