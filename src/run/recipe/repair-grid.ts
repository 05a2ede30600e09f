/** Repair grids as data: repairs of one checkpoint of a run by another, with controls. */
import { z } from "zod";
import { UsageError } from "../../base/core/index.ts";
import { restorables } from "../../weights/surgery/index.ts";
import { amountSchema, operationSchema, textSchema } from "./edit-plan.ts";
import { describeIssue } from "./issue.ts";
import { readYaml } from "./yaml.ts";

/** Every combination of what, ranks, strengths, layers and matrices. */
const gridSchema = z.strictObject({
  what: z.array(z.enum(restorables)).min(1),
  top: z.array(amountSchema).min(1),
  tail: z.array(amountSchema).min(1).default([0]),
  strength: z.array(z.number().min(0).max(1)).min(1).default([1]),
  /** All together, each alone, the first ones up to each, or a list of choices as in `0-1`. */
  layers: z.union([z.enum(["all", "each", "cumulative"]), z.array(textSchema).min(1)]).default("all"),
  /** All of layers together, each kind of them alone, or a list of choices of kinds or names. */
  matrices: z.union([z.enum(["all", "each"]), z.array(z.string().min(1)).min(1)]).default("all"),
  /** Whether each repair has its controls beside it. */
  controls: z.boolean().default(true),
});

/**
 * Checkpoints by what they are in the run's trajectory. `rl-end` is the end of the main branch, `rl-recovered` that of the
 * branch which brought back most of what had been forgotten.
 */
export const milestones = ["base", "peak", "sft-end", "rl-end", "rl-recovered"] as const;

/** A repair grid of a recipe, or of a file. */
export const repairGridSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]*$/, "must be lower-case words joined by hyphens")
    .default("grid"),
  /** The checkpoint that is edited: a milestone, or a checkpoint's name. */
  target: z.string().min(1).default("sft-end"),
  /** The one that vectors and values come from. */
  source: z.string().min(1).default("peak"),
  grid: z.array(z.union([operationSchema, gridSchema])).min(1),
});

/** A grid of repairs with controls. */
export type RepairGrid = z.infer<typeof repairGridSchema>;

/** A combination of choices in a repair grid. */
export type Grid = z.infer<typeof gridSchema>;

/**
 * What a run does by itself: which ranks bring back what SFT forgot, which layers and kinds of matrices; and the other
 * way, what the directions of the SFT end do to an RL checkpoint that recovered.
 */
export const defaultRepairGrids: readonly z.input<typeof repairGridSchema>[] = [
  {
    name: "repair",
    target: "sft-end",
    source: "peak",
    grid: [
      { what: ["directions", "values"], top: [0.1, 0.2, 0.4, 0.6, 0.8, "all"] },
      { what: ["directions"], top: ["all"], layers: "each" },
      { what: ["directions"], top: ["all"], layers: "cumulative", controls: false },
      { what: ["directions"], top: ["all"], matrices: "each", controls: false },
      { operation: "rollback", matrices: "embed_tokens" },
    ],
  },
  {
    name: "reverse",
    target: "rl-recovered",
    source: "sft-end",
    grid: [{ what: ["directions"], top: [0.2, 0.6, "all"] }],
  },
];

/** Reads a repair grid. Throws `UsageError`, one sentence naming `source` and the line or the key. */
export function parseRepairGrid(text: string, source: string): RepairGrid {
  const parsed = repairGridSchema.safeParse(readYaml(text, `the repair grid ${source}`));
  if (parsed.success) return parsed.data;
  throw new UsageError(`Cannot use the repair grid ${source}: ${describeIssue(parsed.error)}`);
}
