/** Turns of a rollout as the arrays that the policy objectives are fed with, and minibatches of them. */

import type { Random } from "../base/core/index.ts";
import { normalize, type PackOptions, packSequences, type TokenBatch } from "../engine/model/index.ts";
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
}

/** The feeds of a policy objective for up to `numRows` turns; missing rows are padding that counts for nothing. */
export function feedTurns(
  scored: readonly ScoredTurn[],
  { whole = scored, ...options }: FeedOptions,
): { readonly batch: TokenBatch; readonly feeds: Feeds } {
  const { numRows } = options;
  const numTokens = whole.reduce((sum, { turn }) => sum + turn.logProbs.length, 0);
  const batch = packTurns(
    scored.map(({ turn }) => turn),
    options,
  );
  const { T } = batch.size;
  const spread = (pick: (turn: ScoredTurn) => ArrayLike<number>): Float32Array => {
    const values = new Float32Array(numRows * T);
    for (const [row, item] of scored.entries())
      values.set(pick(item), row * T + item.turn.sequence.numPromptTokens - 1);
    return values;
  };
  const column = (pick: (turn: ScoredTurn) => number): Float32Array => {
    const values = new Float32Array(numRows);
    values.set(scored.map(pick));
    return values;
  };
  const feeds = {
    tokens: batch.tokens,
    targets: batch.targets,
    ...batch.positions,
    tokenWeights: normalize(batch.answerMask, numTokens),
    oldLogProbs: spread(({ turn }) => turn.logProbs),
    startLogProbs: spread(({ startLogProbs }) => startLogProbs),
    referenceLogProbs: spread(({ referenceLogProbs }) => referenceLogProbs),
    advantages: column(({ advantage }) => advantage),
    rowWeights: normalize(
      column(() => 1),
      whole.length,
    ),
    oldValues: column(({ value }) => value),
    returns: column((turn) => turn.return),
    lastPromptRows: lastPromptRows(
      batch,
      scored.map(({ turn }) => turn),
    ),
  };
  return { batch, feeds };
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
