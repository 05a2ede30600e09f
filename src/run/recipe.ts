/** Recipes: what a run is asked to do, as validated data. How it is done is for the lab to know. */
import { parseDocument } from "yaml";
import { z } from "zod";
import { UsageError } from "../base/index.ts";
import { describeIssue } from "./issue.ts";

const count = z.number().int().positive();
const fraction = z.number().min(0).max(1);
const steps = z.array(count).min(1);

const optimizerSchema = z.strictObject({
  learningRate: z.number().positive(),
  /** Constant, or half a cosine down to `finalFraction` of the learning rate. */
  schedule: z.enum(["constant", "cosine"]).default("constant"),
  finalFraction: fraction.default(0.05),
  warmupSteps: z.number().int().nonnegative().default(0),
  beta1: fraction.default(0.9),
  beta2: fraction.default(0.98),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: z.number().nonnegative().default(0.01),
  maxGradientNorm: z.number().positive().default(1),
});

const modelSchema = z.strictObject({
  hiddenSize: count,
  intermediateSize: count,
  numLayers: count,
  numHeads: count,
  numKeyValueHeads: count.optional(),
  maxPositions: count.default(128),
});

const phaseSchema = z.strictObject({
  numSteps: count,
  batchSize: count,
  /** Lessons of the environment, with their share of the examples. */
  lessons: z.record(z.string(), z.number().positive()),
  optimizer: optimizerSchema,
  checkpoints: steps.optional(),
});

const newBaseSchema = z.strictObject({ model: modelSchema, phases: z.array(phaseSchema).min(1) });

const evaluationSchema = z.strictObject({
  /** Tasks a split; even-numbered ones choose the peak, odd-numbered ones measure. */
  numTasks: z.number().int().min(2),
  seed: z.number().int().nonnegative().default(1),
  numAttempts: count.default(1),
  maxNewTokens: count.default(32),
  batchSize: count.default(128),
});

const sftSchema = z.strictObject({
  numSteps: count,
  batchSize: count,
  /** Distinct training tasks that are repeated; absent means that every example is new. */
  numTasks: count.optional(),
  optimizer: optimizerSchema,
  checkpoints: steps,
});

const rlShape = {
  /** SFT steps whose checkpoints RL starts from, or "every". */
  from: z.union([steps, z.literal("every")]),
  /** One branch a seed and starting checkpoint. */
  seeds: z.array(z.number().int().nonnegative()).min(1).default([0]),
  numUpdates: count,
  tasksPerUpdate: count,
  temperature: z.number().positive().default(1),
  clipRange: z.number().positive().default(0.2),
  numEpochs: count.default(1),
  minibatchSize: count,
  maxNewTokens: count.default(32),
  optimizer: optimizerSchema,
  checkpoints: steps,
};

const grpoSchema = z.strictObject({
  method: z.literal("grpo"),
  ...rlShape,
  groupSize: z.number().int().min(2),
  klWeight: z.number().nonnegative().default(0),
  /** SFT step of the checkpoint that the KL term pulls towards; absent means the branch's own start. */
  reference: count.optional(),
});

const ppoSchema = z.strictObject({
  method: z.literal("ppo"),
  ...rlShape,
  numAttempts: count.default(1),
  discount: fraction.default(0.9),
  traceDecay: fraction.default(0.95),
  valueWeight: z.number().nonnegative().default(0.5),
  entropyWeight: z.number().nonnegative().default(0.01),
});

const recipeSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, "must be lower-case words joined by hyphens"),
    summary: z.string().min(1),
    environment: z.string().min(1),
    rendering: z.enum(["compact", "chat"]).default("compact"),
    seed: z.number().int().nonnegative().default(1),
    /** A shipped base model, a checkpoint folder, or a model to be trained from nothing. */
    base: z.union([z.string().min(1), newBaseSchema]),
    evaluation: evaluationSchema,
    sft: sftSchema.optional(),
    rl: z.array(z.discriminatedUnion("method", [grpoSchema, ppoSchema])).default([]),
  })
  .superRefine((recipe, context) => {
    for (const message of findContradictions(recipe)) context.addIssue({ code: "custom", ...message });
  });

