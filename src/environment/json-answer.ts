/** Answers that are JSON objects somewhere in a text: models wrap them in words and fences. */

/**
 * The last object in a text that is whole JSON; empty where there is none. Model output is often no JSON, so that is no
 * error. Takes time linear in the text's length.
 */
export function readLastObject(text: string): Readonly<Record<string, unknown>> {
  for (const part of listBraced(text).reverse()) {
    const value = parse(part);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  }
  return {};
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
  let [depth, start, isQuoted] = [0, 0, false];
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (depth > 0 && isQuoted) {
      if (character === "\\") index++;
      else if (character === '"') isQuoted = false;
    } else if (depth > 0 && character === '"') isQuoted = true;
    else if (character === "{" && depth++ === 0) start = index;
    else if (character === "}" && depth > 0 && --depth === 0) parts.push(text.slice(start, index + 1));
  }
  return parts;
}
