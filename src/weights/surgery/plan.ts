/**
 * Plans: edits of a checkpoint as data. The target is the checkpoint that is edited, the source the one that singular
 * vectors or values are taken from. What an operation does to a matrix is in `edit.ts`, which matrices it takes in
 * `resolve.ts`.
 */
import { UsageError } from "../../base/core/index.ts";

/** How many singular directions: a count, a fraction of the matrix's rank (its short side) below 1, or all. */
export type Amount = number | "all";

/** What `restore` takes from the source: both vectors and the value, both vectors, the value, or one vector. */
export const restorables = ["vectors", "directions", "values", "left", "right"] as const;

/** What of a matrix can be put back. */
export type Restorable = (typeof restorables)[number];

/** Which matrices an operation takes: without patterns all matrices of layers, without layers those of all layers. */
export interface Choice {
  /** Ranges with both ends, as in `0-5,7`. */
  readonly layers?: string | undefined;
  /** Kinds or names separated by commas, `*` standing for any characters. */
  readonly matrices?: string | undefined;
}

/** Which singular directions: the `top` first and the `tail` last ones. */
export interface Ranks {
  readonly top: Amount;
  readonly tail: Amount;
}

/** Puts singular vectors or values of the source in the place of those of the same rank in the target. */
export interface Restore extends Choice, Ranks {
  readonly operation: "restore";
  readonly what: Restorable;
  /** From 0 (nothing) to 1 (wholly): the share of the way from the target to what is restored. */
  readonly strength: number;
}

/** Moves whole tensors toward the source: what restoring is to be compared with. */
export interface Rollback extends Choice {
  readonly operation: "rollback";
  readonly strength: number;
}

/** Multiplies singular values of the target. */
export interface Rescale extends Choice, Ranks {
  readonly operation: "rescale";
  readonly factor: number;
}

/** Keeps only the leading singular directions of the target (LASER, arXiv 2312.13558). */
export interface Truncate extends Choice {
  readonly operation: "truncate";
  readonly keep: Amount;
  readonly strength: number;
}

/** Multiplies the singular values of intruder dimensions of the target (arXiv 2410.21228). */
export interface Damp extends Choice {
  readonly operation: "damp";
  readonly factor: number;
}

/** Decomposes the target and puts it together again: a control, which changes no more than rounding does. */
export interface Rebuild extends Choice {
  readonly operation: "rebuild";
}

/**
 * A control for `restore`: an update with the singular values of the update that restoring would be, in random
 * directions. As large in every norm that does not depend on the basis.
 */
export interface Scramble extends Choice, Ranks {
  readonly operation: "scramble";
  readonly what: Restorable;
  readonly strength: number;
  readonly seed: number;
}

/** Something that a plan does. */
export type Operation = Restore | Rollback | Rescale | Truncate | Damp | Rebuild | Scramble;

/** An edit as data: two checkpoint folders and what is done to matrices, each by one operation at most. */
export interface Plan {
  /** The checkpoint that is edited; it stays as it is. */
  readonly target: string;
  /** The checkpoint that vectors or values come from; absent where no operation needs one. */
  readonly source?: string | undefined;
  readonly operations: readonly Operation[];
}

/** An amount as a count of the `rank` directions there are. Throws `UsageError`, naming `subject`, beyond the rank. */
export function resolveAmount(amount: Amount, rank: number, subject: string): number {
  if (amount === "all") return rank;
  if (amount < 1) return amount === 0 ? 0 : Math.max(1, Math.round(amount * rank));
  if (amount <= rank) return amount;
  throw new UsageError(
    `Cannot take ${amount} singular directions of ${subject}, which has ${rank}; give ${rank} at most, a fraction such as 0.5, or all`,
  );
}

/** The numbers, from 0, of the directions that ranks mean; none twice. Throws `UsageError` as `resolveAmount`. */
export function listRanks({ top, tail }: Ranks, rank: number, subject: string): readonly number[] {
  const numTop = resolveAmount(top, rank, subject);
  const numTail = Math.min(resolveAmount(tail, rank, subject), rank - numTop);
  const leading = Array.from({ length: numTop }, (_, index) => index);
  return [...leading, ...Array.from({ length: numTail }, (_, index) => rank - numTail + index)];
}

/** A text that is the same for operations that say the same, in whatever order they say it. */
export function identifyOperation(operation: Operation): string {
  const fields = Object.entries(operation).filter(([, value]) => value !== undefined);
  return JSON.stringify(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** An operation in a few words, as tables call it: `directions, top 60 %`. */
export function describeOperation(operation: Operation): string {
  const parts = [...describeAction(operation)];
  if ("strength" in operation && operation.strength !== 1) parts.push(`strength ${operation.strength}`);
  return [...parts, ...describeChoice(operation)].join(", ");
}

/** Layers and matrices in words: `layers 0-1`, `q_proj k_proj`; nothing where all are taken. */
export function describeChoice({ layers, matrices }: Choice): readonly string[] {
  return [
    ...(layers === undefined ? [] : [`layer${/[-,]/.test(layers) ? "s" : ""} ${layers}`]),
    ...(matrices === undefined ? [] : [matrices.replaceAll(",", " ")]),
  ];
}

function describeAction(operation: Operation): readonly string[] {
  switch (operation.operation) {
    case "restore":
      return [operation.what, ...describeRanks(operation)];
    case "scramble":
      return [
        `random, as large as ${operation.what}`,
        ...describeRanks(operation),
        ...(operation.seed === 1 ? [] : [`seed ${operation.seed}`]),
      ];
    case "rescale":
      return [`values × ${operation.factor}`, ...describeRanks(operation)];
    case "rollback":
      return ["whole matrices"];
    case "truncate":
      return [`only ${describeAmount("top", operation.keep)}`];
    case "damp":
      return [`intruders × ${operation.factor}`];
    case "rebuild":
      return ["decomposed and rebuilt"];
  }
}

function describeRanks({ top, tail }: Ranks): readonly string[] {
  if (top === "all") return ["all ranks"];
  const parts = [
    ...(top === 0 ? [] : [describeAmount("top", top)]),
    ...(tail === 0 ? [] : [describeAmount("tail", tail)]),
  ];
  return parts.length === 0 ? ["no ranks"] : parts;
}

function describeAmount(end: "top" | "tail", amount: Amount): string {
  if (amount === "all") return `${end} all`;
  return amount > 0 && amount < 1 ? `${end} ${Number((100 * amount).toPrecision(12))} %` : `${end} ${amount}`;
}
