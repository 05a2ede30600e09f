import { describe, expect, it } from "vitest";
import { formatInterval, formatPoints, formatPValue, formatShare } from "./format.ts";

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

  it("never writes what is below 0.05 as if it were not", () => {
    expect(formatPValue(0.04999)).toBe("p < 0.05");
    expect(formatPValue(0.05)).toBe("p = 0.050");
  });
});

describe("formatInterval()", () => {
  it("never prints an end as 0 that is not", () => {
    expect(formatInterval({ low: -0.01, high: 0.0424 })).toBe("[−1.0, 4.2]");
    expect(formatInterval({ low: 0.0003, high: 0.02 })).toBe("[0.03, 2.0]");
    expect(formatInterval({ low: -0.2, high: -0.00004 })).toBe("[−20.0, −0.004]");
    expect(formatInterval({ low: 0, high: 1e-17 })).toBe("[0.0, 0.0]");
    expect(formatInterval({ low: 0.004, high: 0.5 }, { digits: 0, unit: " %" })).toBe("[0.4 %, 50 %]");
  });
});
