import { describe, expect, it } from "vitest";
import { formatContrast, formatCount, formatDuration } from "./format.ts";

describe("formatters", () => {
  it("write counts with their share and Wilson interval, aligned", () => {
    expect(formatCount({ correct: 124, total: 200 })).toBe("124/200  62.0 % [55.1, 68.4]");
    expect(formatCount({ correct: 0, total: 10 })).toBe("   0/10   0.0 % [0.0, 27.8]");
    expect(formatCount({ correct: 10, total: 10 })).toBe("  10/10 100.0 % [72.2, 100.0]");
    expect(formatCount({ correct: 0, total: 0 })).not.toContain("NaN");
  });

  it("write differences in points with their sign", () => {
    expect(formatContrast({ estimate: 0.12, low: 0.03, high: 0.22 })).toBe("+12.0 points [3.0, 22.0]");
    expect(formatContrast({ estimate: -0.12, low: -0.22, high: -0.03 })).toBe("−12.0 points [−22.0, −3.0]");
    expect(formatContrast({ estimate: 0, low: 0, high: 0 })).toBe("0.0 points [0.0, 0.0]");
    expect(formatContrast({ estimate: -0, low: -0, high: -0 })).toBe("0.0 points [0.0, 0.0]");
  });

  it("write durations in the two largest units", () => {
    expect(
      [0, 499, 12_000, 59_499, 59_500, 245_000, 3_599_499, 3_599_500, 3_600_000, 7_500_000].map(
        formatDuration,
      ),
    ).toEqual(["0s", "0s", "12s", "59s", "1m 00s", "4m 05s", "59m 59s", "1h 00m", "1h 00m", "2h 05m"]);
  });
});
