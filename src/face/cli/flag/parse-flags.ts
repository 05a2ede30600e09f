/** Values of flags, parsed with one sentence about what is wrong. */
import { UsageError } from "../../../base/core/index.ts";

/** One of the choices. Throws `UsageError` naming them. */
export function parseChoice<Choice extends string>(
  flag: string,
  text: string,
  choices: readonly Choice[],
): Choice {
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined)
    throw new UsageError(`Cannot read ${flag} "${text}": choose from ${choices.join(", ")}`);
  return choice;
}

/** A whole number from `least`. Throws `UsageError`. */
export function parseCount(flag: string, text: string, least: number): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < least || !Number.isSafeInteger(count))
    throw new UsageError(`Cannot read ${flag} "${text}": give a whole number from ${least}`);
  return count;
}

/** A decimal number from 0. Throws `UsageError`. */
export function parseNumber(flag: string, text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text))
    throw new UsageError(`Cannot read ${flag} "${text}": give a number from 0`);
  return Number(text);
}

/** A time in seconds, from a tenth to a day. Throws `UsageError`. */
export function parseSeconds(flag: string, text: string): number {
  const seconds = parseNumber(flag, text);
  if (seconds < 0.1 || seconds > 86_400)
    throw new UsageError(`Cannot read ${flag} "${text}": give seconds, from 0.1 to 86400`);
  return seconds;
}
