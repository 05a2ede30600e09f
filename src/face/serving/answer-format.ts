/** Answers in the shapes of OpenAI's interface. */
import type { ScoredToken, Tokenizer } from "../../engine/model/index.ts";
import type { Answer, Piece } from "./answer.ts";

/** What every part of a response says of itself. */
export interface Head {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
}

/** How the answers of one kind of request are written. */
export interface AnswerFormat {
  /** The choice of a whole answer. */
  describeAnswer(answer: Answer, index: number): object;
  /** The choices that open a stream of an answer; `prompt` is what was asked. */
  openStream(answer: Pick<Answer, "prompt">, index: number): readonly object[];
  /** The choice of a part of an answer. */
  describePiece(piece: Piece, index: number): object;
  /** The choice that ends the stream of an answer. */
  describeEnd(answer: Answer, index: number): object;
}

/** Tokens that were asked and answered. Prompts that several answers share count once. */
export function countUsage(answers: readonly Answer[]): object {
  const prompts = new Set(answers.map(({ prompt }) => prompt));
  const numPrompt = [...prompts].reduce((sum, { length }) => sum + length, 0);
  const numNew = answers.reduce((sum, { added }) => sum + added.length, 0);
  return { prompt_tokens: numPrompt, completion_tokens: numNew, total_tokens: numPrompt + numNew };
}

/** How conversations are answered. */
export function createChatFormat(tokenizer: Tokenizer, wantsLogProbs: boolean): AnswerFormat {
  const describe = (tokens: readonly ScoredToken[]): object | null =>
    wantsLogProbs
      ? { content: tokens.map((token) => describeChatToken(tokenizer, token)), refusal: null }
      : null;
  return {
    describeAnswer: ({ text, added, finish }, index) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: describe(added),
      finish_reason: finish,
    }),
    openStream: (_, index) => [
      { index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
    ],
    describePiece: ({ text, tokens }, index) => ({
      index,
      delta: { content: text },
      logprobs: describe(tokens),
      finish_reason: null,
    }),
    describeEnd: ({ finish }, index) => ({ index, delta: {}, logprobs: null, finish_reason: finish }),
  };
}

function describeChatToken(tokenizer: Tokenizer, { token, logProb, likeliest }: ScoredToken): object {
  const describe = (one: number, value: number | undefined): object => {
    const text = tokenizer.decode([one]);
    return { token: text, logprob: value ?? null, bytes: [...new TextEncoder().encode(text)] };
  };
  return {
    ...describe(token, logProb),
    top_logprobs: likeliest.map((best) => describe(best.token, best.logProb)),
  };
}

/** How completions are answered. */
export function createCompletionFormat(
  tokenizer: Tokenizer,
  { wantsLogProbs, echo }: { readonly wantsLogProbs: boolean; readonly echo: boolean },
): AnswerFormat {
  /** Characters of each choice that were written, for the offsets of what follows. */
  const offsets = new Map<number, number>();
  const describe = (tokens: readonly ScoredToken[], index: number): object | null =>
    wantsLogProbs ? describeTokens(tokenizer, tokens, { offsets, index }) : null;
  return {
    describeAnswer: (answer, index) => {
      const { scored, added, text, finish } = answer;
      return {
        index,
        text: echo ? `${tokenizer.decode(answer.prompt)}${findJoint(tokenizer, answer)}${text}` : text,
        logprobs: describe(echo ? [...scored, ...added] : added, index),
        finish_reason: finish,
      };
    },
    openStream: ({ prompt }, index) =>
      echo ? [{ index, text: tokenizer.decode(prompt), logprobs: null, finish_reason: null }] : [],
    describePiece: ({ text, tokens }, index) => ({
      index,
      text,
      logprobs: describe(tokens, index),
      finish_reason: null,
    }),
    describeEnd: ({ finish }, index) => ({ index, text: "", logprobs: null, finish_reason: finish }),
  };
}

/** What stands between a prompt and its continuation: a word tokenizer drops the space. */
function findJoint({ decode }: Tokenizer, { prompt, added, text }: Answer): string {
  if (text === "") return "";
  const tokens = added.map(({ token }) => token);
  return decode([...prompt, ...tokens]) === decode(prompt) + decode(tokens) ? "" : " ";
}

function describeTokens(
  tokenizer: Tokenizer,
  tokens: readonly ScoredToken[],
  { offsets, index }: { readonly offsets: Map<number, number>; readonly index: number },
): object {
  const words = tokens.map(({ token }) => tokenizer.decode([token]));
  return {
    tokens: words,
    token_logprobs: tokens.map(({ logProb }) => logProb ?? null),
    top_logprobs: tokens.map((token) => describeLikeliest(tokenizer, token)),
    text_offset: words.map((word) => {
      const start = offsets.get(index) ?? 0;
      offsets.set(index, start + word.length);
      return start;
    }),
  };
}

/** The likeliest tokens by their texts, likeliest first, and the chosen one; of several with one text the likeliest. */
function describeLikeliest(tokenizer: Tokenizer, { token, logProb, likeliest }: ScoredToken): object | null {
  if (logProb === undefined) return null;
  const found: Record<string, number> = {};
  for (const { token: one, logProb: value } of [...likeliest, { token, logProb }])
    found[tokenizer.decode([one])] ??= value;
  return found;
}
