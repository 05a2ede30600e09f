/** Numbers of statistics as text, the same everywhere: a true minus sign, never "−0.0", p-values never 0. */

/** `62.0 %` of 0.62; `digits` after the point (default 1). */
export function formatShare(fraction: number, digits: number = 1): string {
  return `${formatSigned(100 * fraction, digits)} %`;
}

/** A difference of shares in percentage points: `−12.5` of −0.125. */
export function formatPoints(difference: number): string {
  return formatSigned(100 * difference, 1);
}

/** `p < 0.001`, `p = 0.023`, `p = 1`. */
export function formatPValue(pValue: number): string {
  return pValue < 0.001 ? "p < 0.001" : `p = ${pValue.toFixed(pValue < 0.9995 ? 3 : 0)}`;
}

function formatSigned(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}
