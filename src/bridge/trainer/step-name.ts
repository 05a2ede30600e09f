/**
 * What the names of step folders say: by the words that trainers put before a number, or by a pattern that a user wrote. No list
 * of trainers: a new one that counts steps, iterations or epochs is read as the others are.
 */
import { toExpressionSource } from "../../base/core/index.ts";

/** What the name of a folder claims. */
export interface StepName {
  /** The last number of the name. */
  readonly step: number;
  /** The number of the epoch, where the name has one beside the step. */
  readonly epoch?: number;
  /** Whether that last number counts epochs and not steps. */
  readonly countsEpochs: boolean;
  /** Whether it is said to be the same step in another form, as `global_step100_hf` or `checkpoint-50-merged`. */
  readonly isForm: boolean;
}

/** Words that stand right before the number of a step. */
const stepWords = /^(?:checkpoints?|ckpts?|chkpts?|(?:global)?steps?|iter(?:ation)?s?|updates?|batch|ba)$/;
const epochWords = /^(?:epochs?|ep)$/;
/** Words that may stand before those. `epochstep`: AReaL counts steps within an epoch, and globally after it. */
const fillers = /^(?:global|train|training|model|policy|actor|hf|weights|optimizer|gradient|epochstep)$/;
/** Words after the number: the same step in another form. */
const forms = /^(?:hf|merged|ckpt|unsharded|consolidated|full)$/;

/** Reads a name such as `checkpoint-100`, `global_step100_hf`, `iter_0000100` or `epoch_3_step_100`; `undefined` for others. */
export function readStepName(name: string): StepName | undefined {
  if (!/^[a-z][a-z0-9._=-]*$/i.test(name)) return undefined;
  const tokens = name.toLowerCase().match(/[a-z]+|\d+/g) ?? [];
  const last = tokens.findLastIndex((token) => /^\d/.test(token));
  const word = tokens[last - 1] ?? "";
  if (!stepWords.test(word) && !epochWords.test(word)) return undefined;
  const epochs = readEpochs(tokens.slice(0, last - 1));
  if (epochs === undefined || !tokens.slice(last + 1).every((token) => forms.test(token))) return undefined;
  const [epoch] = epochs;
  const step = Number(tokens[last]);
  return !Number.isSafeInteger(step)
    ? undefined
    : {
        step,
        ...(epoch !== undefined && { epoch }),
        countsEpochs: epochWords.test(word),
        isForm: last + 1 < tokens.length,
      };
}

/** The numbers of epochs among what stands before the word of the step; `undefined` where something else stands there. */
function readEpochs(tokens: readonly string[]): readonly number[] | undefined {
  const epochs: number[] = [];
  for (const [index, token] of tokens.entries())
    if (/^\d/.test(token)) {
      if (epochWords.test(tokens[index - 1] ?? "")) epochs.push(Number(token));
      else if (tokens[index - 1] !== "epochstep") return undefined;
    } else if (![stepWords, epochWords, fillers].some((words) => words.test(token))) return undefined;
  return epochs;
}

/** Reads one part of a path by one part of a user's pattern: `undefined` where it does not fit, the step where it holds one. */
function matchPart(pattern: string, name: string): { readonly step?: number } | undefined {
  const [before = "", after] = pattern.split("{step}");
  if (after === undefined) return new RegExp(`^${toExpressionSource(before)}$`).test(name) ? {} : undefined;
  const [, digits] =
    new RegExp(`^${toExpressionSource(before)}(\\d+)${toExpressionSource(after)}$`).exec(name) ?? [];
  return digits === undefined ? undefined : { step: Number(digits) };
}

/** A user's pattern for step folders, part by part: `{step}` stands for the number, `*` for any characters of a name. */
export interface StepPattern {
  /** How many folders deep it goes. */
  readonly depth: number;
  /** Whether a path may lie on the way to a step folder; with its step where it is one. */
  match(path: readonly string[]): { readonly step?: number } | undefined;
}

/** Reads a pattern such as `round_{step}` or `step{step}-*`; that it holds `{step}` once is the caller's to check. */
export function parseStepPattern(text: string): StepPattern {
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  return {
    depth: parts.length,
    match: (path) => {
      let step: number | undefined;
      for (const [index, name] of path.entries()) {
        const matched = matchPart(parts[index] ?? "", name);
        if (matched === undefined) return undefined;
        step ??= matched.step;
      }
      return step === undefined ? {} : { step };
    },
  };
}

/** A pattern that fits a path: its last number is the step. `undefined` where it has none. */
export function suggestPattern(path: string): string | undefined {
  const found = /^(.*?)(\d+)(\D*)$/.exec(path);
  return found === null ? undefined : `${found[1]}{step}${found[3]}`;
}
