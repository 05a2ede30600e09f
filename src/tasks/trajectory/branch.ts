/** RL branches: which checkpoints belong to one, where it started, and what it gained. */
import type { SignDraws } from "../../base/statistics/index.ts";
import { allAnswers, branchName, type CheckpointOutcome } from "./checkpoint-outcome.ts";
import { type Contrast, computeContrast, pairAnswers } from "./contrast.ts";
import type { CrossFittedPeak } from "./peak.ts";
import { createPoint, type Point } from "./point.ts";
import { computeRecovery, type Ratio } from "./recovery.ts";

/** What one RL branch did to the checkpoint it started from. */
export interface Branch {
  readonly name: string;
  readonly start: Point;
  /** The checkpoint of the branch with the most steps. */
  readonly end: Point;
  /** OOD accuracy, end − start, on all items: neither was chosen by its accuracy. */
  readonly gain: Contrast;
  /** ID accuracy, end − start, on all items. */
  readonly idGain: Contrast;
  /** (end − start) / (peak − start) in OOD accuracy, the peak cross-fitted. */
  readonly recovery: Ratio | undefined;
  /** In plain words, why `recovery` is undefined. */
  readonly reason?: string;
  /** OOD accuracy, end − peak, the peak cross-fitted: below 0 while it is not reached again. */
  readonly versusPeak: Contrast;
}

/** The checkpoints at both ends of a branch. */
export interface BranchEnds {
  readonly name: string;
  readonly start: CheckpointOutcome;
  readonly end: CheckpointOutcome;
}

/**
 * The branches among `checkpoints`, in order of first appearance. A branch is the RL checkpoints of one `branch`
 * name; it starts at the one parent that lies outside it. Throws `RangeError` when that parent is not named,
 * not among the checkpoints, or not the only one.
 */
export function findBranches(checkpoints: readonly CheckpointOutcome[]): readonly BranchEnds[] {
  const members = new Map<string, CheckpointOutcome[]>();
  for (const checkpoint of checkpoints) {
    if (checkpoint.stage !== "rl") continue;
    const name = branchName(checkpoint);
    members.set(name, [...(members.get(name) ?? []), checkpoint]);
  }
  const byId = new Map(checkpoints.map((checkpoint) => [checkpoint.id, checkpoint]));
  return [...members].map(([name, branch]) => ({
    name,
    start: findStart(name, branch, { byId }),
    end: branch.reduce((last, checkpoint) => (checkpoint.step > last.step ? checkpoint : last)),
  }));
}

function findStart(
  name: string,
  branch: readonly CheckpointOutcome[],
  { byId }: { readonly byId: ReadonlyMap<string, CheckpointOutcome> },
): CheckpointOutcome {
  const own = new Set(branch.map(({ id }) => id));
  const parents = branch.flatMap(({ parent }) => (parent === undefined || own.has(parent) ? [] : [parent]));
  const [parent, ...others] = new Set(parents);
  if (parent === undefined) {
    throw new RangeError(
      `Cannot place RL branch "${name}": none of its checkpoints names the parent it started from`,
    );
  }
  if (others.length > 0) {
    const listed = [parent, ...others].map((id) => `"${id}"`).join(" and ");
    throw new RangeError(
      `Cannot place RL branch "${name}": it starts from ${listed}; give each branch its own name`,
    );
  }
  const start = byId.get(parent);
  if (start === undefined) {
    throw new RangeError(
      `Cannot place RL branch "${name}": its parent "${parent}" is not among the checkpoints`,
    );
  }
  return start;
}

/** Measures a branch against its start and against the peak. */
export function computeBranch(
  { name, start, end }: BranchEnds,
  peak: CrossFittedPeak,
  draws: SignDraws,
): Branch {
  const after = allAnswers(end, "ood");
  return {
    name,
    start: createPoint(start),
    end: createPoint(end),
    gain: computeContrast(pairAnswers(after, allAnswers(start, "ood"))),
    idGain: computeContrast(pairAnswers(allAnswers(end, "id"), allAnswers(start, "id"))),
    ...computeRecovery(peak, { start, end }, draws),
    versusPeak: computeContrast({ first: after.solved, second: peak.solved, keys: after.keys }),
  };
}
