/** The entropy of a table of counts. The plug-in estimate: no correction for few samples. */

/**
 * The Shannon entropy −Σ pᵢ ln pᵢ in NATS of the distribution pᵢ = countsᵢ / Σ counts (an empty bin adds 0), between
 * 0 and ln(number of bins); `undefined` when every count is 0. Divide by `Math.LN2` for bits.
 *
 * The value depends on the base and, for binned numbers, on how they were binned, so a quoted threshold means
 * nothing without both: the study's "entropy > 2.55" states neither. In nats it needs at least 13 bins
 * (e^2.55 ≈ 12.8), in bits at least 6 (2^2.55 ≈ 5.9). State base and bins beside every number computed here.
 * Throws `RangeError` on a count that is negative or not finite.
 * Shannon, "A mathematical theory of communication", Bell System Technical Journal 1948.
 */
export function shannonEntropy(counts: readonly number[]): number | undefined {
  let total = 0;
  for (const [index, count] of counts.entries()) {
    if (!(count >= 0 && Number.isFinite(count))) {
      throw new RangeError(`Cannot take the entropy of counts: count ${index} is ${count}`);
    }
    total += count;
  }
  if (total === 0) return undefined;
  let entropy = 0;
  for (const count of counts) if (count > 0) entropy += (count / total) * Math.log(total / count);
  return entropy;
}
