import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createRangeDecoder,
  decodeFloats,
  encodeDoubles,
  encodeFloats,
  isDtype,
  isFloatDtype,
  type WritableDtype,
} from "./dtype.ts";

const bytesOf = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.slice().buffer);
const floatsOf = (bits: readonly number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);
const halvesOf = (bytes: Uint8Array): Uint16Array => new Uint16Array(bytes.slice().buffer);
const everyHalf = Uint16Array.from({ length: 2 ** 16 }, (_, half) => half);

/** The value of a 16-bit pattern by the definition of IEEE 754: sign, exponent, fraction. */
function valueByDefinition(half: number, numFractionBits: number): number {
  const numExponentBits = 15 - numFractionBits;
  const bias = 2 ** (numExponentBits - 1) - 1;
  const exponent = (half >>> numFractionBits) & (2 ** numExponentBits - 1);
  const fraction = (half & (2 ** numFractionBits - 1)) / 2 ** numFractionBits;
  const sign = half >>> 15 === 0 ? 1 : -1;
  if (exponent === 2 ** numExponentBits - 1) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

describe("decodeFloats()", () => {
  it.each([
    ["F16", 10],
    ["BF16", 7],
  ] as const)("gives every %s pattern the value of its definition", (dtype, bits) => {
    const decoded = decodeFloats(bytesOf(everyHalf), dtype);
    expect(decoded).toEqual(Float32Array.from(everyHalf, (half) => valueByDefinition(half, bits)));
    expect(Object.is(decoded[0x8000], -0)).toBe(true);
  });

  it("narrows F64 to the nearest F32", () => {
    fc.assert(
      fc.property(fc.array(fc.double()), (values) => {
        const decoded = decodeFloats(bytesOf(Float64Array.from(values)), "F64");
        expect(decoded).toEqual(Float32Array.from(values, Math.fround));
      }),
    );
  });

  it("reads bytes that start at an odd address, and owns its memory", () => {
    const bytes = new Uint8Array(9);
    bytes.set(bytesOf(Float32Array.of(1.5, -2)), 1);
    const decoded = decodeFloats(bytes.subarray(1), "F32");
    bytes.fill(0);
    expect([...decoded]).toEqual([1.5, -2]);
  });

  it("refuses bytes that are not whole elements", () => {
    expect(() => decodeFloats(new Uint8Array(7), "F32")).toThrow(TypeError);
    expect(() => decodeFloats(new Uint8Array(3), "BF16")).toThrow(TypeError);
  });
});

describe("createRangeDecoder()", () => {
  it.each(["F64", "F32", "F16", "BF16"] as const)(
    "reads ranges of %s, and none beyond the last element",
    (dtype) => {
      const values = Float32Array.of(1, -2, 0.5, 4, 8);
      const whole = encodeDoubles(Float64Array.from(values), dtype);
      const odd = new Uint8Array(whole.length + 1).subarray(1);
      odd.set(whole);
      const file = {
        length: whole.length,
        subarray: (start: number, end: number) => whole.subarray(start, end),
      };
      for (const bytes of [whole, odd, file]) {
        const decode = createRangeDecoder(bytes, dtype);
        expect([...decode(1, 4)]).toEqual([-2, 0.5, 4]);
        expect([...decode(0, 5)]).toEqual([...values]);
        expect(() => decode(3, 6)).toThrow("Cannot read elements 3 to 6: there are 5");
      }
      // A file that was cut off amid an element.
      const cut = createRangeDecoder(whole.subarray(0, whole.length - 1), dtype);
      expect([...cut(0, 4)]).toEqual([1, -2, 0.5, 4]);
      expect(() => cut(0, 5)).toThrow(RangeError);
    },
  );
});

describe("encodeFloats()", () => {
  it.each(["F16", "BF16"] as const)("gives every %s pattern back, NaN payloads included", (dtype) => {
    expect(halvesOf(encodeFloats(decodeFloats(bytesOf(everyHalf), dtype), dtype))).toEqual(everyHalf);
  });

  it("gives every F32 pattern back, NaN payloads included", () => {
    fc.assert(
      fc.property(fc.uint32Array(), (bits) => {
        const values = floatsOf([...bits]);
        expect(bitsOf(decodeFloats(encodeFloats(values, "F32"), "F32"))).toEqual(bits);
      }),
    );
  });

  it("rounds as numpy does (F16) and to the nearer neighbor, ties to even (BF16)", () => {
    const path = new URL("../../../test/golden/checkpoint/expected.json", import.meta.url);
    const { rounding }: { rounding: Record<WritableDtype, number[]> } = JSON.parse(
      readFileSync(path, "utf8"),
    );
    expect(rounding.F32.length).toBeGreaterThan(500);
    for (const dtype of ["F16", "BF16"] as const)
      expect([...halvesOf(encodeFloats(floatsOf(rounding.F32), dtype))]).toEqual(rounding[dtype]);
  });

  it.each([
    ["F16", 10],
    ["BF16", 7],
  ] as const)("rounds to %s the same when done twice, to within half a step", (dtype, bits) => {
    const smallest = valueByDefinition(1, bits);
    const largest = valueByDefinition(dtype === "F16" ? 0x7bff : 0x7f7f, bits);
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const once = decodeFloats(encodeFloats(Float32Array.of(value), dtype), dtype);
        expect(bitsOf(decodeFloats(encodeFloats(once, dtype), dtype))).toEqual(bitsOf(once));
        if (Math.abs(value) > largest) return;
        const halfStep = Math.max(Math.abs(value) * 2 ** -(bits + 1), smallest / 2);
        expect(Math.abs(once[0]! - value)).toBeLessThanOrEqual(halfStep);
      }),
      { numRuns: 2000 },
    );
  });

  it("keeps NaN when all of its payload is cut off, and overflows to infinity", () => {
    for (const dtype of ["F16", "BF16"] as const) {
      const values = decodeFloats(encodeFloats(floatsOf([0x7f800001, 0xff800001, 0x7f7fffff]), dtype), dtype);
      expect([...values]).toEqual([Number.NaN, Number.NaN, Number.POSITIVE_INFINITY]);
    }
  });
});

describe("isDtype()", () => {
  it("knows formats by their exact names only", () => {
    expect(["F32", "BOOL", "F8_E4M3", "f32", "toString", ""].map(isDtype)).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
    expect((["F64", "F32", "F16", "BF16", "I64", "BOOL"] as const).map(isFloatDtype)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});
