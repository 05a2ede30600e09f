/**
 * Which checkpoints in a folder belong to one course of training: an earlier one may have left some behind. A trainer's state
 * repeats the whole log up to its step, so two states of one training agree wherever both speak; where there is no log, times tell.
 */

/** A checkpoint with what tells where it belongs. */
export interface DatedCheckpoint {
  readonly name: string;
  readonly step: number;
  /** When its weights were written, in milliseconds. */
  readonly timeMs: number;
  /** What its state says was logged, by step; none where it has none. */
  readonly history: History;
}

/** Numbers by step, by name. */
export type History = ReadonlyMap<number, Readonly<Record<string, number>>>;

/** One that is none of them, and why. */
export interface LeftOver<Item> {
  readonly item: Item;
  readonly reason: string;
}

/** Times nearer than that say nothing: of what was copied, they are those of copying. */
const nearMs = 60_000;
/** A later step that is older than an earlier one by that much was not trained after it. */
const orderedMs = 600_000;
/** What differs between two reports of the same step. */
const timings = /runtime|per_second|time|flos|memory/i;

/** Parts checkpoints of the newest training from what an earlier one left. */
export function splitLeftOvers<Item extends DatedCheckpoint>(
  items: readonly Item[],
): { readonly kept: readonly Item[]; readonly leftOver: readonly LeftOver<Item>[] } {
  const reference = chooseReference(items);
  const kept: Item[] = [];
  const leftOver: LeftOver<Item>[] = [];
  for (const item of [...items].sort((a, b) => a.step - b.step)) {
    const reason =
      (reference === undefined ? undefined : describeDifference(item, reference)) ??
      findDisorder(item, items);
    if (reason === undefined) kept.push(item);
    else leftOver.push({ item, reason });
  }
  return { kept, leftOver };
}

/** The newest checkpoint that has a log; among those that times do not order, the one that most others agree with. */
function chooseReference<Item extends DatedCheckpoint>(items: readonly Item[]): Item | undefined {
  const logged = items.filter(({ history }) => history.size > 0);
  const newestMs = Math.max(...logged.map(({ timeMs }) => timeMs));
  const countAgreeing = (item: Item): number =>
    logged.filter((other) => findDifference(item.history, other.history) === undefined).length;
  return logged
    .filter(({ timeMs }) => timeMs >= newestMs - nearMs)
    .map((item) => ({ item, count: countAgreeing(item) }))
    .sort((a, b) => b.count - a.count || b.item.step - a.item.step)[0]?.item;
}

/** Where two logs first say different things of one step; `undefined` where they do not, or have no step in common. */
export function findDifference(first: History, second: History): string | undefined {
  for (const [step, numbers] of first)
    for (const [name, value] of Object.entries(numbers)) {
      const other = second.get(step)?.[name];
      if (other !== undefined && !Object.is(other, value) && !timings.test(name))
        return `${name} ${value} at step ${step}, where that says ${other}`;
    }
  return undefined;
}

function describeDifference(item: DatedCheckpoint, reference: DatedCheckpoint): string | undefined {
  const difference = findDifference(item.history, reference.history);
  if (difference === undefined) return undefined;
  const age = item.timeMs < reference.timeMs - nearMs ? "is older and " : "";
  return `it does not continue the others: it ${age}disagrees with ${reference.name}, as its log says ${difference}`;
}

/** Without logs that speak of the same steps, a later step must not be older than an earlier one. */
function findDisorder(item: DatedCheckpoint, others: readonly DatedCheckpoint[]): string | undefined {
  const newer = others.find(
    (other) =>
      other.step < item.step &&
      other.timeMs > item.timeMs + orderedMs &&
      ![...item.history.keys()].some((step) => other.history.has(step)),
  );
  return newer === undefined
    ? undefined
    : `it does not continue the others: it is older than ${newer.name}, a smaller step`;
}
