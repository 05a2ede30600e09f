/** The text of an answer as its tokens come: nothing is shown that a later token or a stop string could take back. */
import type { Tokenizer } from "../../engine/model/index.ts";

/** The text of one answer. */
export interface AnswerText {
  /** Whether a stop string was met: the text ends before it. */
  readonly isStopped: boolean;
  /** Adds tokens; gives the text that they add for certain. Nothing once it is stopped. */
  add(tokens: readonly number[]): string;
  /** What was held back, once no more tokens come. */
  end(): string;
}

/** Tokens that may wait for the rest of a character; longer runs are not characters. */
const mostUndecided = 16;

/** Creates the text of an answer that ends before any of `stops`. */
export function createAnswerText(tokenizer: Pick<Tokenizer, "decode">, stops: readonly string[]): AnswerText {
  const read = createDecoder(tokenizer);
  const longestStop = Math.max(0, ...stops.map(({ length }) => length));
  /** What is decoded and not shown: it may be the beginning of a stop. */
  let held = "";
  let isStopped = false;
  const show = (): string => {
    const ends = stops.map((stop) => held.indexOf(stop)).filter((position) => position >= 0);
    isStopped = ends.length > 0;
    const end = isStopped ? Math.min(...ends) : held.length - countHeld(held, stops, longestStop);
    const shown = held.slice(0, end);
    held = isStopped ? "" : held.slice(end);
    return shown;
  };
  return {
    get isStopped() {
      return isStopped;
    },
    add: (tokens) => {
      let shown = "";
      for (const token of tokens) {
        if (isStopped) return shown;
        held += read(token);
        shown += show();
      }
      return shown;
    },
    end: () => {
      if (isStopped) return "";
      held += read();
      const shown = show();
      const rest = held;
      held = "";
      return shown + rest;
    },
  };
}

/** How many characters at the end of a text could be the beginning of a stop. */
function countHeld(text: string, stops: readonly string[], longest: number): number {
  for (let length = Math.min(text.length, longest - 1); length > 0; length--) {
    const tail = text.slice(text.length - length);
    if (stops.some((stop) => stop.startsWith(tail))) return length;
  }
  return 0;
}

/**
 * Decodes token by token what decoding all at once gives: each call gives the text that is new, and nothing while a
 * character is incomplete. Called without a token, it gives what is left.
 */
function createDecoder({ decode }: Pick<Tokenizer, "decode">): (token?: number) => string {
  /** The tokens given last, which say how the next ones join, and those that are not given yet. */
  let [given, undecided]: readonly (readonly number[])[] = [[], []];
  return (token) => {
    if (token !== undefined) undecided = [...(undecided ?? []), token];
    const before = decode(given ?? []);
    const whole = decode([...(given ?? []), ...(undecided ?? [])]);
    const isIncomplete = whole.endsWith("\u{fffd}") && (undecided ?? []).length < mostUndecided;
    if (token !== undefined && (whole.length <= before.length || isIncomplete)) return "";
    [given, undecided] = [undecided, []];
    return whole.slice(before.length);
  };
}
