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

/** `p < 0.001`, `p = 0.023`; below 0.05 never `p = 0.050`. */
export function formatPValue(pValue: number): string {
  if (pValue < 0.05 && pValue.toFixed(3) === "0.050") return "p < 0.05";
  return pValue < 0.001 ? "p < 0.001" : `p = ${pValue.toFixed(pValue < 0.9995 ? 3 : 0)}`;
}

/** `[−1.0, 4.2]`: the ends of an interval in percent; one that is not 0 never prints as 0. */
export function formatInterval(
  { low, high }: { readonly low: number; readonly high: number },
  unit: "" | " %" = "",
): string {
  return `[${formatEnd(low)}${unit}, ${formatEnd(high)}${unit}]`;
}

function formatEnd(end: number, digits = 1): string {
  const text = Math.abs(100 * end).toFixed(digits);
  if (Number(text) === 0) return Math.abs(end) > 1e-7 ? formatEnd(end, digits + 1) : "0.0";
  return end < 0 ? `−${text}` : text;
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
