/**
 * Whether a loss could have shown at all, and how large it had to be: "no significant forgetting" says nothing where there was
 * nothing to lose, or where the items are too few.
 */
import {
  binomialUpperTail,
  findDetectableLoss,
  formatShare,
  groupedMean,
  mcnemarMidP,
  normalQuantile,
  studentQuantile,
} from "../../base/statistics/index.ts";
import { countSolved } from "./checkpoint-outcome.ts";
import { type Differences, type SolvedPair, significanceLevel, takeDifferences } from "./contrast.ts";

/** What a comparison of two checkpoints could have seen. */
export interface Sensitivity {
  /** The smallest loss of accuracy, in (0, 1], that would be significant with a probability of 80 %; absent where none would. */
  readonly detectableLoss?: number;
  /** In plain words, why a loss cannot be judged; absent where it can. */
  readonly unjudgedBecause?: string;
}

/** The probability of noticing a loss that `detectableLoss` is stated for. */
export const statedPower = 0.8;

/** The fewest items that must differ, all to one side, for the mid-p McNemar test to be significant: 5. */
export const fewestDiscordant: number = Array.from({ length: 64 }, (_, count) => count).findIndex(
  (onlyFirst) => mcnemarMidP({ onlyFirst, onlySecond: 0 }) < significanceLevel,
);

/**
 * What a loss from the first checkpoint to the second had to be to show. Items that only one of the two solved, beyond the net
 * difference, count as answers that change without loss. Where items hang together in groups or were answered several times, the loss is
 * that at which the t of group means, as uncertain as it was here, is large enough. `level` is that of the test, which is stricter where many checkpoints might be
 * the first. `chance` is the share of items that guessing solves: a first checkpoint
 * that is not above it (one-sided binomial p ≥ 0.05) has nothing to lose.
 */
export function measureSensitivity(
  pair: SolvedPair,
  { chance, level }: { readonly chance: number; readonly level: number },
): Sensitivity {
  const { first, second } = pair;
  // Of an item answered several times, any right answer can be lost.
  const [numItems, numSolved] = [first.length, first.filter((solved) => Number(solved) > 0).length];
  const because = findFloor({ numItems, numSolved, numRight: Math.round(countSolved(first)), chance });
  if (because !== undefined) return { unjudgedBecause: because };
  const differences = takeDifferences(pair);
  if (!differences.isPlain) return measureGrouped(differences, { level, share: numSolved / numItems });
  const onlyFirst = first.filter((solved, item) => Number(solved) > Number(second[item] ?? 0)).length;
  const onlySecond = second.filter((solved, item) => Number(solved) > Number(first[item] ?? 0)).length;
  const churn = (2 * Math.min(onlyFirst, onlySecond)) / numItems;
  const search = { numItems, numSolved, churn, level, power: statedPower };
  const loss = findDetectableLoss(search);
  if (loss !== undefined) return { detectableLoss: loss / numItems };
  return {
    unjudgedBecause:
      `on ${numItems} items, of which ${formatShare(churn)} are solved by one of the two checkpoints only and ` +
      "without a loss, not even losing everything would show; ask more of them",
  };
}

/** The same where the variance is that of group sums. */
function measureGrouped(
  { groups, items }: Differences,
  { level, share }: { readonly level: number; readonly share: number },
): Sensitivity {
  const { bound, degrees } = groupedMean(groups);
  const { low, high } = bound(1);
  const error = (high - low) / 2;
  const loss = error * (studentQuantile(1 - level / 2, degrees) + normalQuantile(statedPower));
  if (loss <= share) return { detectableLoss: loss };
  return {
    unjudgedBecause: `on ${items.length} items in ${groups.sums.length} groups not even losing everything would show; ask more of them`,
  };
}

/** The floor that a loss from it cannot be told from nothing, in plain words. */
function findFloor({
  numItems,
  numSolved,
  numRight,
  chance,
}: {
  readonly numItems: number;
  readonly numSolved: number;
  readonly numRight: number;
  readonly chance: number;
}): string | undefined {
  const of = `${numRight} of the ${numItems} items`;
  if (numItems < fewestDiscordant)
    return `${numItems} items are too few for any loss to show, it takes ${fewestDiscordant}; ask more of them`;
  if (chance > 0 && binomialUpperTail(numRight, { n: numItems, probability: chance }) >= significanceLevel)
    return `the best checkpoint solves ${of}, which guessing may as well (${formatShare(chance)}); ask what the base model can answer, or more`;
  if (numSolved < fewestDiscordant)
    return `the best checkpoint solves ${of}, and a loss shows from ${fewestDiscordant} on; ask what the base model can answer, or more`;
  return undefined;
}
