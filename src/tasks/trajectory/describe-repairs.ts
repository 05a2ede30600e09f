/** A repair grid in sentences. */
import { formatInterval, formatPoints, formatPValue, formatShare } from "../../base/statistics/index.ts";
import { type Contrast, significanceLevel } from "./contrast.ts";
import type { Ratio } from "./recovery.ts";
import type { RepairMeasure } from "./repair.ts";

/** A ratio as far as sentences need it. */
type Share = Pick<Ratio, "estimate" | "low" | "high">;

/** What sentences are made from. */
export interface DescribedRepairs {
  readonly target: string;
  readonly source: string;
  readonly repairs: readonly (Omit<RepairMeasure, "recovered" | "reason"> & {
    readonly role: string;
    /** Names of its controls. */
    readonly controls?: readonly string[] | undefined;
    readonly recovered: Share | null;
  })[];
  readonly best: {
    readonly name: string;
    readonly gain: Contrast;
    readonly idGain: Contrast;
    readonly recovered: Share | null;
  } | null;
}

/**
 * Up to two sentences: the best repair as confirmed on tasks that had no say in the choice, and what its controls did.
 * Differences with p ≥ 0.05 are called not significant.
 */
export function describeRepairs({ target, source, repairs, best }: DescribedRepairs): readonly string[] {
  const sentences: string[] = [];
  if (best !== null)
    sentences.push(
      `From ${source} into ${target}, the ${best.gain.estimate > 0 ? "best" : "least harmful"} of ` +
        `${countEdits(repairs)} on half of the tasks was "${best.name}"; on the other half it changed OOD by ${describeGain(best.gain)} and ID by ` +
        `${describeGain(best.idGain)}${describeRecovered(best.recovered)}.`,
    );
  const named = repairs.find(({ name }) => name === best?.name)?.controls ?? [];
  const parts = named.flatMap((name) => {
    const control = repairs.find((repair) => repair.name === name);
    return control === undefined ? [] : [`${describeControl(control)} ${describePoints(control.gain)}`];
  });
  if (parts.length > 0) sentences.push(`Its controls changed OOD on the same tasks by: ${parts.join("; ")}.`);
  return sentences;
}

const controlNames: ReadonlyMap<string, string> = new Map([
  ["identity", "matrices decomposed and rebuilt"],
  ["rollback", "whole matrices rolled back"],
  ["random", "an update of the same size in random directions"],
  ["elsewhere", "the same ranks in other matrices"],
  ["values", "values only"],
]);

/** What kind of control it is; one that the grid has as a repair goes by its name. */
function describeControl({ role, name }: DescribedRepairs["repairs"][number]): string {
  return controlNames.get(role) ?? `"${name}"`;
}

function countEdits(repairs: DescribedRepairs["repairs"]): string {
  const count = repairs.filter(({ role }) => role === "edit").length;
  return `${count} repair${count === 1 ? "" : "s"}`;
}

/** `+66.5 points [59.5, 73.0]`. */
function describePoints(gain: Contrast): string {
  const sign = gain.estimate > 0 ? "+" : "";
  const points = `${sign}${formatPoints(gain.estimate)} points`;
  return `${points} ${formatInterval(gain)}`;
}

/** The same with its p-value. */
function describeGain(gain: Contrast): string {
  const points = describePoints(gain);
  if (gain.onlyFirst + gain.onlySecond === 0) return `${points} (no task differs)`;
  const isSignificant = gain.pValue < significanceLevel;
  return `${points} (${isSignificant ? "" : "not significant, "}${formatPValue(gain.pValue)})`;
}

function describeRecovered(recovered: Share | null): string {
  if (recovered === null) return "";
  return `: ${formatShare(recovered.estimate, 0)} ${formatInterval(recovered, { digits: 0 })} of the loss came back`;
}
