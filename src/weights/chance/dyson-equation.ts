/**
 * Where the singular values of Y = A + E lie when E is Gaussian noise: the deterministic equivalent M of the resolvent
 * of [[0, Y], [Yᵀ, 0]] at w, M = (H_A − w − S[M])⁻¹. With T(p) = 1 − s² Σ 1 / (σᵢ² − p) its equation has the explicit
 * inverse w² = p T² + s² |m − n| T (Dozier and Silverstein, J. Multivariate Analysis 98(4), 2007), so that nothing is
 * iterated but one complex number: the p of the point w between the singular values that are asked for.
 */

/** A matrix by its singular values, and the noise that is added to it; in any unit. */
export interface NoisySpectrum {
  /** All r = min(rows, columns), descending. */
  readonly values: Float64Array;
  /** s²: the variance of one element of the noise. */
  readonly variance: number;
  /** |rows − columns|. */
  readonly excess: number;
}

/** A complex number p = root² · exp(iφ) by its modulus and tilt = 4 sin²(φ / 2), 0 to 4: exact near the real axis. */
export interface Point {
  readonly root: number;
  readonly tilt: number;
}

/** Im p, never negative. */
export function heightOf({ root, tilt }: Point): number {
  return root * root * Math.sqrt(tilt * Math.max(0, 1 - tilt / 4));
}

/** σ² − Re p, without cancellation where σ is close to the root. */
export function offsetOf({ root, tilt }: Point, value: number): number {
  return (value - root) * (value + root) + (root * root * tilt) / 2;
}

/**
 * The p between the `rank` largest singular values of A + E and the others: on the boundary of the set of p that belong
 * to w in the upper half plane, where `rank` values lie above w. Real where noise leaves a gap. Needs
 * 1 ≤ rank < r, a positive variance, and values and noise that are 0 or not too small to take their eighth power.
 */
export function findCut(spectrum: NoisySpectrum, rank: number): Point {
  const { values, variance, excess } = spectrum;
  const [inside = 0, outside = 0] = [values[rank - 1], values[rank]];
  const middle = { root: (inside + outside) / 2, tilt: 0 };
  if (inside > outside && loadOf(spectrum, middle).load <= 1) return middle;
  let low = { root: 0, tilt: 4 };
  let high = findBoundary(spectrum, 2 * (values[0] ?? 0) + Math.sqrt(variance * (values.length + excess)));
  while (countAbove(spectrum, high) >= rank) high = findBoundary(spectrum, 2 * high.root);
  for (let step = 0; step < maxSteps && high.root - low.root > epsilon * high.root; step++) {
    const point = findBoundary(spectrum, (low.root + high.root) / 2);
    const surplus = countAbove(spectrum, point) - rank;
    if (Math.abs(surplus) <= countTolerance * rank) return point;
    if (surplus > 0) low = point;
    else high = point;
  }
  return turnToCut(spectrum, { low, high, rank });
}

const maxSteps = 200;
const maxNewtonSteps = 60;
/** Spacing of doubles at 1. */
const epsilon = 2 ** -52;
/** Of a rank, by which the number of values above an edge may miss it. */
const countTolerance = 1e-12;

/** The boundary of noise far above the matrix is an arc of a circle: there the modulus says nothing, the angle all. */
function turnToCut(
  spectrum: NoisySpectrum,
  { low, high, rank }: { readonly low: Point; readonly high: Point; readonly rank: number },
): Point {
  let [least, most] = [high.tilt, low.tilt];
  let point = high;
  for (let step = 0; step < maxSteps; step++) {
    point = { root: high.root, tilt: (least + most) / 2 };
    const surplus = countAbove(spectrum, point) - rank;
    if (Math.abs(surplus) <= countTolerance * rank) return point;
    if (surplus > 0) most = point.tilt;
    else least = point.tilt;
  }
  return point;
}

