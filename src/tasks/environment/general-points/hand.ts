/** A hand of four cards under a stated value for the face cards: names, values, and dealing. */
import type { Random } from "../../../base/core/index.ts";
import type { Split } from "../environment.ts";

/** What J, Q and K count. */
export interface Rule {
  readonly J: number;
  readonly Q: number;
  readonly K: number;
}

/** Four ranks 1..13 in the order shown (1 is the ace; 11, 12, 13 are J, Q, K), and the rule that values them. */
export interface GeneralPointsTask {
  readonly cards: readonly number[];
  readonly rule: Rule;
}

/** The value that every hand must reach. */
export const target = 24;

/** The rule of each split. */
export const splitRules: { readonly [S in Split]: Rule } = {
  id: { J: 10, Q: 10, K: 10 },
  ood: { J: 11, Q: 12, K: 13 },
};

/** The names of ranks 1..13. */
export const cardNames: readonly string[] = [
  "A",
  "2",
  "3",
  "4",
  "5",
  "6",
  "7",
  "8",
  "9",
  "10",
  "J",
  "Q",
  "K",
];

/** The name of a rank 1..13. Throws `RangeError` on another number. */
export function nameCard(rank: number): string {
  const name = cardNames[rank - 1];
  if (name === undefined) throw new RangeError(`Cannot name card ${rank}: ranks are 1 to 13`);
  return name;
}

/** The values of the cards under the rule, in the order shown. */
export function valueCards(task: GeneralPointsTask): readonly number[] {
  const { J, Q, K } = task.rule;
  return task.cards.map((rank) => (rank === 11 ? J : rank === 12 ? Q : rank === 13 ? K : rank));
}

/** Four ranks: independent draws from 1..13; out of distribution one of them is a face card, anywhere. */
export function dealCards(random: Random, split: Split): readonly number[] {
  const rank = (): number => random.integer(1, 13);
  if (split === "id") return [rank(), rank(), rank(), rank()];
  return random.shuffle([rank(), rank(), rank(), random.integer(11, 13)]);
}

/** Deals under the rule until `accept` likes the values. */
export function dealTask(
  random: Random,
  options: { readonly split: Split; readonly rule: Rule; accept(values: readonly number[]): boolean },
): GeneralPointsTask {
  for (;;) {
    const task = { cards: dealCards(random, options.split), rule: options.rule };
    if (options.accept(valueCards(task))) return task;
  }
}
