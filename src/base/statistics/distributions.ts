/**
 * Distribution functions by the library stdlib: of the normal distribution and of Student's t. Its normal quantile is off by 3e-6 in the far
 * tail, `normalQuantile` is not.
 */
import normalCdf from "@stdlib/stats-base-dists-normal-cdf";
import studentCdf from "@stdlib/stats-base-dists-t-cdf";
import libraryStudentQuantile from "@stdlib/stats-base-dists-t-quantile";

/** P(Z > z) for a standard normal Z, to full relative precision where it is small. */
export function normalTail(z: number): number {
  return normalCdf(-z, 0, 1);
}

/** The t with P(T ≤ t) = `probability` for Student's T with so many degrees of freedom, above 0. Throws `RangeError` unless 0 < probability < 1. */
export function studentQuantile(probability: number, degrees: number): number {
  if (!(probability > 0 && probability < 1))
    throw new RangeError(
      `Cannot invert Student's distribution at ${probability}: it must lie between 0 and 1, both excluded`,
    );
  return libraryStudentQuantile(probability, degrees);
}

/** P(T > t) for Student's T with so many degrees of freedom. */
export function studentTail(t: number, degrees: number): number {
  return studentCdf(-t, degrees);
}
