/** Along a training, the distance to where it started grows: guard (f). Weights that were not loaded show here. */
import type { MatrixSpectra } from "./matrix-spectra.ts";
import type { PairSpectra } from "./pair-spectra.ts";

/** Shrinking by less is the wandering of an optimizer. */
const acceptedShrinking = 0.9;

/**
 * Flags matrices that lie nearer to their reference than their parent checkpoint did, by a tenth at least. `parents`
 * names the checkpoint that each was trained from.
 */
export function flagShrinking(
  pairs: readonly PairSpectra[],
  parents: ReadonlyMap<string, string | undefined>,
): readonly PairSpectra[] {
  const find = (before: string, after: string | undefined): PairSpectra | undefined =>
    pairs.find((pair) => pair.before === before && pair.after === after);
  return pairs.map((pair) => {
    const earlier = find(pair.before, parents.get(pair.after));
    if (earlier === undefined) return pair;
    const distances = new Map(earlier.matrices.map(({ name, update }) => [name, update.frobenius]));
    const flag = (matrix: MatrixSpectra): MatrixSpectra => {
      const distance = distances.get(matrix.name) ?? 0;
      const hasShrunk = matrix.update.frobenius < acceptedShrinking * distance;
      return hasShrunk ? { ...matrix, flags: [...matrix.flags, "distance-shrank"] } : matrix;
    };
    return { ...pair, matrices: pair.matrices.map(flag) };
  });
}
