/** How likely a token was in its place, and which ones were likeliest there. */

/** A token and log π of it. */
export interface TokenLogProb {
  readonly token: number;
  readonly logProb: number;
}

/** A token of a text, judged by what stands before it, at temperature 1. */
export interface ScoredToken {
  readonly token: number;
  /** log π(token | before); absent where nothing stands before, or nobody asked. */
  readonly logProb?: number;
  /** The likeliest tokens in its place, likeliest first. */
  readonly likeliest: readonly TokenLogProb[];
}

/** Scores a token by the logits of its place. */
export function scoreToken(
  logits: Float32Array,
  token: number,
  { numLikeliest }: { readonly numLikeliest: number },
): ScoredToken {
  const logTotal = logSumExp(logits);
  const logProb = (index: number): number => (logits[index] ?? 0) - logTotal;
  const indices = numLikeliest === 0 ? [] : findLargest(logits, numLikeliest);
  const likeliest = indices.map((index) => ({
    token: index,
    logProb: logProb(index),
  }));
  return { token, logProb: logProb(token), likeliest };
}

function logSumExp(values: Float32Array): number {
  // Plain loops: this runs over the whole vocabulary for every token.
  let largest = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < values.length; index++) largest = Math.max(largest, values[index] ?? 0);
  let total = 0;
  for (let index = 0; index < values.length; index++) total += Math.exp((values[index] ?? 0) - largest);
  return largest + Math.log(total);
}

/** The indices of the largest values, largest first; of equal ones the first counts as larger. */
function findLargest(values: Float32Array, count: number): readonly number[] {
  const found: number[] = [];
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (found.length === count && value <= (values[found.at(-1) ?? 0] ?? 0)) continue;
    let place = found.length;
    while (place > 0 && (values[found[place - 1] ?? 0] ?? 0) < value) place--;
    found.splice(place, 0, index);
    if (found.length > count) found.pop();
  }
  return found;
}
