/** What a run is asked that follows the checkpoints of another trainer, and the lineage file that says what cannot be guessed of them. */
import { z } from "zod";
import { action, UsageError } from "../../base/core/index.ts";
import { identityShape } from "../../bridge/endpoint/index.ts";
import { describeIssue } from "./issue.ts";
import { count, evaluationSchema, nameSchema, spectraSchema } from "./recipe-fields.ts";
import { defaultRepairGrids, repairGridSchema } from "./repair-grid.ts";
import { readYaml } from "./yaml.ts";

/** A path that stays in the folder it is relative to. */
const innerPath = z
  .string()
  .min(1)
  .refine(
    (path) => !path.startsWith("/") && !path.split("/").includes(".."),
    "must be a path inside the folder",
  );

const trainingSchema = z.strictObject({
  /** Where its step folders lie; or a model by itself. */
  folder: z.string().min(1),
  stage: z.enum(["sft", "rl"]),
  /** Of RL: the name of its branch. */
  branch: nameSchema
    .refine((name) => name !== "sft" && name !== "base", "must be another name: that one is taken")
    .optional(),
  /** Of RL: the SFT step that it started from; absent means the last one. */
  from: z.number().int().nonnegative().optional(),
  /** How its step folders are named, with `{step}` for the number; absent means as trainers name them. */
  steps: innerPath
    .refine((pattern) => pattern.split("{step}").length === 2, "must hold {step} once, for the number")
    .optional(),
  /** Where in a step folder the weights lie; absent means where trainers put them. */
  weights: innerPath.optional(),
  /** Steps that were taken before its own, where it goes on from another folder of its stage and counts anew. */
  after: count.optional(),
});

/** What a run was asked that follows the checkpoints of another trainer. */
export const followRecipeSchema = z.strictObject({
  name: nameSchema,
  summary: z.string().min(1),
  seed: z.number().int().nonnegative().default(1),
  follow: z.strictObject({
    /** Folder of the model that was trained. */
    base: z.string().min(1).optional(),
    trainings: z.array(trainingSchema).min(1),
  }),
  /** What the checkpoints are asked, once they are. */
  environment: z.string().min(1).optional(),
  promptFormat: z.enum(["compact", "chat"]).default("chat"),
  evaluation: evaluationSchema.optional(),
  /** Who answers for them, and how a server is asked. */
  asking: z
    .strictObject({
      engine: z.enum(["embedded", "server"]),
      /** Of the embedded engine: whether tasks were put by the model's own chat template. */
      template: z.enum(["model", "none"]).optional(),
      api: z.string().optional(),
      temperature: z.number().nonnegative().optional(),
      fields: z.record(z.string(), z.unknown()).optional(),
      /** Who graded what only a model can grade, and a hash of what it was asked. */
      judge: z.strictObject({ ...identityShape, prompt: z.string() }).optional(),
    })
    .optional(),
  spectra: z.union([z.literal(false), spectraSchema]).prefault({}),
  repairs: z.union([z.literal(false), z.array(repairGridSchema)]).prefault([...defaultRepairGrids]),
});

/** What a run was asked that follows the checkpoints of another trainer. */
export type FollowRecipe = z.infer<typeof followRecipeSchema>;

/** How the weights of a followed run are compared and repaired unless it says otherwise. */
export const followDefaults: Pick<FollowRecipe, "spectra" | "repairs"> = {
  spectra: spectraSchema.parse({}),
  repairs: defaultRepairGrids.map((grid) => repairGridSchema.parse(grid)),
};

/** A lineage file: what cannot be guessed of trainings that are followed. */
const lineageFileSchema = z.strictObject({
  base: z.string().min(1).optional(),
  trainings: z.array(trainingSchema.partial({ stage: true })).min(1),
});
/** What a lineage file says. */
export type LineageFile = z.infer<typeof lineageFileSchema>;

/** Reads a lineage file. Throws `UsageError`, one sentence naming `source` and the line or the key. */
export function parseLineageFile(text: string, source: string): LineageFile {
  const parsed = lineageFileSchema.safeParse(readYaml(text, `the lineage file ${source}`));
  if (parsed.success) return parsed.data;
  throw new UsageError(
    `Cannot use the lineage file ${source}: ${describeIssue(parsed.error)}; write it as in ${action("read about following")}`,
  );
}
