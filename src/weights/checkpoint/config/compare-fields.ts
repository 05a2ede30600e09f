/** Named values of two sides, compared one by one and written into sentences. */
import { isObject, parsePythonJson } from "../../../base/core/index.ts";

/** Fields by name, each written as text. */
export type Fields = ReadonlyMap<string, string>;

/** Both folders' values of one thing. */
export interface Sides<Value> {
  readonly before: Value;
  readonly after: Value;
}

/** The fields of a JSON file; `undefined` where it can't be read as an object. */
export function parseFields(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = parsePythonJson(text);
    return isObject(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Fields whose absence means something else than nothing: an end token may be number 0, and some tokenizers add a start unasked. */
const telling = /^(?:\w+_token_id|add_bos_token|add_eos_token)$/;

/** Whether a field says no more than its absence would. */
export function isEmpty(name: string, text: string | undefined): boolean {
  if (text === undefined || text === "null") return true;
  return !telling.test(name) && ["false", "0", '""', "[]", "{}"].includes(text);
}

/** Fields that differ, each with both sides. */
export function compareFields({ before, after }: Sides<Fields>, subject: string): readonly string[] {
  const names = [...new Set([...before.keys(), ...after.keys()])];
  return names.flatMap((name) => {
    const [first, second] = [before.get(name), after.get(name)];
    if (first === second || (isEmpty(name, first) && isEmpty(name, second))) return [];
    return [`${subject}: ${name} ${shorten(first)} before, ${shorten(second)} after`];
  });
}

/** Values that fit in a sentence. */
function shorten(text: string | undefined): string {
  if (text === undefined) return "not given";
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
