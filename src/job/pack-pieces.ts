/** Pieces put together into packs: what one process of an executor carries out. */
import type { Piece } from "./job-plan.ts";

/** What a process of an executor is given. */
export interface Resources {
  readonly cores: number;
  readonly bytes: number;
  /** Until it is ended by the scheduler. */
  readonly seconds: number;
}

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
  /** What a piece's memory and time are multiplied by, after it ran out of them before. */
  readonly raise: (piece: number) => { readonly bytes: number; readonly seconds: number };
}

/** What a process takes before it does anything, and what its work may take however small it is. */
const [processBytes, leastWorkBytes] = [2 ** 29, 2 ** 29];

/** Memory that a process with so much may plan its work with. */
export function countWorkBytes({ bytes }: Resources): number {
  return Math.max(bytes / 4, bytes - processBytes);
}

/** A time limit is generous: estimates are rough and machines differ. */
const [spareSeconds, spareFactor] = [600, 4];

/**
 * Packs of pieces, those that need about the same memory in one group. Within a group the longest pieces come first, alone where
 * they take `leastSeconds`, else together until they do.
 */
export function packPieces(
  wanted: readonly { readonly index: number; readonly piece: Piece }[],
  rule: PackRule,
): readonly PackGroup[] {
  const groups = new Map<number, { index: number; seconds: number; limit: number }[]>();
  for (const { index, piece } of wanted) {
    const raised = rule.raise(index);
    const needed = processBytes + Math.max(leastWorkBytes, piece.bytes);
    // Steps of a quarter of a doubling: few groups, and little memory that nobody uses.
    const bytes =
      (rule.bytes ?? 2 ** 30 * 2 ** (Math.ceil(4 * Math.log2(needed / 2 ** 30)) / 4)) * raised.bytes;
    const limit = raised.seconds * (rule.seconds ?? spareFactor * piece.seconds);
    const group = groups.get(bytes) ?? [];
    group.push({ index, seconds: piece.seconds, limit });
    groups.set(bytes, group);
  }
  return [...groups].map(([bytes, pieces]) => {
    const packs = fillPacks(pieces, rule.leastSeconds);
    const most = Math.max(...packs.map((pack) => pack.reduce((sum, { limit }) => sum + limit, 0)));
    const longest = Math.max(...pieces.map(({ limit }) => limit));
    return {
      packs: packs.map((pack) => pack.map(({ index }) => index)),
      resources: {
        cores: rule.cores,
        bytes: Math.ceil(bytes),
        seconds: Math.ceil(rule.seconds === undefined ? spareSeconds + most : longest),
      },
    };
  });
}

function fillPacks<Timed extends { readonly seconds: number }>(
  pieces: readonly Timed[],
  leastSeconds: number,
): readonly (readonly Timed[])[] {
  const packs: Timed[][] = [];
  let room = 0;
  for (const piece of [...pieces].sort((a, b) => b.seconds - a.seconds)) {
    const last = packs.at(-1);
    if (last === undefined || room <= 0) {
      packs.push([piece]);
      room = leastSeconds;
    } else last.push(piece);
    room -= piece.seconds;
  }
  return packs;
}
