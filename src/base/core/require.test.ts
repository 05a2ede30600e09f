import { describe, expect, it } from "vitest";
import { requireItem, requireValue } from "./require.ts";

describe("requireValue() and requireItem()", () => {
  it("give what is there, also where it is empty or 0", () => {
    expect(requireValue(new Map([["a", ""]]), "a")).toBe("");
    expect(requireItem([5, 0], 1)).toBe(0);
  });

  it("throw for what is missing, and name it", () => {
    expect(() => requireValue(new Map([["a", 1]]), "b")).toThrow(
      new RangeError('Cannot find "b": it was never entered'),
    );
    for (const index of [-1, 2, 0.5])
      expect(() => requireItem([5, 0], index)).toThrow(
        new RangeError(`Cannot find item ${index}: there are 2`),
      );
  });
});
