/** Turns of a rollout as the arrays that the policy objectives are fed with, and minibatches of them. */

import type { Random } from "../base/core/index.ts";
import {
  chooseRows,
  countAnswerTokens,
  normalize,
  type PackOptions,
  packSequences,
  type ScoredSize,
  type Sequence,
  type TokenBatch,
} from "../engine/model/index.ts";
import { type Feeds, splitList } from "../engine/parallel/index.ts";
import type { Turn } from "../tasks/rollout/index.ts";

/** A turn with everything that its update needs; arrays have one element an answer token. */
export interface ScoredTurn {
  readonly turn: Turn;
  /** log π under the checkpoint that this stage started from. */
  readonly startLogProbs: ArrayLike<number>;
  /** log π under the policy that the KL term pulls toward. */
  readonly referenceLogProbs: ArrayLike<number>;
  /** The advantage that the objective weighs the turn by. */
  readonly advantage: number;
  /** Only the turn-level PPO uses these: V(s) before the update and the return. */
  readonly value: number;
  readonly return: number;
}

/** Turns packed to `numRows` rows. */
export function packTurns(turns: readonly Turn[], options: PackOptions): TokenBatch {
  return packSequences(
    turns.map(({ sequence }) => sequence),
    options,
  );
}

/** How turns are packed. */
export interface FeedOptions extends PackOptions {
  /** The minibatch that the turns are a part of (default: they are the whole). */
  readonly whole?: readonly ScoredTurn[];
  /** Answer tokens of any part of it at most (default: as many as these have). */
  readonly mostTokens?: number;
}

/**
 * The feeds of a policy objective for up to `numRows` turns; missing rows, and what fills up the answer tokens to R, count for nothing. The last prompt
 * token of a turn predicts the first one of its answer, so that its place is among those that are scored.
 */
export function feedTurns(
  scored: readonly ScoredTurn[],
  { whole = scored, mostTokens = 0, ...options }: FeedOptions,
): { readonly size: ScoredSize; readonly feeds: Feeds } {
  const { numRows } = options;
  const batch = packTurns(
    scored.map(({ turn }) => turn),
    options,
  );
  const { B, T } = batch.size;
  const weights = normalize(batch.answerMask, countAnswerTokens(listSequences(whole)));
  const { R, ...rows } = chooseRows(batch.targets, weights, mostTokens);
  const spread = (pick: (turn: ScoredTurn) => ArrayLike<number>): Float32Array =>
    joinTokens(scored.map(pick), R);
  const column = (pick: (turn: ScoredTurn) => number): Float32Array => {
    const values = new Float32Array(numRows);
    values.set(scored.map(pick));
    return values;
  };
  const feeds = {
    tokens: batch.tokens,
    ...batch.positions,
    rows: rows.rows,
    places: rows.places,
    targets: rows.targets,
    tokenWeights: rows.weights,
    oldLogProbs: spread(({ turn }) => turn.logProbs),
    startLogProbs: spread(({ startLogProbs }) => startLogProbs),
    referenceLogProbs: spread(({ referenceLogProbs }) => referenceLogProbs),
    tokenAdvantages: spread(({ turn, advantage }) => turn.logProbs.map(() => advantage)),
    rowTokens: markRows(scored, numRows, R),
    advantages: column(({ advantage }) => advantage),
    rowWeights: normalize(
      column(() => 1),
      whole.length,
    ),
    oldValues: column(({ value }) => value),
    returns: column((turn) => turn.return),
    lastPromptRows: findFirstTokens(scored, numRows),
  };
  return { size: { B, T, R }, feeds };
}

function listSequences(scored: readonly ScoredTurn[]): readonly Sequence[] {
  return scored.map(({ turn }) => turn.sequence);
}

/** The numbers of all turns' tokens one after the other, [R], zeros behind them. */
function joinTokens(numbers: readonly ArrayLike<number>[], R: number): Float32Array {
  const values = new Float32Array(R);
  let start = 0;
  for (const own of numbers) {
    values.set(own, start);
    start += own.length;
  }
  return values;
}

/** Where each row's first answer token is among all. */
function findFirstTokens(scored: readonly ScoredTurn[], numRows: number): Int32Array {
  const first = new Int32Array(numRows);
  let start = 0;
  for (const [row, { turn }] of scored.entries()) {
    first[row] = start;
    start += turn.logProbs.length;
  }
  return first;
}

/** [numRows, R], 1 where an answer token is of a row. */
function markRows(scored: readonly ScoredTurn[], numRows: number, R: number): Float32Array {
  const marks = new Float32Array(numRows * R);
  let start = 0;
  for (const [row, { turn }] of scored.entries()) {
    const end = start + turn.logProbs.length;
    marks.fill(1, row * R + start, row * R + end);
    start = end;
  }
  return marks;
}

/** Row of each sequence's last prompt token in [B·T, E] hidden states. */
export function lastPromptRows({ size: { B, T } }: TokenBatch, turns: readonly Turn[]): Int32Array {
  return Int32Array.from(
    { length: B },
    (_, row) => row * T + (turns[row]?.sequence.numPromptTokens ?? 1) - 1,
  );
}

/** The items in random order, cut into lists of `size`; the last one may be shorter, none is left out. */
export function drawMinibatches<Item>(
  items: readonly Item[],
  size: number,
  random: Random,
): readonly (readonly Item[])[] {
  return splitList(random.shuffle(items), size);
}
