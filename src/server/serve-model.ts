/**
 * Our models through the routes of OpenAI's HTTP interface, so that other evaluation tools can test our checkpoints, and our
 * own client is tested over real HTTP.
 */
import { type Context, Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { z } from "zod";
import { UsageError } from "../base/index.ts";
import { CheckpointError } from "../checkpoint/index.ts";
import { type Generation, type ScoredToken, writeChatPrompt } from "../model/index.ts";
import { isKnownHost, listen, type Served } from "./listen.ts";
import {
  createModelService,
  type ModelService,
  type ServiceOptions,
  UnknownModelError,
} from "./model-service.ts";

/** What to serve, and where. */
export interface ModelServerOptions extends ServiceOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Seconds since 1970, for `created`. */
  readonly startedAt: number;
}

/** Serves a checkpoint until it is closed. Throws as `loadModel` and `listen`. */
export async function startModelServer(options: ModelServerOptions): Promise<Served> {
  const service = await createModelService(options);
  try {
    const served = await listen(createApp(service, options), options);
    return {
      address: served.address,
      close: async () => {
        await served.close();
        await service.release();
      },
    };
  } catch (error) {
    await service.release();
    throw error;
  }
}

const tokenIds = z.array(z.number().int().nonnegative());

const samplingShape = {
  model: z.string(),
  max_tokens: z.number().int().nonnegative().nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.number().int().nullish(),
  seed: z.number().int().nullish(),
  n: z.number().int().min(1).max(64).nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  stream: z.boolean().nullish(),
};

const completionSchema = z.looseObject({
  ...samplingShape,
  prompt: z.union([z.string(), z.array(z.string()), tokenIds, z.array(tokenIds)]),
  echo: z.boolean().nullish(),
  logprobs: z.number().int().min(0).max(1).nullish(),
});

const partSchema = z.looseObject({ type: z.literal("text"), text: z.string() });

const chatSchema = z.looseObject({
  ...samplingShape,
  max_completion_tokens: z.number().int().nonnegative().nullish(),
  messages: z
    .array(z.looseObject({ role: z.string(), content: z.union([z.string(), z.array(partSchema)]) }))
    .min(1),
});

const adapterSchema = z.looseObject({ lora_name: z.string().min(1), lora_path: z.string().min(1) });

type CommonBody = z.infer<z.ZodObject<typeof samplingShape>>;

function createApp(service: ModelService, { host, startedAt }: ModelServerOptions): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    if (!isKnownHost(context, host)) return refuse(context, 403, `This server answers to ${host} only`);
    return await next();
  });
  app.onError((error, context) => {
    if (error instanceof UnknownModelError) return refuse(context, 404, error.message);
    if (error instanceof UsageError || error instanceof CheckpointError)
      return refuse(context, 400, error.message);
    return refuse(context, 500, error.message);
  });
  app.notFound((context) => refuse(context, 404, "There is no such route"));
  app.get("/health", (context) => context.body(null, 200));
  app.get("/v1/models", (context) => context.json({ object: "list", data: listModels(service, startedAt) }));
  app.post("/v1/completions", (context) => complete(context, service, startedAt));
  app.post("/v1/chat/completions", (context) => chat(context, service, startedAt));
  // Only with its own content type: a foreign page could not send that without asking first.
  app.use("/v1/*lora_adapter", async (context, next) =>
    context.req.header("content-type")?.startsWith("application/json") === true
      ? await next()
      : refuse(context, 400, "Send application/json"),
  );
  app.post("/v1/load_lora_adapter", async (context) => {
    const { lora_name: name, lora_path: path } = await readBody(context, adapterSchema);
    await service.loadAdapter(name, path);
    return context.text(`Success: LoRA adapter '${name}' added successfully.`);
  });
  app.post("/v1/unload_lora_adapter", async (context) => {
    const { lora_name: name } = await readBody(context, adapterSchema.partial({ lora_path: true }));
    service.unloadAdapter(name);
    return context.text(`Success: LoRA adapter '${name}' removed successfully.`);
  });
  return app;
}

function refuse(context: Context, status: 400 | 403 | 404 | 500, message: string): Response {
  const type = status === 404 ? "NotFoundError" : status === 500 ? "InternalServerError" : "BadRequestError";
  return context.json({ error: { message, type, code: status } }, status);
}

