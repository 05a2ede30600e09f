/**
 * Which signal would have said when to stop: for a finished training, what stopping where each label-free or ID-only signal
 * says would have cost in OOD accuracy.
 */
import { allAnswers, type CheckpointOutcome } from "./checkpoint-outcome.ts";
import { type Contrast, computeContrast } from "./contrast.ts";
import { crossFitPeak } from "./peak.ts";

/** How a signal says where to stop. */
export type StopRule = "lowest" | "highest" | "knee";

/** A signal: a number for each checkpoint, in the order of steps; absent where it was not measured. */
export interface Signal {
  readonly name: string;
  readonly rule: StopRule;
  readonly values: readonly (number | undefined)[];
}

/** What a signal would have led to. */
export interface RankedSignal {
  readonly name: string;
  readonly rule: StopRule;
  /** The checkpoint that it chooses. */
  readonly checkpoint: string;
  readonly step: number;
  /** OOD accuracy, peak − chosen, the peak cross-fitted: what stopping there costs. */
  readonly regret: Contrast;
}

/** The true peak and every signal beside it, the cheapest first. */
export interface SignalRanking {
  /** Chosen by OOD accuracy itself, on half of the items. */
  readonly peak: { readonly checkpoint: string; readonly step: number };
  readonly ranked: readonly RankedSignal[];
  /** Signals that were not measured at two checkpoints or more. */
  readonly unmeasured: readonly string[];
}

/**
 * Ranks signals by regret. Each chooses among the checkpoints where it was measured: where it is lowest or highest (the earliest
 * of equals), or at the knee of a curve that only grows. Throws `RangeError` without checkpoints.
 */
export function rankSignals(
  checkpoints: readonly CheckpointOutcome[],
  signals: readonly Signal[],
): SignalRanking {
  const { peak, solved } = crossFitPeak(checkpoints);
  const unmeasured: string[] = [];
  const ranked = signals.flatMap(({ name, rule, values }): readonly RankedSignal[] => {
    const measured = checkpoints.flatMap((checkpoint, index) => {
      const value = values[index];
      return value === undefined || !Number.isFinite(value) ? [] : [{ checkpoint, value }];
    });
    if (measured.length < 2) {
      unmeasured.push(name);
      return [];
    }
    const index = choose(
      rule,
      measured.map(({ value }) => value),
    );
    const chosen = measured[index]?.checkpoint ?? peak;
    const answers = allAnswers(chosen, "ood");
    const regret = computeContrast({ first: solved, second: answers.solved, keys: answers.keys });
    return [{ name, rule, checkpoint: chosen.id, step: chosen.step, regret }];
  });
  ranked.sort((a, b) => a.regret.estimate - b.regret.estimate);
  return { peak: { checkpoint: peak.id, step: peak.step }, ranked, unmeasured };
}

function choose(rule: StopRule, values: readonly number[]): number {
  if (rule === "knee") return findKnee(values);
  const sign = rule === "lowest" ? -1 : 1;
  return values.reduce((best, value, index) => (sign * value > sign * (values[best] ?? 0) ? index : best), 0);
}

/**
 * Where a curve is furthest above the straight line between its ends, both axes scaled to one: Satopää et al., "Finding a
 * 'Kneedle' in a Haystack", 2011. Checkpoints count as equally far apart.
 */
export function findKnee(values: readonly number[]): number {
  const [first = 0, last = 0] = [values[0], values.at(-1)];
  const range = last - first;
  if (range === 0) return 0;
  const height = (index: number): number =>
    ((values[index] ?? 0) - first) / range - index / (values.length - 1);
  return values.reduce((best, _, index) => (height(index) > height(best) ? index : best), 0);
}