/** A validated recipe, defaults filled in. */
export type Recipe = z.infer<typeof recipeSchema>;
/** One kind of reinforcement learning of a recipe: a branch for each starting checkpoint and seed. */
export type RlRecipe = Recipe["rl"][number];
/** Optimizer settings of a recipe. */
export type OptimizerRecipe = z.infer<typeof optimizerSchema>;
/** A base model that a recipe trains from nothing. */
export type NewBaseRecipe = z.infer<typeof newBaseSchema>;

interface Contradiction {
  readonly path: (string | number)[];
  readonly message: string;
}

/** What the fields allow one by one but not together. */
function findContradictions(recipe: {
  readonly sft?: z.infer<typeof sftSchema> | undefined;
  readonly rl: readonly RlRecipe[];
}): readonly Contradiction[] {
  const found: Contradiction[] = [];
  const { sft } = recipe;
  if (sft !== undefined) found.push(...checkSteps(sft.checkpoints, sft.numSteps, ["sft", "checkpoints"]));
  for (const [index, branch] of recipe.rl.entries()) {
    found.push(...checkSteps(branch.checkpoints, branch.numUpdates, ["rl", index, "checkpoints"]));
    const wanted = branch.from === "every" ? [] : branch.from;
    const reference = branch.method === "grpo" && branch.reference !== undefined ? [branch.reference] : [];
    for (const step of [...wanted, ...reference])
      if (!listCheckpointSteps(sft).includes(step))
        found.push({
          path: ["rl", index, "from"],
          message: `names SFT step ${step}, which is no SFT checkpoint (${listCheckpointSteps(sft).join(", ") || "there is no SFT stage"})`,
        });
  }
  return found;
}

function checkSteps(
  checkpoints: readonly number[],
  numSteps: number,
  path: (string | number)[],
): readonly Contradiction[] {
  const isAscending = checkpoints.every((step, index) => index === 0 || step > (checkpoints[index - 1] ?? 0));
  if (!isAscending) return [{ path, message: "must be in ascending order, each step once" }];
  const beyond = checkpoints.find((step) => step > numSteps);
  return beyond === undefined
    ? []
    : [{ path, message: `names step ${beyond}, but the stage ends at step ${numSteps}` }];
}

/** The steps at which a stage keeps checkpoints: those asked for, and its end. */
export function listCheckpointSteps(
  stage: { readonly checkpoints?: readonly number[] | undefined; readonly numSteps: number } | undefined,
): readonly number[] {
  if (stage === undefined) return [];
  return [...new Set([...(stage.checkpoints ?? []), stage.numSteps])].sort((a, b) => a - b);
}

/** A change of one field: a dotted path and a YAML value, as in `sft.numSteps=50` or `rl.0.seeds=[1, 2]`. */
export interface RecipeChange {
  readonly path: string;
  readonly value: string;
}

/**
 * Reads a recipe's YAML text with changes applied. Throws `UsageError`, one sentence naming `source` and the line
 * (malformed YAML) or the key (unknown, missing or out of range).
 */
export function parseRecipe(text: string, source: string, changes: readonly RecipeChange[] = []): Recipe {
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const line = error.linePos?.[0].line ?? 1;
    const [reason = "malformed"] = error.message.split(/ at line \d+/);
    throw new UsageError(`Cannot read the recipe ${source}: line ${line} is malformed YAML: ${reason}`);
  }
  for (const change of changes) applyChange(document, change);
  const parsed = recipeSchema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  throw new UsageError(`Cannot use the recipe ${source}: ${describeIssue(parsed.error)}`);
}

function applyChange(document: ReturnType<typeof parseDocument>, { path, value }: RecipeChange): void {
  const keys = path.split(".").map((key) => (/^\d+$/.test(key) ? Number(key) : key));
  const parsed = parseDocument(value);
  if (parsed.errors.length > 0)
    throw new UsageError(
      `Cannot set "${path}": "${value}" is malformed YAML; quote it or check its brackets`,
    );
  try {
    document.setIn(keys, parsed.contents);
  } catch (cause) {
    throw new UsageError(`Cannot set "${path}": the recipe has no such place`, { cause });
  }
}
