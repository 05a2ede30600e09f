/** A trajectory in sentences for someone who has not seen one before. */
import { formatPoints, formatPValue, formatShare, type Tally } from "../../base/statistics/index.ts";
import type { Branch } from "./branch.ts";
import { type Contrast, significanceLevel } from "./contrast.ts";
import type { Point } from "./point.ts";
import type { Ratio } from "./recovery.ts";
import { fewestDiscordant, statedPower } from "./sensitivity.ts";
import type { Trajectory } from "./trajectory.ts";

const maxBranchSentences = 4;

/**
 * Three to six plain sentences: what was forgotten, how that was measured, and what each RL branch brought back
 * (the main branch first; beyond four branches, the first three and a count of the rest). Percentages of peak and
 * SFT end are those of the held-out half, so that they differ by the forgetting stated; brackets hold intervals.
 * Differences with p ≥ 0.05 are called not significant; where no difference could have been significant, that is said instead.
 */
export function describeTrajectory(trajectory: Trajectory): string[] {
  return [describeForgetting(trajectory), describeMethod(trajectory), ...describeBranches(trajectory)];
}

function describeForgetting({ peak, sftEnd, forgetting, unjudgedBecause }: Trajectory): string {
  if (unjudgedBecause !== undefined)
    return (
      `Whether OOD accuracy was forgotten cannot be judged (${formatPercent(peak.ood)} at ${describePlace(peak)}, the best, ` +
      `${formatPercent(sftEnd.ood)} at ${describePlace(sftEnd)}): ${unjudgedBecause}.`
    );
  if (peak.checkpoint === sftEnd.checkpoint) {
    return (
      `OOD accuracy was highest at the last SFT checkpoint (${describePlace(peak)}, ` +
      `${formatPercent(peak.oodHeldOut)}): no forgetting to report.`
    );
  }
  const evidence = describeEvidence(forgetting);
  const [top, bottom] = [formatPercent(peak.oodHeldOut), formatPercent(sftEnd.oodHeldOut)];
  if (forgetting.pValue < significanceLevel && forgetting.estimate > 0) {
    return (
      `OOD accuracy peaked at ${describePlace(peak)} (${top}) and fell to ${bottom} by ${describePlace(sftEnd)}: ` +
      `${formatPoints(forgetting.estimate)} points forgotten ${evidence}.`
    );
  }
  return (
    `OOD accuracy was ${top} at ${describePlace(peak)}, the peak, and ${bottom} at ${describePlace(sftEnd)}: ` +
    `no significant forgetting, ${formatPoints(forgetting.estimate)} points ${evidence}.`
  );
}

function describeMethod({ peak, forgetting, detectableLoss }: Trajectory): string {
  const seen =
    detectableLoss === undefined
      ? ""
      : ` On so many, a loss of ${formatPoints(detectableLoss)} points is noticed in ${formatShare(statedPower, 0)} of cases, a smaller one less often.`;
  return (
    `The peak was chosen on ${peak.ood.total - forgetting.numItems} of the ${peak.ood.total} OOD items, and ` +
    `forgetting and recovery are measured on the other ${forgetting.numItems}, so that a lucky checkpoint ` +
    `cannot pass for a peak.${seen}`
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

function describeRecovery({ estimate, low, high, numItems }: Ratio, gain: Contrast): string {
  const interval = `[${formatShare(low, 0)}, ${formatShare(high, 0)}], n = ${numItems}`;
  const isSignificant = gain.pValue < significanceLevel;
  if (low > 0 && isSignificant) return `${formatShare(estimate, 0)} of the loss came back (${interval})`;
  if (high < 0)
    return `none of the loss came back, it grew by ${formatShare(-estimate, 0)} (recovery ${interval})`;
  return `no clear recovery, ${formatShare(estimate, 0)} of the loss (${interval})`;
}

function describePlace({ stage, step }: Point): string {
  if (stage === "base") return "the base model, before SFT";
  return stage === "rl" ? `RL step ${step}` : `step ${step}`;
}

function describeEvidence({ low, high, pValue, numItems }: Contrast): string {
  return `([${formatPoints(low)}, ${formatPoints(high)}], ${formatPValue(pValue)}, n = ${numItems})`;
}

function formatPercent({ correct, total }: Tally): string {
  return formatShare(correct / total);
}
