/**
 * How OOD accuracy rises, falls and comes back over SFT and RL. Judges no answers: it is given which items each
 * checkpoint solved.
 */
import type { BootstrapOptions } from "../../base/statistics/index.ts";
import { type Branch, computeBranch, findBranches } from "./branch.ts";
import { type CheckpointOutcome, checkOutcomes, findPeak, heldOutHalf } from "./checkpoint-outcome.ts";
import { type Contrast, computeContrast, significanceLevel } from "./contrast.ts";
import { createPoint, type Point } from "./point.ts";
import type { Ratio } from "./recovery.ts";
import { measureSensitivity, type Sensitivity } from "./sensitivity.ts";

/** How trajectories are computed. */
export interface TrajectoryOptions extends BootstrapOptions {
  /** The share of OOD items that guessing solves, in [0, 1); default 0. */
  readonly oodChance?: number;
}

/** The measured course of a run, and which loss of OOD accuracy it could have seen on the held-out half. */
export interface Trajectory extends Sensitivity {
  /** The SFT checkpoint of best OOD accuracy on the selection half. */
  readonly peak: Point;
  /** The SFT checkpoint with the most steps. */
  readonly sftEnd: Point;
  /** The end of the main branch; undefined without one. */
  readonly rlEnd: Point | undefined;
  /** Name of the main branch; undefined without one. */
  readonly mainBranch: string | undefined;
  /** OOD accuracy, peak − SFT end, on the held-out half. */
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
 * parent) by OOD accuracy on the items at EVEN positions, ties going to the earliest step; forgetting and recovery
 * are measured on the items at ODD positions. A maximum over noisy checkpoints overstates its own accuracy (the
 * winner's curse); on items that had no say in the choice it does not. The price is half of the items.
 *
 * - forgetting = peak − SFT end, with a paired bootstrap interval and an exact McNemar p-value;
 * - recovery of a branch from X = (end − X) / (peak − X), undefined unless X lies clearly below the peak;
 * - the main branch starts at the SFT end, or else at the latest SFT step (the base counts as before all of them)
 *   that any branch starts at; the first listed wins a tie. For a main branch from the SFT end, recovery is
 *   (RL end − SFT end) / (peak − SFT end).
 *
 * Defaults: 2000 resamples, confidence 0.95. Throws `TypeError` when checkpoints list different numbers of items,
 * `RangeError` on checkpoints that cannot be told apart, ordered or attached to a parent, or without an SFT stage.
 */
export function computeTrajectory(
  checkpoints: readonly CheckpointOutcome[],
  { oodChance = 0, ...options }: TrajectoryOptions,
): Trajectory {
  checkOutcomes(checkpoints);
  const candidates = findCandidates(checkpoints);
  const peak = findPeak(candidates);
  const sftEnd = candidates.reduce((_, last) => last);
  const branches = findBranches(checkpoints).map((ends) => computeBranch(ends, peak, options));
  const main = findMainBranch(branches);
  const because = main === undefined ? "no RL branch starts from SFT" : main.reason;
  const ends = { first: heldOutHalf(peak), second: heldOutHalf(sftEnd) };
  const forgetting = computeContrast(ends, options);
  const isSeen = forgetting.estimate > 0 && forgetting.pValue < significanceLevel;
  const { unjudgedBecause, ...sensitivity } = measureSensitivity(ends, oodChance);
  return {
    ...sensitivity,
    // What was seen needs no leave to be seen.
    ...(!isSeen && unjudgedBecause !== undefined && { unjudgedBecause }),
    peak: createPoint(peak),
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
