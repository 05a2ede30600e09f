/**
 * Whether OOD accuracy has fallen, said while checkpoints still arrive: a sequential test whose chance of ever raising a false
 * alert, over any number of checkpoints, is stated in advance.
 */
import { mcnemarExact, mcnemarMidP, type Tally, toShare } from "../../base/statistics/index.ts";
import { type CheckpointOutcome, findPeak, type Half, halfAnswers } from "./checkpoint-outcome.ts";
import { pairAnswers, takeDifferences } from "./contrast.ts";
import { createPoint, type Point, tally } from "./point.ts";

/** A checkpoint, with its accuracy where the choice of the peak had no say. */
export interface WatchedPoint extends Point {
  readonly oodHeldOut: Tally;
}

/** What is known once a checkpoint is evaluated. */
export interface DeclineLook {
  /** The newest checkpoint. */
  readonly point: WatchedPoint;
  /** The best of the earlier ones on the selection half. */
  readonly peak: WatchedPoint;
  /** Held-out items, or groups of them, of which the peak solved more, and of which the newest checkpoint solved more. */
  readonly onlyPeak: number;
  readonly onlyNewest: number;
  /** One-sided exact McNemar p-value of "the newest is no worse than the peak". */
  readonly pValue: number;
  /** What the p-value must stay above for there to be no alert at this look; 0 where the selection half shows no decline, and nothing is tested. */
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
  readonly peak?: WatchedPoint;
  /** Checkpoints that the held-out items cannot tell from the peak (p ≥ 0.05), the peak included, by step. */
  readonly peakCandidates: readonly Point[];
}

/** Tests that share most of the false-alarm rate evenly: what falls at once or slowly is mostly noticed within these or never. */
const numEven = 16;

/** Their part of the rate. */
const evenPart = 2 / 3;

/**
 * Share of the false-alarm rate that test `number` (from 1) may spend. Two thirds are spent evenly on the first 16 tests, one third as
 * 6 / (π² number²), so that there is some left however long one looks. The sum over all tests is 1: by the union bound the rate holds.
 */
export function spendAlarmRate(number: number): number {
  const even = number <= numEven ? evenPart / numEven : 0;
  return even + ((1 - evenPart) * 6) / (Math.PI * number) ** 2;
}

/**
 * A decline on the selection half that is worth a test on the other: one-sided p below this. That half chose its luckiest checkpoint, so
 * that it shows declines by chance more often than 5 %; with 2 % fewer tests are wasted (docs/statistics.md).
 */
const worthTesting = 0.02;

/**
 * Watches the checkpoints of one training, in the order of their steps. At each, the best earlier one on the selection half of the
 * items is held against it on the held-out half by an exact one-sided McNemar test, if the selection half shows a decline
 * (p < 0.02) already; only such looks spend some of the rate. Where no checkpoint is truly
 * worse than an earlier one, the chance of any alert at all is at most `falseAlarmRate`: neither the choice of the peak nor that of the looks sees
 * the items that are tested, each test is exact given these choices, and the tests share the rate. Items in groups are tested
 * group by group. Throws `RangeError` for a rate outside (0, 1).
 */
export function watchDecline(
  checkpoints: readonly CheckpointOutcome[],
  { falseAlarmRate }: { readonly falseAlarmRate: number },
): DeclineWatch {
  if (!(falseAlarmRate > 0 && falseAlarmRate < 1))
    throw new RangeError(
      `Cannot watch with a false-alarm rate of ${falseAlarmRate}: it must lie between 0 and 1`,
    );
  let numTests = 0;
  const looks = checkpoints.slice(1).map((newest, index): DeclineLook => {
    const peak = findPeak(checkpoints.slice(0, index + 1));
    const isTested = halfOfMidP(countDiscordant(peak, newest, "selection")) < worthTesting;
    if (isTested) numTests++;
    const { onlyFirst: onlyPeak, onlySecond: onlyNewest } = countDiscordant(peak, newest, "held-out");
    const pValue = oneSided(onlyPeak, onlyNewest);
    const threshold = isTested ? falseAlarmRate * spendAlarmRate(numTests) : 0;
    return {
      point: createWatchedPoint(newest),
      peak: createWatchedPoint(peak),
      onlyPeak,
      onlyNewest,
      pValue,
      threshold,
      isDecline: pValue <= threshold,
      isBlind: isBlind(peak, isTested ? threshold : falseAlarmRate * spendAlarmRate(numTests + 1)),
    };
  });
  const best = checkpoints.length === 0 ? undefined : findPeak(checkpoints);
  const alert = looks.find(({ isDecline }) => isDecline);
  return {
    looks,
    ...(alert !== undefined && { alert }),
    ...(best !== undefined && { peak: createWatchedPoint(best) }),
    peakCandidates: best === undefined ? [] : checkpoints.filter((one) => isNear(best, one)).map(createPoint),
  };
}

function createWatchedPoint(checkpoint: CheckpointOutcome): WatchedPoint {
  return { ...createPoint(checkpoint), oodHeldOut: tally(halfAnswers(checkpoint, "ood", "held-out").solved) };
}

/** Whether even the loss of all that the peak solved would raise no alert. */
function isBlind(peak: CheckpointOutcome, threshold: number): boolean {
  const held = halfAnswers(peak, "ood", "held-out");
  const none = { ...held, solved: held.solved.map(() => false) };
  const { sums } = takeDifferences(pairAnswers(held, none)).groups;
  return 0.5 ** sums.filter((sum) => sum > 0).length > threshold;
}

interface Discordant {
  readonly onlyFirst: number;
  readonly onlySecond: number;
}

/** Groups of which either checkpoint solved more. */
function countDiscordant(first: CheckpointOutcome, second: CheckpointOutcome, half: Half): Discordant {
  const pair = pairAnswers(halfAnswers(first, "ood", half), halfAnswers(second, "ood", half));
  const { sums } = takeDifferences(pair).groups;
  return {
    onlyFirst: sums.filter((sum) => sum > 0).length,
    onlySecond: sums.filter((sum) => sum < 0).length,
  };
}

/** The one-sided mid-p value of "the first is no better". */
function halfOfMidP({ onlyFirst, onlySecond }: Discordant): number {
  return onlyFirst > onlySecond ? mcnemarMidP({ onlyFirst, onlySecond }) / 2 : 1;
}

/** P(X ≥ onlyFirst) of X ~ Binomial(onlyFirst + onlySecond, ½): half of the two-sided value where the first is ahead. */
function oneSided(onlyFirst: number, onlySecond: number): number {
  return onlyFirst > onlySecond ? mcnemarExact({ onlyFirst, onlySecond }) / 2 : 1;
}

function isNear(best: CheckpointOutcome, other: CheckpointOutcome): boolean {
  const { onlyFirst, onlySecond } = countDiscordant(best, other, "held-out");
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
