/** A sweep in sentences. */
import { formatPoints, formatPValue, formatShare } from "../statistics/index.ts";
import { type Contrast, significanceLevel } from "./contrast.ts";
import type { Ratio } from "./recovery.ts";
import type { RepairMeasure } from "./repair.ts";

/** What sentences are made from. */
export interface DescribedSweep {
  readonly target: string;
  readonly source: string;
  readonly repairs: readonly (Omit<RepairMeasure, "recovered" | "reason"> & {
    readonly role: string;
    readonly recovered: Ratio | null;
  })[];
  readonly best: {
    readonly name: string;
    readonly gain: Contrast;
    readonly idGain: Contrast;
    readonly recovered: Ratio | null;
  } | null;
}

/**
 * Two or three sentences: the best repair as confirmed on tasks that had no say in the choice, and what the controls did.
 * Differences with p ≥ 0.05 are called not significant.
 */
export function describeSweep({ target, source, repairs, best }: DescribedSweep): readonly string[] {
  const sentences: string[] = [];
  if (best !== null)
    sentences.push(
      `From ${source} into ${target}, ${best.gain.estimate > 0 ? "the" : "even the"} best of ` +
        `${countEdits(repairs)} on the even-numbered tasks was "${best.name}"; on the odd-numbered ones it changed OOD by ${describeGain(best.gain)} and ID by ` +
        `${describeGain(best.idGain)}${describeRecovered(best.recovered)}.`,
    );
  const controls = repairs.filter(({ role }) => role !== "edit");
  const strongest = (role: string): (typeof repairs)[number] | undefined =>
    controls
      .filter((repair) => repair.role === role)
      .reduce<(typeof repairs)[number] | undefined>(
        (most, repair) => (most === undefined || repair.gain.estimate > most.gain.estimate ? repair : most),
        undefined,
      );
  const parts = Object.entries(controlNames).flatMap(([role, name]) => {
    const control = strongest(role);
    return control === undefined ? [] : [`${name} ${describeGain(control.gain)}`];
  });
  if (parts.length > 0)
    sentences.push(`The controls, each at its best, changed OOD on the same tasks by: ${parts.join("; ")}.`);
  return sentences;
}

const controlNames = {
  identity: "matrices decomposed and rebuilt",
  rollback: "whole matrices rolled back",
  random: "updates of the same size in random directions",
  elsewhere: "the same ranks in other matrices",
  values: "values only",
} as const;

function countEdits(repairs: DescribedSweep["repairs"]): string {
  const count = repairs.filter(({ role }) => role === "edit").length;
  return `${count} repair${count === 1 ? "" : "s"}`;
}

function describeGain(gain: Contrast): string {
  const sign = gain.estimate > 0 ? "+" : "";
  const points = `${sign}${formatPoints(gain.estimate)} points`;
  if (gain.onlyFirst + gain.onlySecond === 0) return `${points} (no task differs)`;
  const interval = `[${formatPoints(gain.low)}, ${formatPoints(gain.high)}]`;
  const isSignificant = gain.pValue < significanceLevel;
  return `${points} ${interval} (${isSignificant ? "" : "not significant, "}${formatPValue(gain.pValue)})`;
}

function describeRecovered(recovered: Ratio | null): string {
  if (recovered === null) return "";
  const [low, high] = [recovered.low, recovered.high].map((end) => formatShare(end, 0).replace(" %", ""));
  return `: ${formatShare(recovered.estimate, 0)} [${low}, ${high}] of the loss came back`;
}
