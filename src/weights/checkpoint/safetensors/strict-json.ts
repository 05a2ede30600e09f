/**
 * JSON as checkpoint files need it: objects become maps, so that a key given twice is an error instead of a silent
 * loss, and a key such as "__proto__" is a key like any other. Strings and numbers are read by `JSON.parse`.
 */

/** A JSON value whose objects are maps in the order of the text. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

/** A JSON object: its keys in the order of the text. */
export type JsonObject = ReadonlyMap<string, JsonValue>;

/** Checkpoint files nest 3 deep; the limit keeps hostile text from exhausting the stack. */
const MAX_DEPTH = 64;

interface Cursor {
  readonly text: string;
  position: number;
}

/** The value of a JSON text. Throws `SyntaxError` when it is malformed, repeats a key or nests deeper than 64. */
export function parseStrictJson(text: string): JsonValue {
  const cursor: Cursor = { text, position: 0 };
  const value = parseValue(cursor, 0);
  if (peek(cursor) !== "") throw unexpected(cursor);
  return value;
}

/** Whether a JSON value is an object. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}

function parseValue(cursor: Cursor, depth: number): JsonValue {
  if (depth > MAX_DEPTH) throw new SyntaxError(`it nests deeper than ${MAX_DEPTH}`);
  const first = peek(cursor);
  if (first === "{") return parseObject(cursor, depth);
  if (first === "[") return parseArray(cursor, depth);
  return first === '"' ? parseString(cursor) : parseWord(cursor);
}

function parseObject(cursor: Cursor, depth: number): JsonObject {
  const entries = new Map<string, JsonValue>();
  expect(cursor, "{");
  if (accept(cursor, "}")) return entries;
  do {
    const key = parseString(cursor);
    if (entries.has(key)) throw new SyntaxError(`the key ${JSON.stringify(key)} occurs twice`);
    expect(cursor, ":");
    entries.set(key, parseValue(cursor, depth + 1));
  } while (accept(cursor, ","));
  expect(cursor, "}");
  return entries;
}

function parseArray(cursor: Cursor, depth: number): readonly JsonValue[] {
  const values: JsonValue[] = [];
  expect(cursor, "[");
  if (accept(cursor, "]")) return values;
  do values.push(parseValue(cursor, depth + 1));
  while (accept(cursor, ","));
  expect(cursor, "]");
  return values;
}

function parseString(cursor: Cursor): string {
  if (peek(cursor) !== '"') throw unexpected(cursor);
  const { text, position } = cursor;
  let end = position + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  cursor.position = end + 1;
  const value: unknown = JSON.parse(text.slice(position, end + 1));
  if (typeof value !== "string") throw unexpected(cursor);
  return value;
}

/** A number, `true`, `false` or `null`. */
function parseWord(cursor: Cursor): number | boolean | null {
  const { text, position } = cursor;
  let end = position;
  while (end < text.length && /[-+.\w]/.test(text.charAt(end))) end++;
  if (end === position) throw unexpected(cursor);
  cursor.position = end;
  const value: unknown = JSON.parse(text.slice(position, end));
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value;
  throw unexpected(cursor);
}

/** The next character that is not white space, "" at the end; the cursor moves onto it. */
function peek(cursor: Cursor): string {
  const { text } = cursor;
  while (cursor.position < text.length && " \t\n\r".includes(text.charAt(cursor.position))) cursor.position++;
  return text.charAt(cursor.position);
}

function accept(cursor: Cursor, character: string): boolean {
  if (peek(cursor) !== character) return false;
  cursor.position++;
  return true;
}

function expect(cursor: Cursor, character: string): void {
  if (!accept(cursor, character)) throw unexpected(cursor);
}

function unexpected({ text, position }: Cursor): SyntaxError {
  const found = position < text.length ? JSON.stringify(text.charAt(position)) : "the end";
  return new SyntaxError(`unexpected ${found} at character ${position}`);
}
