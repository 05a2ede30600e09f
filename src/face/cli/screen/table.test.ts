import { describe, expect, it } from "vitest";
import { colorPaint, plainPaint } from "./paint.ts";
import { formatTable, visibleLength } from "./table.ts";

const rows = (paint: typeof plainPaint): readonly (readonly string[])[] => [
  [paint("bold", "name"), paint("bold", "count"), "note"],
  ["a", paint("id", "1/20"), ""],
  ["longer name", "20/20", paint("bad", "lost")],
];

describe("formatTable()", () => {
  it("makes columns as wide as their widest cell", () => {
    expect(formatTable(rows(plainPaint))).toEqual([
      "name         count  note",
      "a            1/20",
      "longer name  20/20  lost",
    ]);
  });

  it("aligns colored cells like plain ones", () => {
    const colored = formatTable(rows(colorPaint));
    expect(colored.join("")).toContain("\u001b[");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: color codes begin with the escape character
    const bare = colored.map((line) => line.replace(/\u001b\[[0-9;]*m/g, "").trimEnd());
    expect(bare).toEqual(formatTable(rows(plainPaint)));
  });

  it("takes rows of different lengths, and none", () => {
    expect(formatTable([["a"], ["b", "c"]])).toEqual(["a", "b  c"]);
    expect(formatTable([])).toEqual([]);
    expect(formatTable([[]])).toEqual([""]);
  });
});

describe("visibleLength()", () => {
  it("leaves color codes out", () => {
    expect(visibleLength(colorPaint("ood", "four"))).toBe(4);
    expect(visibleLength("four")).toBe(4);
  });
});
