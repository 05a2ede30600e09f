/** Sample quantiles of numbers already sorted. */

/**
 * The sample quantile at `fraction` in [0, 1] of ascending `sorted` numbers, interpolated linearly between order
 * statistics (numpy's default; Hyndman and Fan 1996, type 7). Throws `RangeError` on an empty list.
 */
export function quantile(sorted: ArrayLike<number>, fraction: number): number {
  const position = fraction * (sorted.length - 1);
  const index = Math.floor(position);
  const below = sorted[index];
  if (below === undefined)
    throw new RangeError(`Cannot take the quantile ${fraction} of ${sorted.length} numbers`);
  const above = sorted[index + 1] ?? below;
  return below + (above - below) * (position - index);
}
