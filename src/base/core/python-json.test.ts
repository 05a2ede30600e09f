import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePythonJson } from "./python-json.ts";

describe("parsePythonJson()", () => {
  it("reads what json.dumps writes of NaN and infinities", () => {
    expect(parsePythonJson('{"a": NaN, "b": [Infinity, -Infinity, 1.5], "c": {"d": NaN}}')).toEqual({
      a: Number.NaN,
      b: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1.5],
      c: { d: Number.NaN },
    });
    expect(parsePythonJson("NaN")).toBeNaN();
  });

  it("leaves the words alone where they are text", () => {
    const text = '{"NaN": "NaN, Infinity and \\"-Infinity\\"", "x": NaN}';
    expect(parsePythonJson(text)).toEqual({ NaN: 'NaN, Infinity and "-Infinity"', x: Number.NaN });
  });

  it("gives what JSON.parse gives of every standard text", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parsePythonJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it.for(["", "{", '{"a": NaN', "NaNs", "nan", "+Infinity", '{"a": NaN,}', "[NaN Infinity]"])(
    "refuses %j",
    (text) => {
      expect(() => parsePythonJson(text)).toThrow(SyntaxError);
    },
  );
});
