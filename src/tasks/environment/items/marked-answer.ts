/** Where in an answer the number stands that is meant as the answer: places that people and models mark, the clearest first. */
import { readNumbers, unifySigns, type WrittenNumber } from "./number.ts";

/** A place that was marked: what stands there, and its number if it has one. */
export interface MarkedAnswer {
  readonly text: string;
  readonly number?: WrittenNumber | undefined;
}

/**
 * The number that an answer gives: in the last \boxed{}, after "####", after "answer is" or "Answer:", a bold or first line of its own,
 * or else the last number. `undefined` where it holds no number.
 */
export function findAnswerNumber(answer: string): MarkedAnswer | undefined {
  const text = unifySigns(answer);
  return findBoxed(text) ?? findHashed(text) ?? findNamed(text) ?? findEmphasized(text) ?? findLast(text);
}

/** \boxed{…}, its braces balanced; one without a number is an answer all the same. */
function findBoxed(text: string): MarkedAnswer | undefined {
  const start = Math.max(...["\\boxed{", "\\fbox{"].map((mark) => text.lastIndexOf(mark)));
  if (start < 0) return undefined;
  const open = text.indexOf("{", start);
  let depth = 0;
  for (let index = open; index < text.length; index++) {
    if (text[index] === "{") depth++;
    else if (text[index] === "}" && --depth === 0) {
      const content = text.slice(open + 1, index);
      return { text: content.trim(), number: pickLast(content) };
    }
  }
  return undefined;
}

/** "#### 12": the first, since models that run on go on with questions of their own. Headings of Markdown are none. */
function findHashed(text: string): MarkedAnswer | undefined {
  for (const [, line = ""] of text.matchAll(/^[ ]*#{4}(?!#)[ ]*(.*)$/gm)) {
    if (/^\p{L}|^\d+[.):]\s+\S/u.test(line)) continue;
    const [number] = readNumbers(line);
    if (number !== undefined) return { text: number.text, number };
  }
  return undefined;
}

/** Models that repeat themselves name answers thousands of times, and sentences never end: what is looked at is limited. */
const mostNamed = 20;
const mostSentence = 400;

/** "the answer is 12", "Answer: 12": the last such place, up to the end of its sentence. */
function findNamed(text: string): MarkedAnswer | undefined {
  const places = /\banswers?\b[*_"'\s]{0,4}(?:is|was|are|=|:|would be|will be|equals|comes to)[*_:\s]{0,6}/gi;
  for (const place of [...text.matchAll(places)].slice(-mostNamed).reverse()) {
    const start = place.index + place[0].length;
    const [sentence = ""] =
      /^.*?(?=[.!?;](?:[\s*_)"']|$)|\n|$)/.exec(text.slice(start, start + mostSentence)) ?? [];
    const number = pickStated(sentence);
    if (number !== undefined) return { text: number.text, number };
  }
  return undefined;
}

/** The number that a sentence begins with, or what it is said to equal (2 + 3 = 5); else the last. */
function pickStated(sentence: string): WrittenNumber | undefined {
  const numbers = readNumbers(sentence);
  const [first] = numbers;
  if (first === undefined) return undefined;
  const lead = sentence.slice(0, first.start);
  if (
    /\p{L}{2,}/u.test(
      lead.replaceAll(/\\\p{L}+|\b(?:approximately|about|roughly|exactly|just|simply)\b/giu, ""),
    )
  )
    return pickLast(sentence);
  const [equation = ""] = /^[^\p{L}\n]*=/u.exec(sentence.slice(first.start)) ?? [];
  return numbers.find(({ start }) => start >= first.start + equation.length) ?? first;
}

/** The last bold line of nothing but a number, or such a first line. */
function findEmphasized(text: string): MarkedAnswer | undefined {
  const bold = [...text.matchAll(/^[ ]*(?:\*\*([^*\n]+)\*\*|__([^_\n]+)__)[ .]*$/gm)].flatMap(
    ([, stars, lines]) => pickOnly(stars ?? lines ?? ""),
  );
  const [, first] = /^\s*(\S[^\n]*)\n\s*\n/.exec(text) ?? [];
  const number = bold.at(-1) ?? (first === undefined ? undefined : pickOnly(first)[0]);
  return number === undefined ? undefined : { text: number.text, number };
}

/** The number of a text that holds little else: a unit at most. The marks of lists (1.) are none. */
function pickOnly(text: string): readonly WrittenNumber[] {
  const numbers = readNumbers(text);
  if (/^\s*\d+[.):]\s*$/.test(text)) return [];
  const [only] = numbers;
  if (only === undefined || numbers.length > 1 || /\p{L}/u.test(text.slice(0, only.start))) return [];
  return [only];
}

function findLast(text: string): MarkedAnswer | undefined {
  const number = pickLast(text);
  return number === undefined ? undefined : { text: number.text, number };
}

/** The last number, without an aside at the end that explains it: 18 (9 x 2). */
function pickLast(text: string): WrittenNumber | undefined {
  const aside = /\d[%€]?\s+\(([^()]*)\)[\s.!]*$/.exec(text);
  return readNumbers(aside === null ? text : text.slice(0, aside.index + 1)).at(-1);
}
