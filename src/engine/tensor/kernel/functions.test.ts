/** Elementwise functions against float64, in units in the last place of float32, over their whole range. */
import { afterAll, describe, expect, it } from "vitest";
import * as op from "../operations.ts";
import type { Tensor } from "../primitive.ts";
import { openKernels } from "./host.ts";
import { planProgram } from "./program.ts";

const backends = [openKernels({ numThreads: 1, fuses: false }), openKernels({ numThreads: 1 })];
afterAll(() => {
  for (const kernels of backends) kernels.close();
});

const numSamples = 100_001;

/** erf in float64: its Taylor series up to 2, beyond by the continued fraction of erfc (Abramowitz & Stegun 7.1.14). */
function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size <= 2) {
    let [term, total] = [x, x];
    for (let n = 1; n < 80; n++) {
      term *= -(x * x) / n;
      total += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * total;
  }
  let fraction = size;
  for (let n = 200; n > 0; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / (fraction * Math.sqrt(Math.PI)));
}

/** The distance from a float32 to the next of its size; below the normal ones, that of the smallest. */
function lastPlace(value: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -126) - 23);
}

function worstError(
  build: (x: Tensor) => Tensor,
  f: (x: number) => number,
  [low, high]: readonly [number, number],
): number {
  const x = Float32Array.from({ length: numSamples }, (_, i) => low + ((high - low) * i) / (numSamples - 1));
  let worst = 0;
  for (const kernels of backends) {
    const program = planProgram({ y: build(op.input("x", [numSamples])) }, kernels);
    const { y } = program.run({ x });
    for (const [index, given] of x.entries()) {
      const wanted = f(given);
      const error = wanted === 0 ? Math.abs(y[index]!) : Math.abs(y[index]! - wanted) / lastPlace(wanted);
      if (!(error <= worst)) worst = error;
    }
    program.release();
  }
  return worst;
}

const functions = [
  ["exp", op.exp, Math.exp, [-87, 88.5]],
  ["exp", op.exp, Math.exp, [-1, 1]],
  ["log", op.log, Math.log, [1e-3, 5]],
  ["log", op.log, Math.log, [1, 1e30]],
  ["sigmoid", op.sigmoid, (x: number) => 1 / (1 + Math.exp(-x)), [-80, 80]],
  ["tanh", op.tanh, Math.tanh, [-10, 10]],
  ["tanh", op.tanh, Math.tanh, [-0.7, 0.7]],
  ["erf", op.erf, erf, [-5, 5]],
  ["erf", op.erf, erf, [-1.1, 1.1]],
] as const;

describe("elementwise functions", () => {
  for (const [name, build, f, range] of functions)
    it(`${name} is within 4 units in the last place from ${range[0]} to ${range[1]}`, () => {
      expect(worstError(build, f, range)).toBeLessThan(4);
    });

  it("keep infinities, zeros and what is no number", () => {
    const [inf, nan] = [Number.POSITIVE_INFINITY, Number.NaN];
    const x = Float32Array.of(inf, -inf, nan, 0, -1e9, 1e9, 1e-40, -1);
    const [tensor] = [op.input("x", [8])];
    for (const kernels of backends) {
      const outputs = {
        exp: op.exp(tensor),
        log: op.log(tensor),
        tanh: op.tanh(tensor),
        erf: op.erf(tensor),
        sigmoid: op.sigmoid(tensor),
      };
      const program = planProgram(outputs, kernels);
      const { exp, log, tanh, erf: errors, sigmoid } = program.run({ x });
      expect([...exp.subarray(0, 7)]).toEqual([inf, 0, nan, 1, 0, inf, 1]);
      expect([...log.subarray(0, 5)]).toEqual([inf, nan, nan, -inf, nan]);
      expect(log[6]).toBeCloseTo(Math.log(x[6]!), 4);
      expect([...tanh.subarray(0, 6)]).toEqual([1, -1, nan, 0, -1, 1]);
      expect([...errors.subarray(0, 6)]).toEqual([1, -1, nan, 0, -1, 1]);
      expect([...sigmoid.subarray(0, 6)]).toEqual([1, 0, nan, 0.5, 0, 1]);
      program.release();
    }
  });
});
