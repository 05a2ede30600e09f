/** Plans of edits as YAML. */
import { z } from "zod";
import { UsageError } from "../../base/core/index.ts";
import { type Plan, restorables } from "../../weights/surgery/index.ts";
import { describeIssue } from "./issue.ts";
import { readYaml } from "./yaml.ts";

const amountMessage = "must be a count, a fraction below 1, or all";

/** How many singular directions: a count, a fraction below 1, or `all`. */
export const amountSchema = z.union(
  [
    z.literal("all"),
    z
      .number()
      .nonnegative()
      .refine((amount) => amount < 1 || Number.isInteger(amount), amountMessage),
  ],
  amountMessage,
);

const share = z.number().min(0).max(1);

/** Numbers are patterns as well, as in `layers: 3`. */
export const textSchema = z.union([z.string().min(1), z.number().int().nonnegative().transform(String)]);

/** Which matrices. */
export const choiceShape = { layers: textSchema.optional(), matrices: z.string().min(1).optional() };

/** `top` is asked for, so that nothing is restored only where that is said. */
const rankShape = { top: amountSchema, tail: amountSchema.default(0) };

const restoreSchema = z.strictObject({
  operation: z.literal("restore"),
  what: z.enum(restorables),
  ...rankShape,
  strength: share.default(1),
  ...choiceShape,
});

/** Something that a plan does. */
export const operationSchema = z.discriminatedUnion("operation", [
  restoreSchema,
  z.strictObject({ operation: z.literal("rollback"), strength: share.default(1), ...choiceShape }),
  z.strictObject({ operation: z.literal("rescale"), factor: z.number(), ...rankShape, ...choiceShape }),
  z.strictObject({
    operation: z.literal("truncate"),
    keep: amountSchema,
    strength: share.default(1),
    ...choiceShape,
  }),
  z.strictObject({ operation: z.literal("damp"), factor: z.number().default(0.75), ...choiceShape }),
  z.strictObject({ operation: z.literal("rebuild"), ...choiceShape }),
  z.strictObject({
    ...restoreSchema.shape,
    operation: z.literal("scramble"),
    seed: z.number().int().nonnegative().default(1),
  }),
]);

const planSchema = z.strictObject({
  target: z.string().min(1),
  source: z.string().min(1).optional(),
  operations: z.array(operationSchema).min(1),
});

/** Reads a plan. Throws `UsageError`, one sentence naming `source` and the line or the key. */
export function parsePlan(text: string, source: string): Plan {
  const parsed = planSchema.safeParse(readYaml(text, `the plan ${source}`));
  if (parsed.success) return parsed.data;
  throw new UsageError(`Cannot use the plan ${source}: ${describeIssue(parsed.error)}`);
}
