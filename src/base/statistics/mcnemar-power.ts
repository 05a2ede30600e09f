/** How likely the mid-p McNemar test is to notice a difference, and the smallest loss that it notices. */
import { binomialMass } from "./binomial.ts";
import { mcnemarMidP } from "./mcnemar.ts";

/** Two solvers of the same items, as they are in truth. */
export interface DiscordantShares {
  readonly numItems: number;
  /** Probability that only the first solves an item, and that only the second does; their sum is at most 1. */
  readonly onlyFirst: number;
  readonly onlySecond: number;
}

/**
 * The probability that the two-sided mid-p McNemar test finds the first solver better: p below `level` with more items that only
 * the first solved. The number of discordant items is Binomial(n, onlyFirst + onlySecond); given it, they fall either way
 * independently. Totals whose probability is below 10⁻¹² of the whole are left out. Throws `RangeError` for shares that are none.
 * As the exact form of Miettinen, "The matched pairs design in the case of all-or-none responses", Biometrics 1968.
 */
export function mcnemarPower({ numItems, onlyFirst, onlySecond }: DiscordantShares, level: number): number {
  const discordance = onlyFirst + onlySecond;
  if (!(onlyFirst >= 0 && onlySecond >= 0 && discordance <= 1 + 1e-12))
    throw new RangeError(`Cannot split items into shares of ${onlyFirst} and ${onlySecond}`);
  if (discordance === 0) return 0;
  const total = { n: numItems, probability: Math.min(1, discordance) };
  const spread = 8 * Math.sqrt(numItems * total.probability * (1 - total.probability)) + 8;
  const first = Math.max(0, Math.floor(numItems * total.probability - spread));
  const last = Math.min(numItems, Math.ceil(numItems * total.probability + spread));
  let power = 0;
  for (let n = first, critical = -1; n <= last; n++) {
    while (isFound(critical + 1, { n, level })) critical++;
    let found = 0;
    for (let k = 0; k <= critical; k++)
      found += binomialMass(k, { n, probability: onlySecond / discordance });
    power += binomialMass(n, total) * found;
  }
  return Math.min(1, power);
}

/** Whether so few of n discordant items on the other side make a significant difference. */
function isFound(fewer: number, { n, level }: { readonly n: number; readonly level: number }): boolean {
  return 2 * fewer < n && mcnemarMidP({ onlyFirst: n - fewer, onlySecond: fewer }) < level;
}

/** What a loss is looked for with. */
export interface LossSearch {
  readonly numItems: number;
  /** Items that the first solver solves: no more can be lost. */
  readonly numSolved: number;
  /** Probability that an item is solved by one of the two only, without any loss: half of it falls either way. */
  readonly churn: number;
  /** Significance level of the two-sided test. */
  readonly level: number;
  /** The probability of noticing it that is asked for. */
  readonly power: number;
}

/**
 * The smallest loss, in items, that the mid-p McNemar test notices with the power asked for; `undefined` where not even the loss of
 * everything that is solved would be noticed so.
 */
export function findDetectableLoss({
  numItems,
  numSolved,
  churn,
  level,
  power,
}: LossSearch): number | undefined {
  const isNoticed = (numLost: number): boolean => {
    const loss = numLost / numItems;
    const either = Math.min(churn, 1 - loss) / 2;
    return mcnemarPower({ numItems, onlyFirst: loss + either, onlySecond: either }, level) >= power;
  };
  if (!isNoticed(numSolved)) return undefined;
  let [least, most] = [0, numSolved];
  while (most - least > 1) {
    const middle = Math.floor((least + most) / 2);
    if (isNoticed(middle)) most = middle;
    else least = middle;
  }
  return most;
}

/** What a number of items is looked for with. */
export interface ItemSearch extends Omit<LossSearch, "numItems" | "numSolved"> {
  /** The loss of accuracy to be noticed, in (0, 1]. */
  readonly loss: number;
  /** More items than these are not looked for. */
  readonly mostItems: number;
}

/**
 * How many items the mid-p McNemar test takes to notice a loss with the power asked for; `undefined` where it is more than `mostItems`.
 * Throws `RangeError` for a loss outside (0, 1].
 */
export function findNumItems({ loss, churn, level, power, mostItems }: ItemSearch): number | undefined {
  if (!(loss > 0 && loss <= 1)) throw new RangeError(`Cannot look for a loss of ${loss}`);
  const either = Math.min(churn, 1 - loss) / 2;
  const isEnough = (numItems: number): boolean =>
    mcnemarPower({ numItems, onlyFirst: loss + either, onlySecond: either }, level) >= power;
  let most = 1;
  while (!isEnough(most)) {
    if (most >= mostItems) return undefined;
    most = Math.min(2 * most, mostItems);
  }
  let least = Math.floor(most / 2);
  while (most - least > 1) {
    const middle = Math.floor((least + most) / 2);
    if (isEnough(middle)) most = middle;
    else least = middle;
  }
  return most;
}
