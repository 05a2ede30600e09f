/** Fields that recipes of both kinds have: of a run's own training, and of trainings that are followed. */
import { z } from "zod";

/** A count of at least one. */
export const count = z.number().int().positive();
/** A share, from none to all. */
export const fraction = z.number().min(0).max(1);
/** Steps of a stage, at least one. */
export const steps = z.array(count).min(1);
/** Most of what one step holds in memory at once. */
const mostAtOnce = 2 ** 14;
/** Most of what is kept in memory for the whole of a stage or an evaluation. */
const mostKept = 1_000_000;
/** What one step holds in memory at once. */
export const batch = count.max(mostAtOnce);
/** What is kept in memory for the whole of a stage or an evaluation. */
export const many = count.max(mostKept);

/** The most that an evaluation may be asked for, in a recipe or by a command. */
export const evaluationLimits = {
  numTasks: mostKept,
  numAttempts: mostAtOnce,
  maxNewTokens: mostKept,
} as const;

/** How checkpoints are evaluated. */
export const evaluationSchema = z.strictObject({
  /** Tasks per split; even-numbered ones choose the peak, odd-numbered ones measure. */
  numTasks: many.min(2),
  seed: z.number().int().nonnegative().default(1),
  numAttempts: batch.default(1),
  maxNewTokens: many.default(32),
  batchSize: batch.default(128),
});

/** How weights are compared. */
export const spectraSchema = z.strictObject({
  /** Ranks of the subspaces to compare. */
  ranks: z.array(count).min(1).default([8, 32]),
});

/** The name of a recipe or a branch, which becomes part of paths. */
export const nameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]*$/, "must be lower-case words joined by hyphens");
