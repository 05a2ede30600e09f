/** Numbers as people read them. */

/** `62.0 %` of 0.62. */
export function formatShare(fraction: number, digits = 1): string {
  return `${(100 * fraction).toFixed(digits).replace("-", "−")} %`;
}

/** `+66.5` of 0.665: percentage points with a sign. */
export function formatPoints(difference: number): string {
  const text = Math.abs(100 * difference).toFixed(1);
  return Number(text) === 0 ? "0.0" : `${difference > 0 ? "+" : "−"}${text}`;
}

/** `p < 0.001`, `p = 0.023`. */
export function formatPValue(pValue: number): string {
  return pValue < 0.001 ? "p < 0.001" : `p = ${pValue.toFixed(pValue < 0.9995 ? 3 : 0)}`;
}

/** Degrees of radians. */
export const toDegrees = (radians: number): number => (radians * 180) / Math.PI;

/** A count of tasks, of how many. */
export interface Count {
  readonly correct: number;
  readonly total: number;
}

/** A count as a share; 0 of none. */
export const toShare = ({ correct, total }: Count): number => correct / Math.max(1, total);

/** The 95 % Wilson interval of a count, as shares. */
export function wilson({ correct, total }: Count): {
  readonly low: number;
  readonly high: number;
} {
  if (total === 0) return { low: 0, high: 1 };
  const z = 1.959963984540054;
  const share = correct / total;
  const center = (share + z ** 2 / (2 * total)) / (1 + z ** 2 / total);
  const half =
    (z / (1 + z ** 2 / total)) * Math.sqrt((share * (1 - share)) / total + z ** 2 / (4 * total ** 2));
  return { low: Math.max(0, center - half), high: Math.min(1, center + half) };
}
