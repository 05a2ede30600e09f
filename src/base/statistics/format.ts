/** Numbers of statistics as text, the same everywhere: a true minus sign, never "−0.0", p-values never 0. */

/** `62.0 %` of 0.62; `digits` after the point (default 1). */
export function formatShare(fraction: number, digits: number = 1): string {
  return `${formatSigned(100 * fraction, digits)} %`;
}

/** A difference of shares in percentage points: `−12.5` of −0.125. */
export function formatPoints(difference: number): string {
  return formatSigned(100 * difference, 1);
}

/**
 * The ends of an interval of shares or of their differences, in percent: `[−1.0, 4.2]`, or `[−1 %, 4 %]` with that unit and no digits. An
 * end that is not 0 never prints as 0: what lies on one side of it is to be seen there.
 */
export function formatInterval(
  { low, high }: { readonly low: number; readonly high: number },
  { digits = 1, unit = "" }: { readonly digits?: number; readonly unit?: "" | " %" } = {},
): string {
  return `[${formatEnd(low, digits)}${unit}, ${formatEnd(high, digits)}${unit}]`;
}

/** Ends nearer to 0 are 0, but for rounding. */
const smallestEnd = 1e-7;

function formatEnd(end: number, digits: number): string {
  const text = formatSigned(100 * end, digits);
  return Number(text) === 0 && Math.abs(end) > smallestEnd ? formatEnd(end, digits + 1) : text;
}

/** `p < 0.001`, `p = 0.023`, `p = 1`; below 0.05 never `p = 0.050`. */
export function formatPValue(pValue: number): string {
  if (pValue < 0.05 && pValue.toFixed(3) === "0.050") return "p < 0.05";
  return pValue < 0.001 ? "p < 0.001" : `p = ${pValue.toFixed(pValue < 0.9995 ? 3 : 0)}`;
}

function formatSigned(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}
