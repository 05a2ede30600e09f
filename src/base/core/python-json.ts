/**
 * JSON as Python's `json.dumps` writes it by default: NaN, Infinity and -Infinity are values there, although the standard has no
 * such numbers. Trainers' states and configurations hold them.
 */

/** What no text of a trainer contains, and what stands for NaN until the text is parsed. */
const nan = "\u{F0000}NaN";

const stringOrWord = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\bInfinity\b|\bNaN\b/gs;

/** The value of a JSON text, NaN and infinities included. Throws `SyntaxError` as `JSON.parse` does. */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const standard = text.replace(stringOrWord, toStandard);
    if (standard === text) throw error;
    return JSON.parse(standard, (_, value: unknown) => (value === nan ? Number.NaN : value));
  }
}

/** A number of the standard in the place of a word of Python's: one beyond all doubles is read as infinite. */
function toStandard(token: string): string {
  if (token === "NaN") return JSON.stringify(nan);
  if (token === "Infinity") return "1e999";
  return token === "-Infinity" ? "-1e999" : token;
}
