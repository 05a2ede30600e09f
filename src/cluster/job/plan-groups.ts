/** What would be submitted: pieces that are wanted, as packs that are asked for by what earlier tries have taught. */
import type { Cause, Executor } from "../executor/index.ts";
import type { KeptSubmission } from "./job-folder.ts";
import type { Piece } from "./job-plan.ts";
import { type Learned, type PackGroup, type PackRule, packPieces } from "./pack-pieces.ts";

/** What became of a piece so far. */
export interface PieceHistory {
  /** It is in a pack that is not known to have ended. */
  readonly isOpen: boolean;
  /** How its packs ended, those included that were forgiven. */
  readonly causes: readonly Cause[];
  /** Those that count: nobody has asked to try again since. */
  readonly counted: readonly Cause[];
  /** The longest time after which it was ended for taking too long, in seconds. */
  readonly timedOut: number;
}

const nothing: PieceHistory = { isOpen: false, causes: [], counted: [], timedOut: 0 };

/** Histories of pieces by their positions; those that were never submitted have none. */
export function listHistory(submissions: readonly KeptSubmission[]): ReadonlyMap<number, PieceHistory> {
  const history = new Map<number, PieceHistory>();
  for (const { packs, ended, isForgiven, resources } of submissions)
    for (const [pack, pieces] of packs.entries()) {
      const end = ended[pack];
      const added = end === undefined || end.isForgiven === true ? [] : [end.cause];
      for (const piece of pieces) {
        const before = history.get(piece) ?? nothing;
        history.set(piece, {
          isOpen: before.isOpen || end === undefined,
          causes: [...before.causes, ...added],
          counted: isForgiven ? before.counted : [...before.counted, ...added],
          timedOut: added.includes("time") ? Math.max(before.timedOut, resources.seconds) : before.timedOut,
        });
      }
    }
  return history;
}

/** How packs are made, but for what was learned of pieces. */
export type PlainRule = Omit<PackRule, "learned">;

/** Groups to submit, and pieces that would only run out of time again. */
export interface PlannedGroups {
  readonly groups: readonly PackGroup[];
  readonly tooLong: readonly number[];
}

/** Groups of the wanted pieces, within what the executor allows. Throws `UnreachableError` where it cannot say. */
export async function planGroups(
  wanted: readonly { readonly index: number; readonly piece: Piece }[],
  {
    history,
    rule,
    executor,
  }: {
    readonly history: ReadonlyMap<number, PieceHistory>;
    readonly rule: PlainRule;
    readonly executor: Executor;
  },
): Promise<PlannedGroups> {
  const groups: PackGroup[] = [];
  const tooLong: number[] = [];
  const learned = (index: number): Learned => learn(history.get(index) ?? nothing, rule);
  for (const group of packPieces(wanted, { ...rule, learned })) {
    const resources = (await executor.fit?.(group.resources)) ?? group.resources;
    const isCut = resources.seconds < group.resources.seconds;
    const isTooLong = (piece: number): boolean =>
      isCut && (history.get(piece)?.timedOut ?? 0) >= resources.seconds;
    const packs = group.packs.filter((pieces) => !pieces.some(isTooLong));
    tooLong.push(...group.packs.filter((pieces) => pieces.some(isTooLong)).flat());
    if (packs.length > 0) groups.push({ packs, resources });
  }
  return { groups, tooLong };
}

/** Causes that are a piece's own: it is tried by itself then. */
const ownCauses: readonly Cause[] = ["completed", "failed", "memory", "time"];

/** What the user names is what is asked for, until that is too little again. */
function learn({ causes, counted }: PieceHistory, rule: PlainRule): Learned {
  const factor = (cause: Cause, given: number | undefined): number =>
    2 ** (given === undefined ? causes : counted).filter((one) => one === cause).length;
  return {
    bytes: factor("memory", rule.bytes),
    seconds: factor("time", rule.seconds),
    isAlone: causes.some((cause) => ownCauses.includes(cause)),
  };
}
