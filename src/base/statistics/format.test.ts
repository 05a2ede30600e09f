import { describe, expect, it } from "vitest";
import { formatPoints, formatPValue, formatShare } from "./format.ts";

describe("formatShare()", () => {
  it("writes percent with one digit, or as many as asked", () => {
    expect(formatShare(0.62)).toBe("62.0 %");
    expect(formatShare(1.234, 0)).toBe("123 %");
  });
});

describe("formatPoints()", () => {
  it("writes a true minus sign, but none before zero", () => {
    expect(formatPoints(-0.125)).toBe("−12.5");
    expect(formatPoints(-0.0001)).toBe("0.0");
  });
});

describe("formatPValue()", () => {
  it("never writes zero", () => {
    expect(formatPValue(1e-9)).toBe("p < 0.001");
    expect(formatPValue(0.0234)).toBe("p = 0.023");
    expect(formatPValue(0.99999)).toBe("p = 1");
  });
});
