/** Tasks of general points from three sources: a number, a user's JSON, and back to a line for people. */
import { z } from "zod";
import { createRandom, UsageError } from "../../../base/core/index.ts";
import type { PromptFormat, TaskRequest } from "../environment.ts";
import { cardNames, dealTask, type GeneralPointsTask, nameCard, splitRules, valueCards } from "./hand.ts";
import { findSteps, isSolvable } from "./solver.ts";

/** Which hands are dealt: those that have an answer in that prompt format. */
const acceptHand: { readonly [R in PromptFormat]: (values: readonly number[]) => boolean } = {
  compact: (values) => findSteps(values) !== undefined,
  chat: isSolvable,
};

/** The hand of that number, dealt again until it is solvable in that prompt format. */
export function createTask(request: TaskRequest): GeneralPointsTask {
  const { split, promptFormat, seed, index } = request;
  return dealTask(createRandom(seed + index, "general-points", split, promptFormat), {
    split,
    rule: splitRules[split],
    accept: acceptHand[promptFormat],
  });
}

const taskSchema = z.strictObject({
  cards: z.array(z.union([z.string(), z.number()])).length(4),
  rule: z.enum(["id", "ood"]),
});

/**
 * A hand from a user's JSON, e.g. {"cards": ["A", "5", "J", 10], "rule": "ood"}; T is 10, and 11, 12, 13 are J, Q, K.
 * Throws `UsageError` on any other shape and on hands that no formula takes to 24.
 */
export function parseTask(value: unknown): GeneralPointsTask {
  const parsed = taskSchema.safeParse(value);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path[0];
    const place = where === undefined ? "" : ` at "${String(where)}"`;
    throw new UsageError(
      `Cannot read the hand${place}: write it like {"cards": ["A", "5", "J", "10"], "rule": "id"}, the rule "id" or "ood"`,
    );
  }
  const task = { cards: parsed.data.cards.map(parseCard), rule: splitRules[parsed.data.rule] };
  if (!isSolvable(valueCards(task))) {
    throw new UsageError(
      `Cannot play ${describeTask(task)}: no formula of these values is 24, so choose other cards`,
    );
  }
  return task;
}

function parseCard(card: string | number): number {
  const name = String(card).toUpperCase();
  const named = cardNames.indexOf(name) + 1;
  if (named > 0) return named;
  if (name === "T") return 10;
  if (/^1[123]?$/.test(name)) return Number(name);
  throw new UsageError(`Cannot read the card "${card}": use A, 2 to 10, J, Q or K, or a number from 1 to 13`);
}

/** `5 J 3 A with J = 10, Q = 10, K = 10`. */
export function describeTask(task: GeneralPointsTask): string {
  const { J, Q, K } = task.rule;
  return `${task.cards.map(nameCard).join(" ")} with J = ${J}, Q = ${Q}, K = ${K}`;
}
