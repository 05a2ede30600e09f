import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isJsonObject, type JsonValue, parseStrictJson } from "./strict-json.ts";

/** The same value with plain objects, as `JSON.parse` makes them. */
function toPlain(value: JsonValue): unknown {
  if (isJsonObject(value)) return Object.fromEntries([...value].map(([key, item]) => [key, toPlain(item)]));
  return Array.isArray(value) ? value.map(toPlain) : value;
}

describe("parseStrictJson()", () => {
  it("reads what JSON.parse reads, in any spacing", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(undefined, 1, "\t"), (text, space) => {
        const spaced = JSON.stringify(JSON.parse(text), null, space);
        expect(toPlain(parseStrictJson(spaced))).toEqual(JSON.parse(text));
      }),
    );
  });

  it("refuses what JSON.parse refuses, with a SyntaxError", () => {
    const characters = [...'{}[]",:\\ue01-+.ntrfals \t\u0000é'];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...characters), { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        let accepted = true;
        try {
          JSON.parse(text);
        } catch {
          accepted = false;
        }
        if (accepted) expect(toPlain(parseStrictJson(text))).toEqual(JSON.parse(text));
        else expect(() => parseStrictJson(text)).toThrow(SyntaxError);
      }),
      { numRuns: 20_000 },
    );
  });

  it("refuses a key given twice, also when spelled differently", () => {
    for (const text of ['{"a":1,"a":1}', '{"x":{"a":1,"\\u0061":2}}', '{"__proto__":1,"__proto__":2}'])
      expect(() => parseStrictJson(text)).toThrow(/the key "(a|__proto__)" occurs twice/);
  });

  it("refuses hostile nesting without exhausting the stack", () => {
    expect(() => parseStrictJson("[".repeat(1_000_000))).toThrow(SyntaxError);
    expect(() => parseStrictJson('{"a":'.repeat(1_000_000))).toThrow(SyntaxError);
  });
});
