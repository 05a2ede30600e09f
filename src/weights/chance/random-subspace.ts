/** The null model of unrelated subspaces: the principal angles between two that are drawn independently. */

/** The size of the subspaces and of the space around them. */
export interface SubspaceSize {
  /** n: of the space. */
  readonly dimension: number;
  /** k, 1 to n: of both subspaces. */
  readonly rank: number;
}

/** What the principal angles θ between two random subspaces are like, all k of them counted. */
export interface RandomSubspaces {
  /** The expected mean of sin² θ: 1 − k / n, exactly. */
  readonly meanSineSquared: number;
  /** Its square root: the root mean square of the sines. */
  readonly chordal: number;
  /** Radians, in the limit of large k and n: arccos(2 √(c (1 − c))) with c = k / n; 0 from c = ½ on. */
  readonly smallestAngle: number;
  /** Angles that are 0 whatever the subspaces: max(0, 2 k − n). */
  readonly numForcedZeros: number;
}

/**
 * The principal angles between two independent subspaces of uniform direction. The edge of their law is that of the
 * Jacobi ensemble: cos² θ has no mass above 4 c (1 − c) (Wachter, Annals of Statistics 8(5), 1980; Collins, Probability
 * Theory and Related Fields 133, 2005). Throws `RangeError` unless 1 ≤ rank ≤ dimension are integers.
 */
export function describeRandomSubspaces({ dimension, rank }: SubspaceSize): RandomSubspaces {
  if (!(Number.isInteger(dimension) && Number.isInteger(rank) && rank >= 1 && rank <= dimension))
    throw new RangeError(
      `Cannot describe ${rank}-dimensional subspaces of ${dimension} dimensions: the first must lie from 1 to the second`,
    );
  const fraction = rank / dimension;
  const meanSineSquared = (dimension - rank) / dimension;
  return {
    meanSineSquared,
    chordal: Math.sqrt(meanSineSquared),
    smallestAngle: fraction >= 0.5 ? 0 : Math.acos(2 * Math.sqrt(fraction * (1 - fraction))),
    numForcedZeros: Math.max(0, 2 * rank - dimension),
  };
}
