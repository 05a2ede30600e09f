/** Counts over evaluated items; never a percentage without its count. */

import { setting } from "../../base/core/index.ts";
import type { Tally } from "../../base/statistics/index.ts";
import type { Split } from "../environment/index.ts";
import { incompleteOutcomes } from "../rollout/index.ts";
import { notJudged } from "./ask-tasks.ts";
import type { EvaluatedItem } from "./evaluate.ts";

/** What a checkpoint got right on one split. */
export interface SplitResult {
  readonly solved: Tally;
  /**
   * Answers of the right shape, and answers whose values were read right: what is forgotten shows here. Of none where another tool
   * graded.
   */
  readonly format: Tally;
  readonly values: Tally;
  /** Mean cross-entropy of the reference answers' tokens, in nats; null where none was scored. */
  readonly loss: number | null;
  /** Answers by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
}

/** 1 or 0; of a task that was answered several times the fraction of its answers that are right. */
export function solvedFraction({ parts, samples }: Pick<EvaluatedItem, "parts" | "samples">): number {
  return samples === undefined ? Number(parts.solved) : samples.solved / samples.total;
}

/** Counts over the items of one split. */
export function aggregate(items: readonly EvaluatedItem[], split: Split): SplitResult {
  const chosen = items.filter((item) => item.split === split);
  const count = (part: "format" | "values"): Tally => {
    const known = chosen.flatMap(({ parts }) => parts[part] ?? []);
    return { correct: known.filter(Boolean).length, total: known.length };
  };
  const outcomes: Record<string, number> = {};
  for (const { outcome } of chosen) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  const references = chosen.flatMap(({ reference }) => reference ?? []);
  const nats = references.reduce((sum, { negativeLogLikelihood }) => sum + negativeLogLikelihood, 0);
  const numTokens = references.reduce((sum, reference) => sum + reference.numTokens, 0);
  return {
    // Thirds add up to whole numbers, whatever their order.
    solved: {
      correct: Math.round(chosen.reduce((sum, item) => sum + solvedFraction(item), 0) * 1e9) / 1e9,
      total: chosen.length,
    },
    format: count("format"),
    values: count("values"),
    loss: references.length === 0 && chosen.length > 0 ? null : nats / Math.max(1, numTokens),
    outcomes,
  };
}

/** What is wrong with answers of an outcome, and what helps. */
const remedies: Readonly<Record<string, string>> = {
  "cut off": `raise ${setting("maxNewTokens")}`,
  "run on":
    "the model did not end its turn: look for its end token in generation_config.json and its chat template",
  "broken off": "the server ended them: look at its log",
  "no answer": `look at them with ${setting("items")}`,
  "not judged": 'the judge gave no grade: its answer has no {"right": …} or did not come to its end',
};

/** Counts of the answers that did not come to their end, or could not be judged, by outcome; empty where there are none. */
export function countIncomplete(
  outcomes: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const names = [...incompleteOutcomes, notJudged];
  return Object.fromEntries(
    names.map((name) => [name, outcomes[name] ?? 0] as const).filter(([, count]) => count > 0),
  );
}

/** The answers of all results that are not complete, in a sentence with what helps; `undefined` where there are none. */
export function describeIncomplete(
  results: readonly Pick<SplitResult, "outcomes">[],
  maxNewTokens: number,
): string | undefined {
  const outcomes: Record<string, number> = {};
  for (const [name, count] of results.flatMap((one) => Object.entries(one.outcomes)))
    outcomes[name] = (outcomes[name] ?? 0) + count;
  const found = Object.entries(countIncomplete(outcomes));
  if (found.length === 0) return undefined;
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
  const parts = found.map(([name, count]) => {
    const limit = name === "cut off" || name === "run on" ? ` at ${maxNewTokens} tokens` : "";
    return `${count} ${name}${limit} (${remedies[name] ?? ""})`;
  });
  const numIncomplete = sum(found.map(([, count]) => count));
  return `${numIncomplete} of ${sum(Object.values(outcomes))} answers are not complete and count as wrong: ${parts.join(", ")}`;
}
