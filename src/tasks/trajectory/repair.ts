/** What repairs of a checkpoint did to its accuracy, beside the checkpoint itself and the one they were taken from. */
import type { SignDraws, Tally } from "../../base/statistics/index.ts";
import { type CheckpointOutcome, countSolved, halfAnswers, type Split } from "./checkpoint-outcome.ts";
import { type Contrast, computeContrast, computeFamily, pairAnswers, type SolvedPair } from "./contrast.ts";
import { tally } from "./point.ts";
import { computeShare, type Ratio, type Recovery } from "./recovery.ts";

/** A repair that was evaluated on the same items as the checkpoints. */
export interface RepairOutcome {
  readonly name: string;
  /** Whether it may be chosen as the best; controls may not. */
  readonly isCandidate: boolean;
  readonly solved: CheckpointOutcome["solved"];
}

/** What a repair did. All differences are repair − target, on the held-out half: the other half chose the peak, and the best repair. */
export interface RepairMeasure {
  readonly name: string;
  readonly id: Tally;
  readonly ood: Tally;
  /** OOD accuracy. Of all repairs that may be chosen, intervals hold at once and p-values are of one family; a control stands for itself. */
  readonly gain: Contrast;
  /** ID accuracy, in the same way. */
  readonly idGain: Contrast;
  /** The share of what the target had lost against the source. */
  readonly recovered: Ratio | undefined;
  /** In plain words, why `recovered` is undefined. */
  readonly reason?: string;
}

/** The best repair: chosen on one half of the items of both splits, confirmed on the other. */
export interface BestRepair {
  readonly name: string;
  /** Items of the selection half that it solved, ID and OOD together. */
  readonly selected: Tally;
  /** As in its `RepairMeasure`. */
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
 * Measures repairs. The best one solves most items of the selection half, ID and OOD together (the first of several wins);
 * what is said of it comes from the held-out half, which had no say in the choice.
 */
export function measureRepairs(
  repairs: readonly RepairOutcome[],
  { source, target }: RepairEnds,
  draws: SignDraws,
): RepairMeasures {
  const outcomes = repairs.map((repair) => ({ ...target, id: repair.name, solved: repair.solved }));
  const isCandidate = repairs.map((repair) => repair.isCandidate);
  const contrast = (split: Split): readonly Contrast[] =>
    contrastAll(
      outcomes.map((outcome) => pairHeldOut(outcome, target, split)),
      isCandidate,
      draws,
    );
  const [gains, idGains] = [contrast("ood"), contrast("id")];
  const measures = outcomes.flatMap((outcome, index): readonly RepairMeasure[] => {
    const [gain, idGain] = [gains[index], idGains[index]];
    if (gain === undefined || idGain === undefined) return [];
    const { recovery, reason } = shareOf(outcome, { source, target }, gain);
    return [
      {
        name: outcome.id,
        id: tally(outcome.solved.id),
        ood: tally(outcome.solved.ood),
        gain,
        idGain,
        recovered: recovery,
        ...(reason !== undefined && { reason }),
      },
    ];
  });
  const candidates = outcomes.filter((_, index) => isCandidate[index]);
  return { repairs: measures, best: findBestRepair(candidates, measures) };
}

/** Contrasts in order: those of candidates are one family. */
function contrastAll(
  pairs: readonly SolvedPair[],
  isCandidate: readonly boolean[],
  draws: SignDraws,
): readonly Contrast[] {
  const family = computeFamily(
    pairs.filter((_, index) => isCandidate[index]),
    draws,
  ).values();
  return pairs.flatMap((pair, index) => {
    const contrast = isCandidate[index] ? family.next().value : computeContrast(pair);
    return contrast === undefined ? [] : [contrast];
  });
}

function pairHeldOut(first: CheckpointOutcome, second: CheckpointOutcome, split: Split): SolvedPair {
  return pairAnswers(halfAnswers(first, split, "held-out"), halfAnswers(second, split, "held-out"));
}

function shareOf(end: CheckpointOutcome, { source, target }: RepairEnds, gain: Contrast): Recovery {
  const held = (one: CheckpointOutcome) => halfAnswers(one, "ood", "held-out");
  const path = { peak: held(source), start: held(target), end: held(end) };
  return computeShare(path, { peak: "the source", start: "the target" }, { gain });
}

function findBestRepair(
  candidates: readonly CheckpointOutcome[],
  measures: readonly RepairMeasure[],
): BestRepair | undefined {
  const scored = candidates.map((outcome) => ({ name: outcome.id, selected: scoreOf(outcome) }));
  const [first] = scored;
  if (first === undefined) return undefined;
  const best = scored.reduce(
    (leader, one) => (one.selected.correct > leader.selected.correct ? one : leader),
    first,
  );
  const measure = measures.find(({ name }) => name === best.name);
  if (measure === undefined) return undefined;
  const { gain, idGain, recovered } = measure;
  return { ...best, gain, idGain, recovered };
}

function scoreOf(outcome: CheckpointOutcome): Tally {
  const solved = (["id", "ood"] as const).flatMap((split) => halfAnswers(outcome, split, "selection").solved);
  return { correct: countSolved(solved), total: solved.length };
}
