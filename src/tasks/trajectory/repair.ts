/** What repairs of a checkpoint did to its accuracy, beside the checkpoint itself and the one they were taken from. */
import { type BootstrapOptions, holm, type Tally } from "../../base/statistics/index.ts";
import { type CheckpointOutcome, countSolved, heldOutHalf, type Solved } from "./checkpoint-outcome.ts";
import { type Contrast, computeContrast } from "./contrast.ts";
import { computeShare, type Ratio } from "./recovery.ts";

/** A repair that was evaluated on the same items as the checkpoints. */
export interface RepairOutcome {
  readonly name: string;
  /** Whether it may be chosen as the best; controls may not. */
  readonly isCandidate: boolean;
  readonly solved: CheckpointOutcome["solved"];
}

/** What a repair did. All differences are repair − target. */
export interface RepairMeasure {
  readonly name: string;
  readonly id: Tally;
  readonly ood: Tally;
  /** OOD accuracy on the held-out half: the other half chose the peak. */
  readonly gain: Contrast;
  /** The p-value of `gain`, corrected for all repairs of the repair grid (Holm). */
  readonly adjustedPValue: number;
  /** ID accuracy on all items. */
  readonly idGain: Contrast;
  /** The share of what the target had lost against the source, on the held-out half. */
  readonly recovered: Ratio | undefined;
  /** In plain words, why `recovered` is undefined. */
  readonly reason?: string;
}

/** The best repair: chosen on one half of the items of both splits, confirmed on the other. */
export interface BestRepair {
  readonly name: string;
  /** Items of the selection half that it solved, ID and OOD together. */
  readonly selected: Tally;
  /** On the held-out halves, repair − target. */
  readonly gain: Contrast;
  readonly idGain: Contrast;
  readonly recovered: Ratio | undefined;
}

/** A repair grid in numbers. */
export interface RepairMeasures {
  readonly repairs: readonly RepairMeasure[];
  /** Absent where no repair may be chosen. */
  readonly best: BestRepair | undefined;
}

/** The checkpoints of a grid. */
export interface RepairEnds {
  readonly source: CheckpointOutcome;
  readonly target: CheckpointOutcome;
}

/**
 * Measures repairs. The best one solves most items at even positions, ID and OOD together (the first of several wins);
 * what is said of it comes from the odd positions, which had no say in the choice.
 */
export function measureRepairs(
  repairs: readonly RepairOutcome[],
  { source, target }: RepairEnds,
  options: BootstrapOptions,
): RepairMeasures {
  const contrast = (first: readonly Solved[], second: readonly Solved[]): Contrast =>
    computeContrast({ first, second }, options);
  const measures = repairs.map((repair) => {
    const outcome = { ...target, id: repair.name, solved: repair.solved };
    return {
      name: repair.name,
      id: tally(repair.solved.id),
      ood: tally(repair.solved.ood),
      gain: contrast(heldOutHalf(outcome), heldOutHalf(target)),
      idGain: contrast(repair.solved.id, target.solved.id),
      ...describeRecovered(outcome, { source, target }, options),
    };
  });
  const adjusted = holm(measures.map(({ gain }) => gain.pValue));
  return {
    repairs: measures.map((measure, index) => ({ ...measure, adjustedPValue: adjusted[index] ?? 1 })),
    best: findBest(repairs, { source, target }, options),
  };
}

function describeRecovered(
  end: CheckpointOutcome,
  { source, target }: RepairEnds,
  options: BootstrapOptions,
): Pick<RepairMeasure, "recovered" | "reason"> {
  const names = { peak: "the source", start: "the target" };
  const { recovery, reason } = computeShare({ peak: source, start: target, end }, names, options);
  return { recovered: recovery, ...(reason !== undefined && { reason }) };
}

function findBest(
  repairs: readonly RepairOutcome[],
  { source, target }: RepairEnds,
  options: BootstrapOptions,
): BestRepair | undefined {
  const score = ({ solved }: RepairOutcome): Tally => tally([...evens(solved.id), ...evens(solved.ood)]);
  const candidates = repairs.filter(({ isCandidate }) => isCandidate);
  const [first] = candidates;
  if (first === undefined) return undefined;
  const best = candidates.reduce(
    (leader, repair) => (score(repair).correct > score(leader).correct ? repair : leader),
    first,
  );
  const outcome = { ...target, id: best.name, solved: best.solved };
  const odds = (solved: readonly Solved[]): readonly Solved[] => solved.filter((_, index) => index % 2 === 1);
  return {
    name: best.name,
    selected: score(best),
    gain: computeContrast({ first: heldOutHalf(outcome), second: heldOutHalf(target) }, options),
    idGain: computeContrast({ first: odds(best.solved.id), second: odds(target.solved.id) }, options),
    recovered: describeRecovered(outcome, { source, target }, options).recovered,
  };
}

const evens = (solved: readonly Solved[]): readonly Solved[] => solved.filter((_, index) => index % 2 === 0);

function tally(solved: readonly Solved[]): Tally {
  return { correct: countSolved(solved), total: solved.length };
}
