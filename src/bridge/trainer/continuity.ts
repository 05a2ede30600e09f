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
  const training = chooseTraining(items);
  const kept: Item[] = [];
  const leftOver: LeftOver<Item>[] = [];
  for (const item of [...items].sort((a, b) => a.step - b.step)) {
    const reason = findContradiction(item, training) ?? findDisorder(item, items);
    if (reason === undefined) kept.push(item);
    else leftOver.push({ item, reason });
  }
  return { kept, leftOver };
}

/**
 * Checkpoints with logs of which no two disagree: around the newest one; among those that times do not order, around the one that
 * gathers most, or else goes furthest. The longest logs join first: short ones agree with everything.
 */
function chooseTraining<Item extends DatedCheckpoint>(items: readonly Item[]): readonly Item[] {
  const logged = items
    .filter(({ history }) => history.size > 0)
    .sort((a, b) => b.history.size - a.history.size || b.step - a.step);
  const newestMs = Math.max(...logged.map(({ timeMs }) => timeMs));
  const gather = (first: Item): readonly Item[] => {
    const members = [first];
    for (const item of logged)
      if (item !== first && findContradiction(item, members) === undefined) members.push(item);
    return members;
  };
  const lastStep = (members: readonly Item[]): number => Math.max(...members.map(({ step }) => step));
  const trainings = logged.filter(({ timeMs }) => timeMs >= newestMs - nearMs).map(gather);
  return trainings.sort((a, b) => b.length - a.length || lastStep(b) - lastStep(a))[0] ?? [];
}

/** What the first member says that an item disagrees with; `undefined` where there is none. */
function findContradiction(item: DatedCheckpoint, members: readonly DatedCheckpoint[]): string | undefined {
  for (const member of members) {
    const reason = member === item ? undefined : describeDifference(item, member);
    if (reason !== undefined) return reason;
  }
  return undefined;
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
