/**
 * Whether OOD accuracy has fallen, said while checkpoints still arrive: a sequential test whose chance of ever raising a false
 * alert, over any number of checkpoints, is stated in advance.
 */
import { mcnemarExact, type Tally, toShare } from "../../base/statistics/index.ts";
import { type CheckpointOutcome, findPeak, heldOutHalf } from "./checkpoint-outcome.ts";
import { createPoint, type Point } from "./point.ts";

/** What is known once a checkpoint is evaluated. */
export interface DeclineLook {
  /** The newest checkpoint. */
  readonly point: Point;
  /** The best of the earlier ones on the selection half. */
  readonly peak: Point;
  /** Held-out items that only the peak solved, and that only the newest checkpoint solved. */
  readonly onlyPeak: number;
  readonly onlyNewest: number;
  /** One-sided exact McNemar p-value of "the newest is no worse than the peak". */
  readonly pValue: number;
  /** What the p-value must stay above for there to be no alert at this look. */
  readonly threshold: number;
  readonly isDecline: boolean;
  /** Whether even the loss of all that the peak solved would raise no alert: too few held-out items are solved. */
  readonly isBlind: boolean;
}

/** What a training looks like so far. */
export interface DeclineWatch {
  /** One for every checkpoint but the first. */
  readonly looks: readonly DeclineLook[];
  /** The first look that found a decline. */
  readonly alert?: DeclineLook;
  /** The best checkpoint so far, chosen on the selection half; its accuracy on the held-out half is unbiased. */
  readonly peak?: Point;
  /** Checkpoints that the held-out items cannot tell from the peak (p ≥ 0.05), the peak included, by step. */
  readonly peakCandidates: readonly Point[];
}

/**
 * Share of the false-alarm rate that look `number` (from 1) may spend: 6 / (π² number²), whose sum over all looks is 1, so
 * that by the union bound the rate holds however long one looks.
 */
export function spendAlarmRate(number: number): number {
  return 6 / (Math.PI * number) ** 2;
}

/**
 * Watches the checkpoints of one training, in the order of their steps. At each, the best earlier one on the items at EVEN
 * positions is held against it on the items at ODD positions by an exact one-sided McNemar test. Where no checkpoint is truly
 * worse than an earlier one, the chance of any alert at all is at most `falseAlarmRate`: the choice of the peak does not see the
 * items it is tested on, each test is exact given that choice, and the looks share the rate. Throws `RangeError` for a rate
 * outside (0, 1).
 */
export function watchDecline(
  checkpoints: readonly CheckpointOutcome[],
  { falseAlarmRate }: { readonly falseAlarmRate: number },
): DeclineWatch {
  if (!(falseAlarmRate > 0 && falseAlarmRate < 1))
    throw new RangeError(
      `Cannot watch with a false-alarm rate of ${falseAlarmRate}: it must lie between 0 and 1`,
    );
  const looks = checkpoints.slice(1).map((newest, index): DeclineLook => {
    const peak = findPeak(checkpoints.slice(0, index + 1));
    const { onlyFirst: onlyPeak, onlySecond: onlyNewest } = countDiscordant(peak, newest);
    const pValue = oneSided(onlyPeak, onlyNewest);
    const threshold = falseAlarmRate * spendAlarmRate(index + 1);
    const numSolved = heldOutHalf(peak).filter((solved) => Number(solved) > 0).length;
    return {
      point: createPoint(newest),
      peak: createPoint(peak),
      onlyPeak,
      onlyNewest,
      pValue,
      threshold,
      isDecline: pValue <= threshold,
      isBlind: 0.5 ** numSolved > threshold,
    };
  });
  const best = checkpoints.length === 0 ? undefined : findPeak(checkpoints);
  const alert = looks.find(({ isDecline }) => isDecline);
  return {
    looks,
    ...(alert !== undefined && { alert }),
    ...(best !== undefined && { peak: createPoint(best) }),
    peakCandidates: best === undefined ? [] : checkpoints.filter((one) => isNear(best, one)).map(createPoint),
  };
}

function countDiscordant(
  first: CheckpointOutcome,
  second: CheckpointOutcome,
): { readonly onlyFirst: number; readonly onlySecond: number } {
  const [own, other] = [heldOutHalf(first), heldOutHalf(second)];
  const onlyFirst = own.filter((solved, item) => Number(solved) > Number(other[item] ?? 0)).length;
  const onlySecond = other.filter((solved, item) => Number(solved) > Number(own[item] ?? 0)).length;
  return { onlyFirst, onlySecond };
}

/** P(X ≥ onlyFirst) of X ~ Binomial(onlyFirst + onlySecond, ½): half of the two-sided value where the first is ahead. */
function oneSided(onlyFirst: number, onlySecond: number): number {
  return onlyFirst > onlySecond ? mcnemarExact({ onlyFirst, onlySecond }) / 2 : 1;
}

function isNear(best: CheckpointOutcome, other: CheckpointOutcome): boolean {
  const { onlyFirst, onlySecond } = countDiscordant(best, other);
  return onlyFirst <= onlySecond || mcnemarExact({ onlyFirst, onlySecond }) >= 0.05;
}

/** The names of the checkpoints to keep: the best by OOD accuracy on all items (ties to the earlier step), and the newest. */
export function chooseKept(
  checkpoints: readonly { readonly id: string; readonly ood: Tally }[],
  numBest: number,
): ReadonlySet<string> {
  const best = [...checkpoints].sort((a, b) => toShare(b.ood) - toShare(a.ood)).slice(0, numBest);
  return new Set([...best, ...checkpoints.slice(-1)].map(({ id }) => id));
}
