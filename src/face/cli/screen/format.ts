/** Numbers as people read them. Accuracies are always counts with an interval. */
import {
  formatInterval,
  formatPoints,
  formatShare,
  type Tally,
  wilsonInterval,
} from "../../../base/statistics/index.ts";

/** `124/200  62.0 % [55.1, 68.4]`: a count, its share, and the 95 % Wilson interval. */
export function formatCount({ correct, total }: Tally): string {
  const share = formatShare(total === 0 ? 0 : correct / total);
  // Of questions that were answered several times, fractions count.
  const solved = Number.isInteger(correct) ? String(correct) : correct.toFixed(2);
  return `${`${solved}/${total}`.padStart(7)} ${share.padStart(7)} ${formatInterval(wilsonInterval({ correct, total }))}`;
}

/** `+12.0 points [3.0, 22.0]` of a difference of two shares. */
export function formatContrast({
  estimate,
  low,
  high,
}: {
  estimate: number;
  low: number;
  high: number;
}): string {
  const sign = estimate > 0 ? "+" : "";
  return `${sign}${formatPoints(estimate)} points ${formatInterval({ low, high })}`;
}

/** `71.0 points [64.0, 77.5]` of what was lost: a loss is positive. */
export function formatLoss({ estimate, low, high }: { estimate: number; low: number; high: number }): string {
  return `${formatPoints(estimate)} points ${formatInterval({ low, high })}`;
}

/** `4m 05s`, `12s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${String(seconds % 60).padStart(2, "0")}s`;
  return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, "0")}m`;
}
