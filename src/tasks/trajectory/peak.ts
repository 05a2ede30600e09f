/** The best checkpoint of a training, what was lost since, and which others are as good. */
import {
  flipSigns,
  type LargestByChance,
  normalTail,
  type SignDraws,
  scoreStatistic,
} from "../../base/statistics/index.ts";
import {
  allAnswers,
  assignHalves,
  type CheckpointOutcome,
  findBest,
  findPeak,
  type Solved,
} from "./checkpoint-outcome.ts";
import {
  boundDifference,
  type Contrast,
  criticalValue,
  type Differences,
  describeContrast,
  pairAnswers,
  significanceLevel,
  takeDifferences,
} from "./contrast.ts";

/** The best checkpoint, chosen on each half of the OOD items and measured on the other. */
export interface CrossFittedPeak {
  /** The choice of the selection half: what is called the peak. */
  readonly peak: CheckpointOutcome;
  /** The choice of the held-out half, mostly the same. */
  readonly otherPeak: CheckpointOutcome;
  /** What was chosen from. */
  readonly candidates: readonly CheckpointOutcome[];
  /** All OOD items: those of a half as the other half's choice solved them. No item had a say in the choice that it measures. */
  readonly solved: readonly Solved[];
}

/**
 * The best of the candidates in OOD accuracy, ties going to the first. A maximum over noisy checkpoints overstates its own accuracy (the
 * winner's curse); on items that had no say in the choice it does not, and with the halves' parts swapped every item measures
 * (cross-fitting). Throws `RangeError` without candidates.
 */
export function crossFitPeak(candidates: readonly CheckpointOutcome[]): CrossFittedPeak {
  const [peak, otherPeak] = [findPeak(candidates, "selection"), findPeak(candidates, "held-out")];
  const halves = assignHalves(allAnswers(peak, "ood"));
  const solved = halves.map((half, item) => {
    const { solved } = half === "held-out" ? peak : otherPeak;
    return solved.ood[item] ?? false;
  });
  return { candidates, peak, otherPeak, solved };
}

/** What was lost since the peak, and how sure that is. */
export interface Forgetting {
  /** Peak − end in OOD accuracy. */
  readonly forgetting: Contrast;
  /** The two-sided level at which one of the comparisons that were made is significant by itself. */
  readonly level: number;
}

/**
 * OOD accuracy lost from the best candidate to the end. The estimate is cross-fitted. The p-value asks whether any candidate is
 * better than the end: the largest score against the largest by chance (max-T over random signs), doubled, as a two-sided
 * p-value is. The interval is of the loss from the truly best candidate: its low end is the largest that the candidates' own have at that
 * critical value, its high end the largest at 97.5 % (a union of bounds). It holds 0 just where p ≥ 0.05.
 */
export function measureForgetting(
  { candidates, solved }: CrossFittedPeak,
  end: CheckpointOutcome,
  draws: SignDraws,
): Forgetting {
  const after = allAnswers(end, "ood");
  const fitted = takeDifferences({ first: solved, second: after.solved, keys: after.keys });
  const all = candidates
    .filter(({ id }) => id !== end.id)
    .map((one) => takeDifferences(pairAnswers(allAnswers(one, "ood"), after)));
  if (all.length === 0) {
    const interval = boundDifference(fitted, criticalValue);
    return { forgetting: describeContrast(fitted, { ...interval, pValue: 1 }), level: significanceLevel };
  }
  const byChance = chanceOf(all, draws);
  const critical = Math.max(criticalValue, byChance.critical(significanceLevel / 2));
  const estimate = fitted.items.reduce((sum, difference) => sum + difference, 0) / fitted.items.length;
  const largest = Math.max(...all.map(({ groups }) => scoreStatistic(groups.sums)));
  const lows = all.map((differences) => boundDifference(differences, critical).low);
  const highs = all.map((differences) => boundDifference(differences, criticalValue).high);
  const forgetting = describeContrast(fitted, {
    low: Math.min(estimate, Math.max(...lows)),
    high: Math.max(estimate, ...highs),
    pValue: estimate <= 0 ? 1 : Math.min(1, 2 * byChance.pValue(largest)),
  });
  return { forgetting, level: 2 * normalTail(critical) };
}

function chanceOf(all: readonly Differences[], draws: SignDraws): LargestByChance {
  return flipSigns(
    all.map(({ groups }) => groups.sums),
    { ...draws, isOneSided: true },
  );
}

/**
 * The candidates that all OOD items cannot tell from the best of them, it included: those whose score against it is no larger than the
 * largest by chance is with 95 % (one-sided max-T). In the order given.
 */
export function findPlateau(
  candidates: readonly CheckpointOutcome[],
  draws: SignDraws,
): readonly CheckpointOutcome[] {
  const best = findBest(candidates, ({ solved }) => solved.ood);
  const behind = candidates.map((one) =>
    takeDifferences(pairAnswers(allAnswers(best, "ood"), allAnswers(one, "ood"))),
  );
  const others = behind.filter((_, index) => candidates[index]?.id !== best.id);
  if (others.length === 0) return candidates;
  const critical = chanceOf(others, draws).critical(significanceLevel);
  return candidates.filter((_, index) => scoreStatistic(behind[index]?.groups.sums ?? []) <= critical);
}
