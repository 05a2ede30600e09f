/** Pieces put together into packs: what one process of an executor carries out. */
import type { Resources } from "../executor/index.ts";
import type { Piece } from "./job-plan.ts";

/** Packs that take alike, and so are asked for together. */
export interface PackGroup {
  /** Positions of pieces in their plan, pack by pack; the packs that take longest come first. */
  readonly packs: readonly (readonly number[])[];
  readonly resources: Resources;
}

/** How packs are made. */
export interface PackRule {
  /** A process is not worth starting for less: a scheduler takes about a second for each. */
  readonly leastSeconds: number;
  readonly cores: number;
  /** Memory of every process, in place of what the pieces are estimated to take. */
  readonly bytes?: number | undefined;
  /** Time limit of every process, in place of the estimate. */
  readonly seconds?: number | undefined;
  /** What was learned of a piece from how its packs ended. */
  readonly learned: (piece: number) => Learned;
}

/** What memory and time are multiplied by, after they did not suffice; and whether others would suffer with it. */
export interface Learned {
  readonly bytes: number;
  readonly seconds: number;
  readonly isAlone: boolean;
}

/** What a process takes before it does anything. */
const processBytes = 2 ** 29;
/** What its work may take, however small it is. */
const leastWorkBytes = 2 ** 29;

/** Memory that a process with so much may plan its work with. */
export function countWorkBytes({ bytes }: Pick<Resources, "bytes">): number {
  return Math.max(bytes / 4, bytes - processBytes);
}

/** A time limit is generous, because estimates are rough and machines differ: by this much more. */
const spareSeconds = 600;
/** And by this factor. */
const spareFactor = 4;

interface Wanted {
  readonly index: number;
  readonly piece: Piece;
}

interface Sized extends Wanted, Learned {}

/**
 * Packs of pieces, those that need about the same memory in one group. Within a group the longest pieces come first, alone where
 * they take `leastSeconds` or have failed before, else together until they do.
 */
export function packPieces(wanted: readonly Wanted[], rule: PackRule): readonly PackGroup[] {
  const groups = new Map<number, Sized[]>();
  for (const one of wanted) {
    const learned = rule.learned(one.index);
    const needed = processBytes + Math.max(leastWorkBytes, one.piece.bytes);
    // Steps of a quarter of a doubling: few groups, and little memory that nobody uses.
    const rounded = 2 ** 30 * 2 ** (Math.ceil(4 * Math.log2(needed / 2 ** 30)) / 4);
    const bytes = Math.ceil((rule.bytes ?? rounded) * learned.bytes);
    groups.set(bytes, [...(groups.get(bytes) ?? []), { ...one, ...learned }]);
  }
  return [...groups].map(([bytes, pieces]) => {
    const packs = fillPacks(pieces, rule.leastSeconds);
    const limits = packs.map((pack) => {
      const estimated = pack.reduce((sum, { piece }) => sum + spareFactor * piece.seconds, spareSeconds);
      return (rule.seconds ?? estimated) * Math.max(...pack.map(({ seconds }) => seconds));
    });
    const seconds = Math.ceil(Math.max(...limits));
    return {
      packs: packs.map((pack) => pack.map(({ index }) => index)),
      resources: { cores: rule.cores, bytes, seconds },
    };
  });
}

function fillPacks(pieces: readonly Sized[], leastSeconds: number): readonly (readonly Sized[])[] {
  const packs: Sized[][] = [];
  let room = 0;
  for (const one of [...pieces].sort((a, b) => b.piece.seconds - a.piece.seconds)) {
    const last = packs.at(-1);
    if (last === undefined || room <= 0 || one.isAlone) {
      packs.push([one]);
      room = leastSeconds;
    } else last.push(one);
    room = one.isAlone ? 0 : room - one.piece.seconds;
  }
  return packs;
}
