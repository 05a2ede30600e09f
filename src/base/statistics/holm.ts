/** p-values of several tests at once. */

/**
 * Holm's adjusted p-values (Scandinavian Journal of Statistics 6, 1979), in the order given: rejecting those below a level
 * keeps the probability of any false rejection below it, however the tests depend on each other.
 */
export function holm(pValues: readonly number[]): readonly number[] {
  const order = [...pValues.keys()].sort((a, b) => (pValues[a] ?? 0) - (pValues[b] ?? 0));
  const adjusted = new Array<number>(pValues.length);
  let largest = 0;
  for (const [rank, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * (pValues[index] ?? 0)));
    adjusted[index] = largest;
  }
  return adjusted;
}
