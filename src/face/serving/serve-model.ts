/**
 * Our models through the routes of OpenAI's HTTP interface, so that other evaluation tools can test our checkpoints, and our
 * own client is tested over real HTTP.
 */
import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { type Context, Hono } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import { UsageError } from "../../base/core/index.ts";
import { findIntruder, listen, type Served } from "../http/index.ts";
import {
  type Answer,
  answerQuestion,
  listChatQuestions,
  listCompletionQuestions,
  type Piece,
  type Question,
} from "./answer.ts";
import {
  type AnswerFormat,
  countUsage,
  createChatFormat,
  createCompletionFormat,
  type Head,
} from "./answer-format.ts";
import type { HostOptions } from "./model/model-messages.ts";
import {
  createModelService,
  type ModelService,
  RequestError,
  type ServedModel,
} from "./model/model-service.ts";
import {
  type CommonBody,
  chatSchema,
  completionSchema,
  loadSchema,
  readBody,
  unloadSchema,
} from "./request-body.ts";

/** What to serve, and where. */
export interface ModelServerOptions extends HostOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Takes what concerns this machine only, such as why an adapter could not be loaded. */
  readonly log: (line: string) => void;
}

/** A model that is being served. */
export interface ServedModelServer extends Served {
  /** Whether the model has a token that ends answers. */
  readonly endsAnswers: boolean;
  /** Resolves with the reason where the model ended by itself. */
  readonly failure: Promise<Error>;
}

