/**
 * Requests of OpenAI's interface, read at the edge. A field that is not carried out is refused by name, unless its value says
 * that nothing is wanted: a parameter that is dropped in silence gives answers that were not asked for.
 */
import type { Context } from "hono";
import { z } from "zod";
import { RequestError } from "./model/model-service.ts";

/** Most strings that may end an answer. */
const mostStops = 16;
/** Most characters of one of them. */
const mostStopLength = 1000;
/** Most of the likeliest tokens that are named in each place. */
const mostLikeliest = 5;
/** Most answers to one request: prompts times `n`. */
const mostAnswers = 512;

/** Largest body, in bytes. */
const mostBytes = 2 ** 20;

/** A text or token ids, or several of one of them. A plain check: of a schema's union, a million bytes take seconds. */
type Prompts = string | readonly string[] | readonly number[] | readonly (readonly number[])[];

function isPrompts(value: unknown): value is Prompts {
  if (!Array.isArray(value)) return typeof value === "string";
  const items: readonly unknown[] = value;
  return items.every((item) => typeof item === "string") || isTokens(items) || items.every(isTokens);
}

function isTokens(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && Number(item) >= 0);
}

const stopText = z.string().max(mostStopLength);

const samplingShape = {
  model: z.string(),
  max_tokens: z.number().int().nonnegative().nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.number().int().nullish(),
  seed: z.number().int().nullish(),
  n: z.number().int().min(1).max(mostAnswers).nullish(),
  stop: z.union([stopText, z.array(stopText).max(mostStops)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).catchall(z.unknown()).nullish(),
};

/** The body of `/v1/completions`. */
export const completionSchema = z.looseObject({
  ...samplingShape,
  prompt: z.custom<Prompts>(isPrompts, "it is a text or token ids from 0 up, or a list of one of them"),
  echo: z.boolean().nullish(),
  logprobs: z.number().int().min(0).max(mostLikeliest).nullish(),
});

const partSchema = z.strictObject({ type: z.literal("text"), text: z.string() });

/** The body of `/v1/chat/completions`. */
export const chatSchema = z.looseObject({
  ...samplingShape,
  max_completion_tokens: z.number().int().nonnegative().nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.number().int().min(0).max(mostLikeliest).nullish(),
  messages: z
    .array(
      z.looseObject({
        role: z.enum(["system", "user", "assistant"]),
        content: z.union([z.string(), z.array(partSchema)]),
      }),
    )
    .min(1),
});

/** The bodies of `/v1/load_lora_adapter` and `/v1/unload_lora_adapter`. */
export const loadSchema = z.looseObject({ lora_name: z.string().min(1), lora_path: z.string().min(1) });
export const unloadSchema = z.looseObject({ lora_name: z.string().min(1) });

/** What both kinds of completions have in common. */
export type CommonBody = z.infer<z.ZodObject<typeof samplingShape>>;

const anything = Symbol("anything");

/**
 * Values, beside null, at which fields that are not carried out change nothing. Of fields that are not listed, the empty
 * values of any type.
 */
const neutralValues: Readonly<Record<string, readonly unknown[] | typeof anything>> = {
  // Who asks and how it is billed is no matter of the answer.
  ...{ user: anything, metadata: anything, store: anything, safety_identifier: anything },
  ...{ prompt_cache_key: anything, service_tier: ["auto", "default"] },
  ...{ presence_penalty: [0], frequency_penalty: [0], repetition_penalty: [1], length_penalty: [1] },
  ...{ min_p: [0], min_tokens: [0], best_of: [1], logit_bias: [{}], response_format: [{ type: "text" }] },
  ...{ tools: [[]], tool_choice: ["none", "auto"], parallel_tool_calls: [true, false] },
  ...{ modalities: [["text"]], add_generation_prompt: [true], add_special_tokens: [false] },
  ...{ skip_special_tokens: [true], spaces_between_special_tokens: [true], include_reasoning: anything },
  ...{ lora_int_id: anything, base_model_name: anything },
};

const emptyValues: readonly unknown[] = [false, "", [], {}];

/** The body of a request. Throws `RequestError` naming the field that is wrong or not carried out. */
export async function readBody<Shape extends z.ZodRawShape>(
  context: Context,
  schema: z.ZodObject<Shape, z.core.$loose>,
): Promise<z.infer<z.ZodObject<Shape, z.core.$loose>>> {
  const parsed = schema.safeParse(await readJson(context));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const param = issue?.path.join(".") ?? "";
    throw new RequestError(400, `The request's "${param}" is wrong: ${issue?.message ?? ""}`, { param });
  }
  requireKnown(parsed.data, { known: new Set(Object.keys(schema.shape)), path: "" });
  const { messages, stream_options: options, stream } = parsed.data as Readonly<Record<string, unknown>>;
  if (Array.isArray(messages))
    for (const [index, message] of messages.entries())
      requireKnown(message, { known: new Set(["role", "content"]), path: `messages.${index}.` });
  if (options !== undefined && options !== null) {
    if (stream !== true)
      throw new RequestError(400, 'The request\'s "stream_options" is only for streams', {
        param: "stream_options",
      });
    requireKnown(options, { known: new Set(["include_usage"]), path: "stream_options." });
  }
  return parsed.data;
}

async function readJson(context: Context): Promise<unknown> {
  const bytes = await readBytes(context);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new RequestError(400, "The request's body is not valid JSON");
  }
}

/** The bytes of a body. What is too large is read to its end and not kept: who still sends does not hear a refusal. */
async function readBytes({ req }: Context): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let numBytes = 0;
  for await (const part of req.raw.body ?? []) {
    numBytes += part.byteLength;
    if (numBytes <= mostBytes) parts.push(part);
    else parts.length = 0;
  }
  if (numBytes > mostBytes)
    throw new RequestError(413, `The request has more than ${mostBytes} bytes; send several smaller ones`);
  return Buffer.concat(parts);
}

function requireKnown(
  value: object,
  { known, path }: { readonly known: ReadonlySet<string>; readonly path: string },
): void {
  for (const [name, field] of Object.entries(value)) {
    if (known.has(name) || field === null || isNeutral(name, field)) continue;
    const param = `${path}${name}`;
    throw new RequestError(400, `This server does not carry out "${param}"; leave it out`, {
      param,
      code: "unsupported_parameter",
    });
  }
}

function isNeutral(name: string, value: unknown): boolean {
  const neutral = Object.hasOwn(neutralValues, name) ? neutralValues[name] : emptyValues;
  if (neutral === anything) return true;
  const text = JSON.stringify(value);
  return (neutral ?? emptyValues).some((one) => JSON.stringify(one) === text);
}

/** What of a body says how tokens are chosen. */
export function readSampling({ temperature, top_p: topP, top_k: topK }: CommonBody): {
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
} {
  return {
    temperature: temperature ?? 1,
    ...(typeof topP === "number" && { topP }),
    ...(typeof topK === "number" && topK > 0 && { topK }),
  };
}

/** The texts that end an answer. */
export function readStops({ stop }: CommonBody): readonly string[] {
  return [stop ?? []].flat().filter((text) => text !== "");
}

/** How many answers are asked for. Throws `RequestError` for too many. */
export function countAnswers(numPrompts: number, { n }: CommonBody): number {
  const count = numPrompts * (n ?? 1);
  if (count <= mostAnswers) return count;
  throw new RequestError(
    400,
    `${numPrompts} prompts with n ${n ?? 1} ask for ${count} answers, and one request may ask for ${mostAnswers}; send several`,
    { param: numPrompts > 1 ? "prompt" : "n" },
  );
}
