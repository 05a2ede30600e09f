/** Answers of a served model: what is asked of it for each, and the answer as its tokens come. */

import type { z } from "zod";
import type { ScoredToken } from "../../engine/model/index.ts";
import { hasChatTemplate, writeChatPrompt } from "../../engine/model/index.ts";
import { createAnswerText } from "./answer-text.ts";
import type { TextOrder, WrittenPrompt } from "./model/model-messages.ts";
import { type ModelService, RequestError } from "./model/model-service.ts";
import {
  type CommonBody,
  type chatSchema,
  type completionSchema,
  countAnswers,
  readSampling,
  readStops,
} from "./request-body.ts";

/** What is asked for one answer. */
export interface Question {
  readonly order: TextOrder;
  /** Texts that end the answer. */
  readonly stops: readonly string[];
}

/** An answer. */
export interface Answer {
  readonly prompt: readonly number[];
  /** The prompt's tokens, where they were to be scored. */
  readonly scored: readonly ScoredToken[];
  readonly added: readonly ScoredToken[];
  readonly text: string;
  readonly finish: "stop" | "length";
}

/** A part of an answer: its tokens, and the text that they add for certain. */
export interface Piece {
  readonly text: string;
  readonly tokens: readonly ScoredToken[];
}

/** How an answer is followed. */
export interface Follower {
  readonly signal: AbortSignal;
  onPiece?(piece: Piece): void;
}

/** Answers a question. Rejects as `ModelService.continue`. */
export async function answerQuestion(
  service: ModelService,
  { order, stops }: Question,
  { signal, onPiece }: Follower,
): Promise<Answer> {
  const answerText = createAnswerText(service.tokenizer, stops);
  let text = "";
  const take = (piece: Piece): void => {
    text += piece.text;
    onPiece?.(piece);
  };
  const { scored, added, end } = await service.continue(order, {
    signal,
    onTokens: (tokens) => {
      take({ text: answerText.add(tokens.map(({ token }) => token)), tokens });
      return answerText.isStopped;
    },
  });
  take({ text: answerText.end(), tokens: [] });
  return { prompt: order.prompt, scored, added, text, finish: answerText.isStopped ? "stop" : end };
}

/** What a completion's body asks, in the order of its choices. Throws `RequestError` for what cannot be answered. */
export async function listCompletionQuestions(
  service: ModelService,
  body: z.infer<typeof completionSchema>,
): Promise<readonly Question[]> {
  service.find(body.model);
  const given = listPrompts(body.prompt);
  service.requireRoom(countAnswers(given.length, body));
  const prompts = await Promise.all(
    given.map((prompt) =>
      typeof prompt === "string" ? encode(service, { text: prompt, isTemplated: false }) : prompt,
    ),
  );
  const maxNewTokens = body.max_tokens ?? 16;
  for (const prompt of prompts) checkPrompt(service, prompt, maxNewTokens);
  const wantsLogProbs = typeof body.logprobs === "number";
  return listQuestions(body, prompts, {
    maxNewTokens,
    ...(wantsLogProbs && body.echo === true && { scoresFrom: 0 }),
    ...(wantsLogProbs && { numLikeliest: body.logprobs ?? 0 }),
  });
}

/** Prompts one by one: a text, several, or token ids themselves. */
function listPrompts(
  prompt: z.infer<typeof completionSchema>["prompt"],
): readonly (string | readonly number[])[] {
  if (typeof prompt === "string") return [prompt];
  const isTokens = (items: readonly unknown[]): items is readonly number[] =>
    items.every((item) => typeof item === "number");
  return isTokens(prompt) ? [prompt] : prompt.filter((one) => typeof one !== "number");
}

/** What a conversation's body asks, one question a choice. Throws `RequestError` for what cannot be answered. */
export async function listChatQuestions(
  service: ModelService,
  body: z.infer<typeof chatSchema>,
): Promise<readonly Question[]> {
  service.find(body.model);
  service.requireRoom(countAnswers(1, body));
  if (typeof body.top_logprobs === "number" && body.logprobs !== true)
    throw new RequestError(400, 'The request\'s "top_logprobs" is only for "logprobs": true', {
      param: "top_logprobs",
    });
  const turns = body.messages.map(({ role, content }) => ({
    role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
  }));
  const prompt = await encode(service, {
    text: writeChatPrompt(service.tokenizer, turns),
    isTemplated: hasChatTemplate(service.tokenizer),
  });
  const room = Math.max(1, service.maxPositions - prompt.length);
  const maxNewTokens = body.max_completion_tokens ?? body.max_tokens ?? room;
  checkPrompt(service, prompt, maxNewTokens);
  return listQuestions(body, [prompt], {
    maxNewTokens,
    ...(body.logprobs === true && { numLikeliest: body.top_logprobs ?? 0 }),
  });
}

function listQuestions(
  body: CommonBody,
  prompts: readonly (readonly number[])[],
  rest: Pick<TextOrder, "maxNewTokens" | "scoresFrom" | "numLikeliest">,
): readonly Question[] {
  const seed = body.seed ?? Math.floor(Math.random() * 2 ** 31);
  const sampling = readSampling(body);
  return prompts.flatMap((prompt) =>
    Array.from({ length: body.n ?? 1 }, (_, index) => ({
      order: { ...rest, model: body.model, prompt, sampling, seed: seed + index },
      stops: readStops(body),
    })),
  );
}

/** Most unknown words that a refusal names. */
const mostNamed = 5;

async function encode(service: ModelService, prompt: WrittenPrompt): Promise<readonly number[]> {
  const { tokens, unknown } = await service.encode(prompt);
  if (unknown.length === 0) return tokens;
  const words = [...new Set(unknown)];
  const named = words.slice(0, mostNamed).map((word) => JSON.stringify(word.slice(0, 100)));
  const more = words.length > mostNamed ? ` and ${words.length - mostNamed} more` : "";
  throw new RequestError(
    400,
    `The model's vocabulary has no ${named.join(", ")}${more}: it would read all of them as the same unknown word; send words that it knows, or token ids`,
    { param: "prompt", code: "unknown_words" },
  );
}

function checkPrompt(service: ModelService, prompt: readonly number[], maxNewTokens: number): void {
  if (prompt.length === 0) throw new RequestError(400, "The prompt is empty", { param: "prompt" });
  const unknown = prompt.find((token) => token >= service.vocabularySize);
  if (unknown !== undefined)
    throw new RequestError(
      400,
      `The prompt holds token ${unknown}; the model's vocabulary ends at ${service.vocabularySize - 1}`,
      { param: "prompt" },
    );
  if (prompt.length + maxNewTokens > service.maxPositions)
    throw new RequestError(
      400,
      `The model has ${service.maxPositions} positions: a prompt of ${prompt.length} tokens leaves no room for ${maxNewTokens} more; lower max_tokens`,
      { param: "max_tokens", code: "context_length_exceeded" },
    );
}
