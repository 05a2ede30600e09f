/** The fields of a `config.json`, read one by one: each is checked where it is read, and what nobody read is known in the end. */
import { isObject } from "../../../base/core/index.ts";

/** What is wrong with a field: a clause that begins with its name. */
export class FieldError extends Error {
  override readonly name = "FieldError";
}

/** Reads fields. What is missing gets the fallback; without one, it throws `FieldError`, as it does for a value of another kind. */
export interface Fields {
  /** Whether the field is there and not null. */
  has(name: string): boolean;
  /** A whole number above 0. */
  count(name: string, fallback?: number): number;
  /** The same, or null for none. */
  optionalCount(name: string, fallback?: number): number | undefined;
  /** A finite number. */
  number(name: string, fallback?: number): number;
  /** The same, or null for none. */
  optionalNumber(name: string, fallback?: number): number | undefined;
  flag(name: string, fallback: boolean): boolean;
  /** One of the given words. */
  word<Word extends string>(name: string, words: readonly Word[], fallback?: Word): Word;
  /** Numbers, as many as there are; null for none. */
  numbers(name: string): readonly number[] | undefined;
  /** Texts, as many as there are; null for none. */
  words(name: string): readonly string[] | undefined;
  /** The fields of an object; undefined where it is missing or null. */
  object(name: string): Fields | undefined;
  /** Says that the fields change nothing that is computed here. */
  ignore(...names: readonly string[]): void;
  /** The names of fields that nobody asked for, and that are not null. */
  listUnread(): readonly string[];
  /** The value as it is; it counts as read. */
  raw(name: string): unknown;
  readonly names: readonly string[];
  /** What goes before the names of its fields in what is said of them. */
  readonly path: string;
}

type Values = Readonly<Record<string, unknown>>;
type Check<Value> = (value: unknown) => value is Value;

const isFiniteNumber: Check<number> = (value): value is number => Number.isFinite(value);
const isCount: Check<number> = (value): value is number => Number.isInteger(value) && Number(value) > 0;
const isFlag: Check<boolean> = (value): value is boolean => typeof value === "boolean";
const areNumbers: Check<readonly number[]> = (value): value is readonly number[] =>
  Array.isArray(value) && value.every(isFiniteNumber);
const areTexts: Check<readonly string[]> = (value): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

/** The fields of an object; `path` goes before their names in what is said of them. */
export function readFields(values: Values, path = ""): Fields {
  const read = new Set<string>();
  const take = (name: string): unknown => {
    read.add(name);
    return Object.hasOwn(values, name) ? values[name] : undefined;
  };
  const fail = (name: string, reason: string): never => {
    throw new FieldError(`"${path}${name}" ${reason}`);
  };
  const expect = <Value>(name: string, check: Check<Value>, kind: string): Value => {
    const value = take(name);
    if (value === undefined) return fail(name, "is missing");
    return check(value) ? value : fail(name, `is ${shorten(value)}, and must be ${kind}`);
  };
  const optional = <Value>(name: string, fallback: Value | undefined, check: Check<Value>, kind: string) => {
    const value = take(name);
    if (value === undefined) return fallback;
    return value === null ? undefined : expect(name, check, kind);
  };
  const required = <Value>(name: string, fallback: Value | undefined, check: Check<Value>, kind: string) =>
    take(name) === undefined && fallback !== undefined ? fallback : expect(name, check, kind);
  return {
    names: Object.keys(values),
    path,
    raw: take,
    has: (name) => values[name] !== undefined && values[name] !== null,
    count: (name, fallback) => required(name, fallback, isCount, "a whole number above 0"),
    optionalCount: (name, fallback) => optional(name, fallback, isCount, "a whole number above 0, or null"),
    number: (name, fallback) => required(name, fallback, isFiniteNumber, "a number"),
    optionalNumber: (name, fallback) => optional(name, fallback, isFiniteNumber, "a number, or null"),
    flag: (name, fallback) => required(name, fallback, isFlag, "true or false"),
    word: (name, words, fallback) => {
      const isWord = (value: unknown): value is (typeof words)[number] =>
        words.some((word) => word === value);
      return required(name, fallback, isWord, `one of ${words.join(", ")}`);
    },
    numbers: (name) => optional(name, undefined, areNumbers, "a list of numbers"),
    words: (name) => optional(name, undefined, areTexts, "a list of words"),
    object: (name) => {
      const found = optional(name, undefined, isObject, "an object");
      return found === undefined ? undefined : readFields(found, `${path}${name}.`);
    },
    ignore: (...names) => {
      for (const name of names) read.add(name);
    },
    listUnread: () =>
      Object.entries(values)
        .filter(([name, value]) => value !== null && !read.has(name))
        .map(([name]) => name),
  };
}

/** A value as JSON, its beginning where it is long. */
export function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
