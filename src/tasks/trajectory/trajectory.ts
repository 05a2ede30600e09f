/**
 * How OOD accuracy rises, falls and comes back over SFT and RL. Judges no answers: it is given which items each
 * checkpoint solved.
 */
import type { SignDraws, Tally } from "../../base/statistics/index.ts";
import { type Branch, computeBranch, findBranches } from "./branch.ts";
import { allAnswers, type CheckpointOutcome, checkOutcomes } from "./checkpoint-outcome.ts";
import { type Contrast, significanceLevel } from "./contrast.ts";
import { crossFitPeak, findPlateau, measureForgetting } from "./peak.ts";
import { createPoint, type Point, tally } from "./point.ts";
import type { Ratio } from "./recovery.ts";
import { measureSensitivity, type Sensitivity } from "./sensitivity.ts";

/** How trajectories are computed. */
export interface TrajectoryOptions extends SignDraws {
  /** The share of OOD items that guessing solves, in [0, 1); default 0. */
  readonly oodChance?: number;
}

/** The measured course of a run, and which loss of OOD accuracy it could have seen. */
export interface Trajectory extends Sensitivity {
  /** The SFT checkpoint of best OOD accuracy on half of the items. */
  readonly peak: Point;
  /** The one that the other half chose, where that is another. */
  readonly otherPeak: Point | undefined;
  /** OOD accuracy of the peak, cross-fitted: each half of the items as the other half's choice solved them. */
  readonly peakAccuracy: Tally;
  /** SFT checkpoints that cannot be told from the best, it included, by step. */
  readonly plateau: readonly Point[];
  /** The SFT checkpoint with the most steps. */
  readonly sftEnd: Point;
  /** The end of the main branch; undefined without one. */
  readonly rlEnd: Point | undefined;
  /** Name of the main branch; undefined without one. */
  readonly mainBranch: string | undefined;
  /** OOD accuracy, peak − SFT end, cross-fitted. */
  readonly forgetting: Contrast;
  /** Recovery of the main branch. */
  readonly recovery: Ratio | undefined;
  /** In plain words, why `recovery` is undefined. */
  readonly recoveryUndefinedBecause?: string;
  /** All RL branches, in order of first appearance. */
  readonly branches: readonly Branch[];
}

/**
 * The trajectory of a run.
 *
 * The peak is the best of the SFT checkpoints (and of the base checkpoint, if an SFT checkpoint names it as its
 * parent) in OOD accuracy, ties going to the earliest step. Each half of the items chooses it, and the other half measures it
 * (`crossFitPeak`).
 *
 * - forgetting = peak − SFT end (`measureForgetting`);
 * - recovery of a branch from X = (end − X) / (peak − X), undefined unless X lies clearly below the peak;
 * - the main branch starts at the SFT end, or else at the latest SFT step (the base counts as before all of them)
 *   that any branch starts at; the first listed wins a tie. For a main branch from the SFT end, recovery is
 *   (RL end − SFT end) / (peak − SFT end).
 *
 * Throws `TypeError` when checkpoints list different numbers of items,
 * `RangeError` on checkpoints that cannot be told apart, ordered or attached to a parent, or without an SFT stage.
 */
export function computeTrajectory(
  checkpoints: readonly CheckpointOutcome[],
  { oodChance = 0, ...draws }: TrajectoryOptions,
): Trajectory {
  checkOutcomes(checkpoints);
  const candidates = findCandidates(checkpoints);
  const peak = crossFitPeak(candidates);
  const sftEnd = candidates.reduce((_, last) => last);
  const branches = findBranches(checkpoints).map((ends) => computeBranch(ends, peak, draws));
  const main = findMainBranch(branches);
  const because = main === undefined ? "no RL branch starts from SFT" : main.reason;
  const { forgetting, level } = measureForgetting(peak, sftEnd, draws);
  const isSeen = forgetting.estimate > 0 && forgetting.pValue < significanceLevel;
  const { solved: second, keys } = allAnswers(sftEnd, "ood");
  const pair = { first: peak.solved, second, keys };
  const { unjudgedBecause, ...sensitivity } = measureSensitivity(pair, { chance: oodChance, level });
  return {
    ...sensitivity,
    // What was seen needs no leave to be seen.
    ...(!isSeen && unjudgedBecause !== undefined && { unjudgedBecause }),
    peak: createPoint(peak.peak),
    otherPeak: peak.otherPeak.id === peak.peak.id ? undefined : createPoint(peak.otherPeak),
    peakAccuracy: tally(peak.solved),
    plateau: findPlateau(candidates, draws).map(createPoint),
    sftEnd: createPoint(sftEnd),
    rlEnd: main?.end,
    mainBranch: main?.name,
    forgetting,
    recovery: main?.recovery,
    ...(because === undefined ? {} : { recoveryUndefinedBecause: because }),
    branches,
  };
}

/** The checkpoints that may be the peak, earliest first: the base that SFT started from, then SFT by step. */
function findCandidates(checkpoints: readonly CheckpointOutcome[]): readonly CheckpointOutcome[] {
  const sft = checkpoints.filter(({ stage }) => stage === "sft").sort((a, b) => a.step - b.step);
  const parents = new Set(sft.map(({ parent }) => parent));
  return [...checkpoints.filter(({ stage, id }) => stage === "base" && parents.has(id)), ...sft];
}

function findMainBranch(branches: readonly Branch[]): Branch | undefined {
  const rank = ({ start }: Branch): number => (start.stage === "sft" ? start.step : -1);
  const eligible = branches.filter(({ start }) => start.stage !== "rl");
  return eligible.reduce<Branch | undefined>(
    (main, branch) => (main === undefined || rank(branch) > rank(main) ? branch : main),
    undefined,
  );
}
