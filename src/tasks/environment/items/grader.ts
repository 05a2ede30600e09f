/** Graders of a user's own questions: how a text is held against the right answer. Total: no text makes them throw. */
import { z } from "zod";
import { matchWithin } from "../../../base/threads/index.ts";
import { readLastObject } from "../json-answer.ts";
import { findAnswerNumber } from "./marked-answer.ts";
import { readWholeNumber, unifySigns } from "./number.ts";

/** How an answer is read and compared. */
export const graderSchema: z.ZodType<Grader> = z.discriminatedUnion("kind", [
  /** The whole text, without spaces around it and without regard to case. */
  z.strictObject({ kind: z.literal("exact") }),
  /** The number that the text gives as its answer, within a tolerance of the right one: see `findAnswerNumber`. */
  z.strictObject({
    kind: z.literal("numeric"),
    tolerance: z.number().nonnegative().default(1e-6),
    /** Whether the tolerance is a fraction of the right number. */
    relative: z.boolean().default(false),
  }),
  /** The letter that is given as the answer, A to Z. */
  z.strictObject({ kind: z.literal("choice") }),
  /** A field of the last JSON object of the text. */
  z.strictObject({ kind: z.literal("json"), field: z.string().min(1).default("answer") }),
  /** Whether the right answer, a regular expression, is found in the text. */
  z.strictObject({ kind: z.literal("regex") }),
  /** What a model behind a server says of it. */
  z.strictObject({ kind: z.literal("judge") }),
]);

/** One of the ways to grade. */
export type Grader =
  | { readonly kind: "exact" }
  | { readonly kind: "numeric"; readonly tolerance: number; readonly relative: boolean }
  | { readonly kind: "choice" }
  | { readonly kind: "json"; readonly field: string }
  | { readonly kind: "regex" }
  | { readonly kind: "judge" };

/** What could be read off a text, and whether it is right. */
export interface Reading {
  /** Absent where the text holds nothing of the kind. */
  readonly read?: string;
  readonly isRight: boolean;
  /** Why it could not be decided, as a clause that can follow "because". */
  readonly problem?: string;
}

/** Time that a regular expression may take on one answer; those of a usual kind take a thousandth of it. */
export const regexLimitMs = 1000;

/** Reads an answer and holds it against the right one. */
export function readAnswer(text: string, expected: string, grader: Grader): Reading {
  switch (grader.kind) {
    case "exact":
      return compare(text.trim(), normalize(text) === normalize(expected));
    case "numeric":
      return readNumeric(text, expected, grader);
    case "choice": {
      const letter = readLetter(text);
      return compare(letter, normalize(letter ?? "") === normalize(expected));
    }
    case "json": {
      const value = readLastObject(text)[grader.field];
      const read =
        value === undefined ? undefined : typeof value === "string" ? value : JSON.stringify(value);
      return compare(read, normalize(read ?? "") === normalize(expected));
    }
    case "regex":
      return matchExpression(text, expected);
    case "judge":
      // Nobody has judged it yet.
      return { isRight: false };
  }
}

/** Words behind "A" or "I" that tell the letter of a choice from the article and the pronoun: "the answer is A because". */
const afterLetter = "(?:because|since|as|and|but|which|for|due|given|not|is)";
const answerPlace = String.raw`\b(?:[Aa]nswer|ANSWER)\b[^A-Za-z0-9\n]{0,5}(?:[Ii][Ss]|would be)?[^A-Za-z0-9\n]{0,5}`;
const isNoWord = String.raw`(?![A-Za-z'’])(?!(?<=[AaIi]) (?!${afterLetter}\b)[a-z0-9])(?!(?<=[ai]) [A-Z])`;

/** Places where people write the letter that they choose, the clearest first; the last of a kind counts. */
const letterPlaces: readonly RegExp[] = [
  /\\boxed\{\s*(?:\\text\w*\{)?\s*\(?([A-Za-z])\)?\s*\}/g,
  new RegExp(`${answerPlace}([A-Za-z])${isNoWord}`, "g"),
  /(?<![A-Za-z'’])\(([A-Za-z])\)/g,
  /^\s*([A-Za-z])(?:[.):,]|\s*$)/g,
  // "I" and "A" are words as well.
  /(?<![A-Za-z'’]|[A-Za-z]\()(?!I['’]|[IA] [a-z])([A-Z])(?![A-Za-z'’])/g,
  /(?<![A-Za-z'’]|[A-Za-z]\()([b-hj-z])(?![A-Za-z'’])/g,
];

function readLetter(text: string): string | undefined {
  const unified = unifySigns(text);
  for (const place of letterPlaces) {
    const letter = [...unified.matchAll(place)].at(-1)?.[1];
    if (letter !== undefined) return letter;
  }
  return undefined;
}

function compare(read: string | undefined, isRight: boolean): Reading {
  return read === undefined || read === "" ? { isRight: false } : { read, isRight };
}

function normalize(text: string): string {
  return text.normalize("NFC").trim().replaceAll(/\s+/g, " ").toLowerCase();
}

function matchExpression(text: string, expected: string): Reading {
  const isFound = matchWithin(new RegExp(expected, "i"), text, regexLimitMs);
  return isFound === undefined
    ? { isRight: false, problem: `the regular expression ${expected} takes too long on it` }
    : compare(text.trim(), isFound);
}

function readNumeric(
  text: string,
  expected: string,
  { tolerance, relative }: Extract<Grader, { kind: "numeric" }>,
): Reading {
  const place = findAnswerNumber(text);
  if (place === undefined) return { isRight: false };
  const [given, right] = [place.number?.value, readWholeNumber(expected)?.value];
  if (given === undefined || right === undefined) return compare(place.text, false);
  const allowed = relative ? tolerance * Math.abs(right) : tolerance;
  return compare(place.text, Math.abs(given - right) <= allowed);
}