/** Serves a checkpoint until it is closed. Throws as `loadModel` and `listen`. */
export async function startModelServer(options: ModelServerOptions): Promise<ServedModelServer> {
  const { checkpoint, name, numThreads, mostTexts, log, host, port } = options;
  const service = await createModelService({ checkpoint, name, numThreads, mostTexts, log });
  try {
    const served = await listen(createApp(service, host), { host, port });
    return {
      address: served.address,
      endsAnswers: service.endsAnswers,
      failure: service.failure,
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

function createApp(service: ModelService, host: string): Hono {
  const app = new Hono();
  const startedAt = now();
  app.onError((error, context) => refuse(context, error));
  app.notFound((context) => refuse(context, new RequestError(404, "There is no such route")));
  app.use(async (context, next) => {
    const intruder = findIntruder(context, host);
    if (intruder !== undefined) throw new RequestError(403, intruder);
    if (context.req.method === "POST") requireJson(context);
    return await next();
  });
  app.get("/health", (context) => context.body(null, 200));
  app.get("/v1/models", (context) =>
    context.json({
      object: "list",
      data: service.list().map((model) => describeModel(service, model, startedAt)),
    }),
  );
  app.get("/v1/models/:name{.+}", (context) =>
    context.json(describeModel(service, service.find(context.req.param("name")), startedAt)),
  );
  app.post("/v1/completions", (context) => complete(context, service));
  app.post("/v1/chat/completions", (context) => chat(context, service));
  app.post("/v1/load_lora_adapter", async (context) => {
    const { lora_name: name, lora_path: path } = await readBody(context, loadSchema);
    await service.loadAdapter(name, path);
    return context.text(`Success: LoRA adapter '${name}' added successfully.`);
  });
  app.post("/v1/unload_lora_adapter", async (context) => {
    const { lora_name: name } = await readBody(context, unloadSchema);
    service.unloadAdapter(name);
    return context.text(`Success: LoRA adapter '${name}' removed successfully.`);
  });
  return app;
}

const now = (): number => Math.floor(Date.now() / 1000);

/** A page of another site cannot send this type without asking first, which is refused. */
function requireJson(context: Context): void {
  const [type = ""] = (context.req.header("content-type") ?? "").split(";");
  if (type.trim().toLowerCase() !== "application/json")
    throw new RequestError(
      415,
      `The request's content type is "${type.slice(0, 100)}"; send application/json`,
    );
}

const errorTypes: Readonly<Record<RequestError["status"], string>> = {
  400: "invalid_request_error",
  403: "permission_error",
  404: "invalid_request_error",
  413: "invalid_request_error",
  415: "invalid_request_error",
  429: "rate_limit_error",
  503: "server_error",
};

function refuse(context: Context, error: Error): Response {
  const status = error instanceof RequestError ? error.status : error instanceof UsageError ? 400 : 500;
  if (status === 429) context.header("retry-after", "1");
  return context.json({ error: describeError(error) }, status);
}

function describeError(error: Error): object {
  const { message } = error;
  if (error instanceof RequestError)
    return { message, type: errorTypes[error.status], param: error.param ?? null, code: error.code ?? null };
  const type = error instanceof UsageError ? "invalid_request_error" : "server_error";
  return { message, type, param: null, code: null };
}

function describeModel(
  { maxPositions }: ModelService,
  { name, root, parent, fingerprint }: ServedModel,
  created: number,
): object {
  return {
    id: name,
    object: "model",
    created,
    owned_by: "untwist",
    root,
    parent: parent ?? null,
    max_model_len: maxPositions,
    fingerprint,
  };
}

/** `/v1/completions`. */
async function complete(context: Context, service: ModelService): Promise<Response> {
  const body = await readBody(context, completionSchema);
  const head = { id: `cmpl-${randomUUID()}`, object: "text_completion", created: now(), model: body.model };
  const wantsLogProbs = typeof body.logprobs === "number";
  const echo = body.echo === true;
  if (body.stream === true && echo && wantsLogProbs)
    throw new RequestError(
      400,
      "Log-probabilities of a prompt cannot be streamed; leave out one of stream, echo and logprobs",
      {
        param: "stream",
      },
    );
  const format = createCompletionFormat(service.tokenizer, { wantsLogProbs, echo });
  const questions = await listCompletionQuestions(service, body);
  return await respond(context, service, { body, heads: [head, head], format, questions, wantsLogProbs });
}

/** `/v1/chat/completions`. */
async function chat(context: Context, service: ModelService): Promise<Response> {
  const body = await readBody(context, chatSchema);
  const head = { id: `chatcmpl-${randomUUID()}`, created: now(), model: body.model };
  const wantsLogProbs = body.logprobs === true;
  const format = createChatFormat(service.tokenizer, wantsLogProbs);
  const questions = await listChatQuestions(service, body);
  const heads = [
    { ...head, object: "chat.completion" },
    { ...head, object: "chat.completion.chunk" },
  ] as const;
  return await respond(context, service, { body, heads, format, questions, wantsLogProbs });
}

interface Exchange {
  readonly body: CommonBody;
  /** Of a whole response, and of a part of a stream. */
  readonly heads: readonly [Head, Head];
  readonly format: AnswerFormat;
  readonly questions: readonly Question[];
  readonly wantsLogProbs: boolean;
}

async function respond(context: Context, service: ModelService, exchange: Exchange): Promise<Response> {
  const { body, heads, format, questions } = exchange;
  // Again: others may have come while the prompts were read.
  service.requireRoom(questions.length);
  const leave = followClient(context);
  const { signal } = leave;
  if (body.stream === true)
    return streamSSE(context, (stream) => streamAnswers(stream, service, { ...exchange, leave }));
  const answers = await answerAll(leave, questions, (question) =>
    answerQuestion(service, question, { signal }),
  );
  return context.json({
    ...heads[0],
    choices: answers.map((answer, index) => format.describeAnswer(answer, index)),
    usage: countUsage(answers),
  });
}

/** What is aborted once the client hangs up, which it may have done while its prompt was read. */
function followClient({ req }: Context): AbortController {
  const leave = new AbortController();
  setMaxListeners(0, leave.signal);
  const { signal } = req.raw;
  if (signal.aborted) leave.abort();
  else signal.addEventListener("abort", () => leave.abort(), { once: true });
  return leave;
}

/** All answers, or the first failure, after which nobody waits for the others. */
async function answerAll(
  leave: AbortController,
  questions: readonly Question[],
  answer: (question: Question, index: number) => Promise<Answer>,
): Promise<readonly Answer[]> {
  try {
    return await Promise.all(questions.map(answer));
  } catch (error) {
    leave.abort();
    throw error;
  }
}

/** Answers as server-sent events, as their tokens come. */
async function streamAnswers(
  stream: SSEStreamingApi,
  service: ModelService,
  {
    body,
    heads: [, head],
    format,
    questions,
    wantsLogProbs,
    leave,
  }: Exchange & { readonly leave: AbortController },
): Promise<void> {
  const wantsUsage = body.stream_options?.include_usage === true;
  const send = (choices: readonly object[], usage: object | null = null): void => {
    const data = JSON.stringify({ ...head, choices, ...(wantsUsage && { usage }) });
    void stream.writeSSE({ data });
  };
  const follow = async (question: Question, index: number): Promise<Answer> => {
    for (const choice of format.openStream(question.order, index)) send([choice]);
    const onPiece = (piece: Piece): void => {
      const isEmpty = piece.text === "" && !(wantsLogProbs && piece.tokens.length > 0);
      if (!isEmpty) send([format.describePiece(piece, index)]);
    };
    const answer = await answerQuestion(service, question, { signal: leave.signal, onPiece });
    send([format.describeEnd(answer, index)]);
    return answer;
  };
  try {
    const answers = await answerAll(leave, questions, follow);
    if (wantsUsage) send([], countUsage(answers));
    await stream.writeSSE({ data: "[DONE]" });
  } catch (error) {
    // The status is sent already: what is left is to say it in the stream.
    const failure = error instanceof Error ? error : new Error(String(error));
    await stream.writeSSE({ data: JSON.stringify({ error: describeError(failure) }) });
  }
}