/** Sums over the spectrum at a point; |σ² − p|² = (σ² − |p|)² + tilt σ² |p|. */
interface Load {
  /** s² (Σ σ² / |σ² − p|² + √(B² |p|² + |m − n| B)), B = Σ 1 / |σ² − p|²: below 1 for p of the upper half plane of w. */
  readonly load: number;
  /** Its derivative by the tilt: at most 0. */
  readonly slope: number;
  /** The first sum less the second, without s². */
  readonly difference: number;
}

function loadOf({ values, variance, excess }: NoisySpectrum, { root, tilt }: Point): Load {
  const modulus = root * root;
  let [sum, inverse, sumSlope, inverseSlope] = [0, 0, 0, 0];
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    const square = value * value;
    const turn = modulus * square;
    const distance = (value - root) * (value + root);
    const weight = 1 / (distance * distance + tilt * turn);
    inverse += weight;
    sum += weight * square;
    inverseSlope -= weight * weight * turn;
    sumSlope -= weight * weight * turn * square;
  }
  const other = Math.sqrt(inverse * (inverse * modulus * modulus + excess));
  const otherSlope = (inverse * modulus * modulus + excess / 2) * (inverseSlope / other);
  return {
    load: variance * (sum + other),
    slope: variance * (sumSlope + otherSlope),
    difference: sum - other,
  };
}

/**
 * The point of that modulus on the boundary: the tilt at which the load, which falls with it, is 1; the nearest end
 * where there is none. 1 / load is nearly straight, and Newton's steps on it are taken within a bracket.
 */
function findBoundary(spectrum: NoisySpectrum, root: number): Point {
  const start = loadOf(spectrum, { root, tilt: 0 });
  if (start.load <= 1) return { root, tilt: 0 };
  if (!(loadOf(spectrum, { root, tilt: 4 }).load < 1)) return { root, tilt: 4 };
  let [least, most] = [0, 4];
  let tilt = -newtonStep(start);
  for (let step = 0; step < maxNewtonSteps; step++) {
    // Where the root is a singular value the load at tilt 0 is infinite, or lost in rounding.
    if (!(tilt > least && tilt < most))
      tilt = least === 0 ? Math.min(most / 2, spectrum.variance / root ** 2) : Math.sqrt(least * most);
    const found = loadOf(spectrum, { root, tilt });
    if (found.load > 1) least = tilt;
    else most = tilt;
    const change = newtonStep(found);
    tilt -= change;
    if (Math.abs(change) <= 4 * epsilon * tilt) break;
  }
  return { root, tilt };
}

/** What Newton's method takes away to bring 1 / load to 1. */
function newtonStep({ load, slope }: Load): number {
  return ((load - 1) * load) / slope;
}

/**
 * The number of singular values of A + E above the real w of a point on the boundary:
 * (1 / π) (Σ arg(p − σᵢ²) + |m − n| arg(p T + s² |m − n|) + Im p · (load's difference)),
 * the argument of the determinant whose logarithm has the trace of M as its derivative.
 */
function countAbove(spectrum: NoisySpectrum, point: Point): number {
  const { values, variance, excess } = spectrum;
  const height = heightOf(point);
  let [angles, real, imaginary] = [0, 0, 0];
  for (let index = 0; index < values.length; index++) {
    const offset = offsetOf(point, values[index] ?? 0);
    const weight = 1 / (offset * offset + height * height);
    angles += Math.atan2(height, -offset);
    real += offset * weight;
    imaginary += height * weight;
  }
  if (height === 0) return angles / Math.PI;
  const [t, tImaginary] = [1 - variance * real, -variance * imaginary];
  const center = point.root ** 2 * (1 - point.tilt / 2);
  const extra = Math.atan2(
    height * t + center * tImaginary,
    center * t - height * tImaginary + variance * excess,
  );
  const { difference } = loadOf(spectrum, point);
  return (angles + excess * extra + height * difference) / Math.PI;
}
