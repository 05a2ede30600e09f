import { describe, expect, it } from "vitest";
import { findCut, heightOf, type NoisySpectrum, offsetOf, type Point } from "./dyson-equation.ts";

/** w² = T (p T + s² |m − n|), as [real, imaginary]. */
function squareOf({ values, variance, excess }: NoisySpectrum, point: Point): readonly [number, number] {
  const [center, height] = [-offsetOf(point, 0), heightOf(point)];
  let [t, tImaginary] = [1, 0];
  for (const value of values) {
    const offset = offsetOf(point, value);
    t -= (variance * offset) / (offset ** 2 + height ** 2);
    tImaginary -= (variance * height) / (offset ** 2 + height ** 2);
  }
  const [a, b] = [center * t - height * tImaginary + variance * excess, center * tImaginary + height * t];
  return [t * a - tImaginary * b, t * b + tImaginary * a];
}

function spectrumOf(
  length: number,
  parts: Omit<NoisySpectrum, "values">,
  compute: (index: number) => number,
) {
  return { ...parts, values: Float64Array.from({ length }, (_, index) => compute(index)) };
}

describe("findCut()", () => {
  it("stays between the values where noise leaves a gap", () => {
    const spectrum = spectrumOf(20, { variance: 1e-6, excess: 7 }, (index) => (index < 5 ? 2 : 1));
    expect(findCut(spectrum, 5)).toEqual({ root: 1.5, tilt: 0 });
  });

  it("belongs to a real point between the singular values, on any side of the noise", () => {
    for (const excess of [0, 30])
      for (const variance of [1e-8, 1e-4, 1e-2, 1, 1e4]) {
        const spectrum = spectrumOf(50, { variance, excess }, (index) => (index + 1) ** -0.5);
        let previous = Number.POSITIVE_INFINITY;
        for (const rank of [1, 5, 25, 49]) {
          const [real, imaginary] = squareOf(spectrum, findCut(spectrum, rank));
          expect(Math.abs(imaginary), `${rank} at ${variance}`).toBeLessThan(1e-6 * real);
          expect(real).toBeLessThan(previous);
          previous = real;
        }
      }
  });

  it("cuts pure noise at the quantiles of the quarter circle", () => {
    const spectrum = spectrumOf(100, { variance: 0.01, excess: 0 }, () => 0);
    for (const rank of [1, 20, 50, 80, 99]) {
      const [real] = squareOf(spectrum, findCut(spectrum, rank));
      const angle = 2 * Math.acos(Math.sqrt(real) / 2);
      expect((angle - Math.sin(angle)) / Math.PI).toBeCloseTo(rank / 100, 9);
    }
  });

  it("cuts through equal values", () => {
    const spectrum = spectrumOf(12, { variance: 1e-12, excess: 3 }, (index) => (index < 8 ? 1 : 0.5));
    const point = findCut(spectrum, 2);
    expect(point.root).toBeCloseTo(1, 5);
    // Equal values spread to a semicircle; p of its cut at 2 cos φ lies at the angle φ.
    const angle = Math.PI - Math.atan2(heightOf(point), offsetOf(point, 1));
    expect((angle - Math.sin(angle) * Math.cos(angle)) / Math.PI).toBeCloseTo(2 / 8, 4);
  });
});