async function readBody<Schema extends z.ZodType>(
  context: Context,
  schema: Schema,
): Promise<z.infer<Schema>> {
  let value: unknown;
  try {
    value = await context.req.json();
  } catch (cause) {
    throw new UsageError("The request's body is no JSON", { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`The request's "${issue?.path.join(".") ?? ""}" is wrong: ${issue?.message ?? ""}`);
}

function listModels(service: ModelService, created: number): readonly object[] {
  return service.list().map(({ name, root, parent, fingerprint }) => ({
    id: name,
    object: "model",
    created,
    owned_by: "untwist",
    root,
    parent: parent ?? null,
    max_model_len: service.maxPositions,
    fingerprint,
  }));
}

/** One answer, and the numbers that a response says of it. */
interface Answer {
  readonly prompt: readonly number[];
  readonly generation: Generation;
  readonly text: string;
  readonly finish: "stop" | "length";
}

const nothing: Generation = { tokens: [], logProbs: [], isFinished: false };

async function answerPrompt(
  service: ModelService,
  prompt: readonly number[],
  {
    body,
    maxNewTokens,
    index,
  }: { readonly body: CommonBody; readonly maxNewTokens: number; readonly index: number },
): Promise<Answer> {
  if (prompt.length === 0) throw new UsageError("The prompt is empty");
  const unknown = prompt.find((token) => token >= service.vocabularySize);
  if (unknown !== undefined)
    throw new UsageError(
      `The prompt holds token ${unknown}; the model's vocabulary ends at ${service.vocabularySize - 1}`,
    );
  if (prompt.length + maxNewTokens > service.maxPositions)
    throw new UsageError(
      `The model has ${service.maxPositions} positions: a prompt of ${prompt.length} tokens leaves no room for ${maxNewTokens} more; lower max_tokens`,
    );
  const { model, temperature, top_p: topP, top_k: topK, seed } = body;
  const sampling = {
    temperature: temperature ?? 1,
    ...(typeof topP === "number" && { topP }),
    ...(typeof topK === "number" && topK > 0 && { topK }),
  };
  const request = {
    model,
    prompt,
    sampling,
    maxNewTokens,
    seed: (seed ?? Math.floor(Math.random() * 2 ** 31)) + index,
  };
  const generation = maxNewTokens === 0 ? nothing : await service.generate(request);
  const whole = service.tokenizer.decode(generation.tokens);
  const text = cutAtStop(whole, body.stop);
  return { prompt, generation, text, finish: generation.isFinished || text !== whole ? "stop" : "length" };
}

function cutAtStop(text: string, stop: CommonBody["stop"]): string {
  const stops = typeof stop === "string" ? [stop] : (stop ?? []);
  const ends = stops
    .filter((one) => one !== "")
    .map((one) => text.indexOf(one))
    .filter((position) => position >= 0);
  return text.slice(0, Math.min(text.length, ...ends));
}

function countUsage(answers: readonly Answer[]): object {
  const promptTokens = new Set(answers.map(({ prompt }) => prompt));
  const numPrompt = [...promptTokens].reduce((sum, { length }) => sum + length, 0);
  const numNew = answers.reduce((sum, { generation }) => sum + generation.tokens.length, 0);
  return { prompt_tokens: numPrompt, completion_tokens: numNew, total_tokens: numPrompt + numNew };
}

/** `/v1/completions`. */
async function complete(context: Context, service: ModelService, created: number): Promise<Response> {
  const body = await readBody(context, completionSchema);
  const prompts = listPrompts(body.prompt, service);
  const maxNewTokens = body.max_tokens ?? 16;
  const asked = prompts.flatMap((prompt) =>
    Array.from({ length: body.n ?? 1 }, (_, index) => ({ prompt, index })),
  );
  const answers = await Promise.all(
    asked.map(({ prompt, index }) => answerPrompt(service, prompt, { body, maxNewTokens, index })),
  );
  const head = { id: "cmpl-untwist", object: "text_completion", created, model: body.model };
  if (body.stream === true)
    return streamAnswers(
      context,
      answers,
      (text, index, finish) => ({
        ...head,
        choices: [{ index, text, finish_reason: finish, logprobs: null }],
      }),
      service,
    );
  const choices: object[] = [];
  for (const [index, answer] of answers.entries()) {
    const echo = body.echo === true;
    const logprobs =
      typeof body.logprobs === "number"
        ? await describeLogProbs(service, body.model, { answer, echo })
        : null;
    const text = echo
      ? `${service.tokenizer.decode(answer.prompt)}${joint(service, answer)}${answer.text}`
      : answer.text;
    choices.push({ index, text, finish_reason: answer.finish, logprobs });
  }
  return context.json({ ...head, choices, usage: countUsage(answers) });
}

/** What stands between a prompt and its continuation: a word tokenizer drops the space. */
function joint({ tokenizer }: ModelService, { prompt, generation, text }: Answer): string {
  if (text === "") return "";
  const together = tokenizer.decode([...prompt, ...generation.tokens]);
  const apart = tokenizer.decode(prompt) + tokenizer.decode(generation.tokens);
  return together === apart ? "" : " ";
}

/** Prompts as token ids: a text, several, or token ids themselves. */
function listPrompts(
  prompt: z.infer<typeof completionSchema>["prompt"],
  { tokenizer }: ModelService,
): readonly (readonly number[])[] {
  if (typeof prompt === "string") return [tokenizer.encode(prompt)];
  const isTokens = (items: readonly unknown[]): items is readonly number[] =>
    items.length > 0 && typeof items[0] === "number";
  if (isTokens(prompt)) return [prompt];
  return prompt.map((one) => (typeof one === "string" ? tokenizer.encode(one) : [one].flat()));
}

async function describeLogProbs(
  service: ModelService,
  model: string,
  { answer: { prompt, generation }, echo }: { readonly answer: Answer; readonly echo: boolean },
): Promise<object> {
  const scored = await service.score(model, [...prompt, ...generation.tokens]);
  const shown: readonly ScoredToken[] = echo ? scored : scored.slice(prompt.length);
  const words = shown.map(({ token }) => service.tokenizer.decode([token]));
  let offset = 0;
  return {
    tokens: words,
    token_logprobs: shown.map(({ logProb }) => logProb ?? null),
    top_logprobs: shown.map(({ best }) =>
      best === undefined ? null : { [service.tokenizer.decode([best.token])]: best.logProb },
    ),
    text_offset: words.map((word) => {
      const start = offset;
      offset += word.length;
      return start;
    }),
  };
}

/** `/v1/chat/completions`. */
async function chat(context: Context, service: ModelService, created: number): Promise<Response> {
  const body = await readBody(context, chatSchema);
  const turns = body.messages.map(({ role, content }) => ({
    role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
  }));
  const prompt = service.tokenizer.encode(writeChatPrompt(service.tokenizer, turns));
  const room = service.maxPositions - prompt.length;
  const maxNewTokens = body.max_completion_tokens ?? body.max_tokens ?? Math.max(1, room);
  const answers = await Promise.all(
    Array.from({ length: body.n ?? 1 }, (_, index) =>
      answerPrompt(service, prompt, { body, maxNewTokens, index }),
    ),
  );
  const head = { id: "chatcmpl-untwist", created, model: body.model };
  if (body.stream === true)
    return streamAnswers(
      context,
      answers,
      (text, index, finish) => ({
        ...head,
        object: "chat.completion.chunk",
        choices: [
          {
            index,
            delta: finish === null ? { role: "assistant", content: text } : {},
            finish_reason: finish,
          },
        ],
      }),
      service,
    );
  return context.json({
    ...head,
    object: "chat.completion",
    choices: answers.map(({ text, finish }, index) => ({
      index,
      message: { role: "assistant", content: text },
      finish_reason: finish,
    })),
    usage: countUsage(answers),
  });
}

type DescribeChunk = (text: string, index: number, finish: Answer["finish"] | null) => object;

/** Answers as server-sent events, a token each: they are made in batches, so all of an answer comes at once. */
function streamAnswers(
  context: Context,
  answers: readonly Answer[],
  describe: DescribeChunk,
  { tokenizer }: ModelService,
): Response {
  return streamSSE(context, async (stream) => {
    const send = (chunk: object): Promise<void> => stream.writeSSE({ data: JSON.stringify(chunk) });
    for (const [index, { generation, text, finish }] of answers.entries()) {
      let sent = "";
      for (let end = 1; end <= generation.tokens.length; end++) {
        const next = tokenizer.decode(generation.tokens.slice(0, end)).slice(0, text.length);
        if (next.length > sent.length) await send(describe(next.slice(sent.length), index, null));
        sent = next.length > sent.length ? next : sent;
      }
      await send(describe("", index, finish));
    }
    await stream.writeSSE({ data: "[DONE]" });
  });
}
