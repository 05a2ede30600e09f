/** A trajectory in sentences for someone who has not seen one before. */
import {
  formatInterval,
  formatPoints,
  formatPValue,
  formatShare,
  type Tally,
} from "../../base/statistics/index.ts";
import type { Branch } from "./branch.ts";
import { type Contrast, significanceLevel } from "./contrast.ts";
import type { Point } from "./point.ts";
import type { Ratio } from "./recovery.ts";
import { fewestDiscordant, statedPower } from "./sensitivity.ts";
import type { Trajectory } from "./trajectory.ts";

const maxBranchSentences = 4;

/**
 * Three to six plain sentences: what was forgotten, how that was measured, and what each RL branch brought back
 * (the main branch first; beyond four branches, the first three and a count of the rest). The percentages of peak and
 * SFT end differ by the forgetting stated; brackets hold intervals.
 * Differences with p ≥ 0.05 are called not significant; where no difference could have been significant, that is said instead.
 */
export function describeTrajectory(trajectory: Trajectory): string[] {
  return [describeForgetting(trajectory), describeMethod(trajectory), ...describeBranches(trajectory)];
}

function describeForgetting(trajectory: Trajectory): string {
  const { peak, otherPeak, peakAccuracy, sftEnd, forgetting, unjudgedBecause } = trajectory;
  if (unjudgedBecause !== undefined)
    return (
      `Whether OOD accuracy was forgotten cannot be judged (${formatPercent(peakAccuracy)} at ${describePeak(trajectory)}, the best, ` +
      `${formatPercent(sftEnd.ood)} at ${describePlace(sftEnd)}): ${unjudgedBecause}.`
    );
  if (peak.checkpoint === sftEnd.checkpoint && otherPeak === undefined) {
    return (
      `OOD accuracy was highest at the last SFT checkpoint (${describePlace(peak)}, ` +
      `${formatPercent(peakAccuracy)}): no forgetting to report.`
    );
  }
  const evidence = describeEvidence(forgetting);
  const [top, bottom] = [formatPercent(peakAccuracy), formatPercent(sftEnd.ood)];
  if (forgetting.pValue < significanceLevel && forgetting.estimate > 0) {
    return (
      `OOD accuracy peaked at ${describePeak(trajectory)} (${top}) and fell to ${bottom} by ${describePlace(sftEnd)}: ` +
      `${formatPoints(forgetting.estimate)} points forgotten ${evidence}.`
    );
  }
  return (
    `OOD accuracy was ${top} at ${describePeak(trajectory)}, the peak, and ${bottom} at ${describePlace(sftEnd)}: ` +
    `no significant forgetting, ${formatPoints(forgetting.estimate)} points ${evidence}.`
  );
}

/** `step 3`, or `step 3 and step 4` where the halves chose differently. */
function describePeak({ peak, otherPeak }: Pick<Trajectory, "peak" | "otherPeak">): string {
  return otherPeak === undefined
    ? describePlace(peak)
    : `${describePlace(peak)} and ${describePlace(otherPeak)}`;
}

const maxPlateauNames = 6;

function describeMethod({ plateau, forgetting, detectableLoss }: Trajectory): string {
  const seen =
    detectableLoss === undefined
      ? ""
      : ` A loss of ${formatPoints(detectableLoss)} points is noticed in ${formatShare(statedPower, 0)} of cases, a smaller one less often.`;
  const names = plateau.slice(0, maxPlateauNames).map(describePlace);
  const more = plateau.length > names.length ? `, and ${plateau.length - names.length} more` : "";
  const equals = plateau.length < 2 ? "" : ` Not told apart from the best: ${names.join(", ")}${more}.`;
  return (
    `Each half of the ${forgetting.numItems} OOD items chose the peak for the other half, which measured it, so that a lucky checkpoint ` +
    `cannot pass for a peak.${seen}${equals}`
  );
}

function describeBranches({ branches, mainBranch }: Trajectory): readonly string[] {
  if (branches.length === 0)
    return ["No RL branch was evaluated, so there is nothing to say about recovery."];
  const isMain = ({ name }: Branch): boolean => name === mainBranch;
  const ordered = [...branches.filter(isMain), ...branches.filter((branch) => !isMain(branch))];
  if (ordered.length <= maxBranchSentences) return ordered.map(describeBranch);
  const shown = ordered.slice(0, maxBranchSentences - 1);
  const names = ordered.slice(shown.length).map(({ name }) => `"${name}"`);
  return [
    ...shown.map(describeBranch),
    `Not described here: ${names.length} more RL branches (${names.join(", ")}).`,
  ];
}

function describeBranch({ name, start, end, gain, recovery, reason }: Branch): string {
  const direction = gain.estimate < 0 ? "lost" : "gained";
  const change =
    gain.pValue < significanceLevel ? `${direction} significantly` : describeUnchanged(start.ood, end.ood);
  return (
    `RL branch "${name}" from ${describePlace(start)}: OOD ${formatPercent(start.ood)} → ${formatPercent(end.ood)}, ` +
    `${change}, ${formatPoints(gain.estimate)} points ${describeEvidence(gain)}, ` +
    `ID ${formatPercent(start.id)} → ${formatPercent(end.id)}; ` +
    `${recovery === undefined ? `no recovery to report, because ${reason}` : describeRecovery(recovery, gain)}.`
  );
}

/** What is said of a branch that did not change significantly: whether it could have. */
function describeUnchanged(start: Tally, end: Tally): string {
  if (start.total < fewestDiscordant || Math.max(start.correct, end.correct) < fewestDiscordant)
    return "which cannot be judged for want of solved items";
  const numUnsolved = start.total - start.correct;
  if (numUnsolved < fewestDiscordant)
    return `no significant change, and no room for a gain with ${numUnsolved} unsolved`;
  return "no significant change";
}

function describeRecovery({ estimate, low, high, gained, lost }: Ratio, gain: Contrast): string {
  const interval = formatInterval({ low, high }, { digits: 0, unit: " %" });
  const loss = `the ${formatPoints(lost)} points lost by then`;
  const isSignificant = gain.pValue < significanceLevel;
  if (low > 0 && isSignificant)
    return `${formatPoints(gained)} of ${loss} came back, ${formatShare(estimate, 0)} (${interval})`;
  if (high < 0)
    return `none of ${loss} came back, it grew by ${formatPoints(-gained)} points (recovery ${formatShare(estimate, 0)} ${interval})`;
  return `no clear recovery, ${formatShare(estimate, 0)} of ${loss} (${interval})`;
}

function describePlace({ stage, step }: Point): string {
  if (stage === "base") return "the base model, before SFT";
  return stage === "rl" ? `RL step ${step}` : `step ${step}`;
}

function describeEvidence({ low, high, pValue, numItems }: Contrast): string {
  return `(${formatInterval({ low, high })}, ${formatPValue(pValue)}, n = ${numItems})`;
}

function formatPercent({ correct, total }: Tally): string {
  return formatShare(correct / total);
}
