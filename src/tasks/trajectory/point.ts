/** One checkpoint's place in a trajectory: its accuracies as counts. */
import type { Tally } from "../../base/statistics/index.ts";
import { type CheckpointOutcome, countSolved, type Solved } from "./checkpoint-outcome.ts";

/** The accuracies of a checkpoint. */
export interface Point {
  /** Id of the checkpoint. */
  readonly checkpoint: string;
  readonly stage: "base" | "sft" | "rl";
  readonly step: number;
  readonly id: Tally;
  /** All OOD items. Of the peak this is optimistic, since they chose it. */
  readonly ood: Tally;
}

/** The point of a checkpoint. */
export function createPoint(checkpoint: CheckpointOutcome): Point {
  return {
    checkpoint: checkpoint.id,
    stage: checkpoint.stage,
    step: checkpoint.step,
    id: tally(checkpoint.solved.id),
    ood: tally(checkpoint.solved.ood),
  };
}

/** How many of a list of items are solved. */
export function tally(solved: readonly Solved[]): Tally {
  return { correct: countSolved(solved), total: solved.length };
}
