import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CurveChart, drawCurves } from "./curve-chart.ts";
import { colorPaint, plainPaint } from "./paint.ts";
import { visibleLength } from "./table.ts";

const small: CurveChart = {
  labels: ["0", "5", "10", "5", "+9"],
  curves: [
    { color: "id", marker: "o", values: [0, 0.5, 1, 0.5, 0.75] },
    { color: "ood", marker: "x", values: [0.5, undefined, 0.25, undefined, 0] },
  ],
  breaks: [3],
  width: 38,
  height: 5,
};

const charts: fc.Arbitrary<CurveChart> = fc
  .record({
    numPositions: fc.integer({ min: 1, max: 20 }),
    width: fc.integer({ min: 18, max: 140 }),
    height: fc.integer({ min: 2, max: 20 }),
  })
  .chain(({ numPositions, width, height }) =>
    fc.record({
      labels: fc.array(fc.integer({ min: 0, max: 99_999 }).map(String), {
        minLength: numPositions,
        maxLength: numPositions,
      }),
      curves: fc.array(
        fc.record({
          color: fc.constantFrom("id" as const, "ood" as const),
          marker: fc.constantFrom("o", "x"),
          values: fc.array(fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }), {
            minLength: numPositions,
            maxLength: numPositions,
          }),
        }),
        { maxLength: 3 },
      ),
      breaks: fc.uniqueArray(fc.integer({ min: 1, max: numPositions }), { maxLength: 3 }),
      width: fc.constant(width),
      height: fc.constant(height),
    }),
  );

describe("drawCurves()", () => {
  it("draws axis, curves, a gap between groups, and labels", () => {
    expect(`\n${drawCurves(small, plainPaint).join("\n")}\n`).toMatchInlineSnapshot(`
      "
      100 % ┤              ⡠o  ┊           
       75 % ┤           ⡠⠔⠉    ┊     ⢀⣀⠤o  
       50 % ┤   x    ⡠o⠉       ┊  o⠒⠉⠁     
       25 % ┤     ⡠⠔⠉       x  ┊           
        0 % ┤   o⠉             ┊        x  
            └──────────────────────────────
                0     5    10     5    +9
      "
    `);
  });

  it("puts 1 into the top row and 0 into the bottom row", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), fc.constantFrom(0, 1), (height, value) => {
        const curves = [{ color: "id" as const, marker: "o", values: [value] }];
        const lines = drawCurves({ ...small, labels: ["0"], breaks: [], curves, height }, plainPaint);
        const marked = [...lines.entries()].filter(([, line]) => line.includes("o")).map(([row]) => row);
        expect(marked).toEqual([value === 1 ? 0 : height - 1]);
        expect(lines[0]).toMatch(/^ *100 % ┤/);
        expect(lines[height - 1]).toMatch(/^ *0 % ┤/);
      }),
    );
  });

  it("is as high as asked with baseline and labels, and never wider", () => {
    fc.assert(
      fc.property(charts, (chart) => {
        const lines = drawCurves(chart, colorPaint);
        expect(lines).toHaveLength(chart.height + 2);
        for (const line of lines) expect(visibleLength(line)).toBeLessThanOrEqual(chart.width);
      }),
    );
  });

  it("shows every value's marker unless another one covers it", () => {
    const lines = drawCurves({ ...small, breaks: [] }, plainPaint).join("");
    expect([...lines].filter((character) => character === "o")).toHaveLength(5);
    expect([...lines].filter((character) => character === "x")).toHaveLength(3);
  });

  it("colors curves, and nothing where colors are not wanted", () => {
    expect(drawCurves(small, colorPaint).join("")).toContain(colorPaint("ood", "x"));
    expect(drawCurves(small, plainPaint).join("")).not.toContain("\u001b");
  });
});
