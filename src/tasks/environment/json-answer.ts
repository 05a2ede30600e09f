/** Answers that are JSON objects somewhere in a text: models wrap them in words and fences. */

/**
 * The last object in a text that is whole JSON; empty where there is none. Model output is often no JSON, so that is no
 * error. Takes time linear in the text's length.
 */
export function readLastObject(text: string): Readonly<Record<string, unknown>> {
  for (const part of [...listBraced(text).reverse(), ...listEnds(text)]) {
    const value = parse(part);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  }
  return {};
}

/** Braces that are tried where none are balanced, as after a formula with one brace too many. */
const mostTries = 40;

/** Parts up to the last closing brace, from each of the last opening ones on. */
function* listEnds(text: string): Generator<string, void, void> {
  const end = text.lastIndexOf("}");
  let start = end;
  for (let tries = 0; tries < mostTries && start > 0; tries++) {
    start = text.lastIndexOf("{", start - 1);
    if (start < 0) return;
    yield text.slice(start, end + 1);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Outermost parts in balanced braces; braces inside of double quotes do not count there. */
function listBraced(text: string): string[] {
  const parts: string[] = [];
  let [depth, start] = [0, 0];
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (depth > 0 && character === '"') index = findQuoteEnd(text, index + 1);
    else if (character === "{" && depth++ === 0) start = index;
    else if (character === "}" && depth > 0 && --depth === 0) parts.push(text.slice(start, index + 1));
  }
  return parts;
}

/** Where the double quote is that ends what begins at `start`; past the text's end where there is none. */
function findQuoteEnd(text: string, start: number): number {
  let index = start;
  while (index < text.length && text[index] !== '"') index += text[index] === "\\" ? 2 : 1;
  return index;
}
