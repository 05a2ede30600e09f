/** Recipes: what a run is asked to do, as validated data. How it is done is for the lab to know. */
import { isMap, isSeq, parseDocument } from "yaml";
import { z } from "zod";
import { UsageError } from "../../base/core/index.ts";
import { type FollowRecipe, followRecipeSchema } from "./follow-recipe.ts";
import { describeIssue } from "./issue.ts";
import { renameKeys, renamePath } from "./old-keys.ts";
import {
  batch,
  count,
  evaluationSchema,
  fraction,
  many,
  nameSchema,
  spectraSchema,
  steps,
} from "./recipe-fields.ts";
import { defaultRepairGrids, repairGridSchema } from "./repair-grid.ts";
import { readYaml, type YamlDocument } from "./yaml.ts";

const optimizerSchema = z.strictObject({
  learningRate: z.number().positive(),
  /** Constant, or half a cosine down to `finalFraction` of the learning rate. */
  schedule: z.enum(["constant", "cosine"]).default("constant"),
  finalFraction: fraction.default(0.05),
  warmupSteps: z.number().int().nonnegative().default(0),
  beta1: fraction.lt(1).default(0.9),
  beta2: fraction.lt(1).default(0.98),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: z.number().nonnegative().default(0.01),
  maxGradientNorm: z.number().positive().default(1),
});

const modelSchema = z.strictObject({
  hiddenSize: count.max(2 ** 14),
  intermediateSize: count.max(2 ** 16),
  numLayers: count.max(1024),
  numHeads: count.max(1024),
  numKeyValueHeads: count.optional(),
  maxPositions: many.default(128),
});

const phaseSchema = z.strictObject({
  numSteps: count,
  batchSize: batch,
  /** Skills of the environment, with their share of the examples. */
  skills: z.record(z.string(), z.number().positive()),
  optimizer: optimizerSchema,
  checkpoints: steps.optional(),
});

const newBaseSchema = z.strictObject({ model: modelSchema, phases: z.array(phaseSchema).min(1) });

/** Low-rank adapters on all linear layers; absent means that all weights are trained. */
const loraSchema = z.strictObject({ rank: batch, alpha: z.number().positive() });

const sftSchema = z.strictObject({
  numSteps: count,
  batchSize: batch,
  /** Distinct training tasks that are repeated; absent means that every example is new. */
  numTasks: many.optional(),
  optimizer: optimizerSchema,
  lora: loraSchema.optional(),
  checkpoints: steps,
});

const rlShape = {
  /** First part of the branches' names, where the method does not tell them apart. */
  name: nameSchema.optional(),
  /** SFT steps whose checkpoints RL starts from, or "every". */
  from: z.union([steps, z.literal("every")], "must be a list of SFT steps, or every"),
  /** One branch a seed and starting checkpoint. */
  seeds: z.array(z.number().int().nonnegative()).min(1).default([0]),
  numUpdates: count,
  tasksPerUpdate: batch,
  /** SFT step of the checkpoint that KL is measured to (and pulls toward); absent means the branch's own start. */
  reference: count.optional(),
  temperature: z.number().positive().default(1),
  clipRange: z.number().positive().default(0.2),
  numEpochs: count.default(1),
  minibatchSize: batch,
  maxNewTokens: many.default(32),
  optimizer: optimizerSchema,
  checkpoints: steps,
};

const grpoSchema = z.strictObject({
  method: z.literal("grpo"),
  ...rlShape,
  groupSize: batch.min(2),
  lora: loraSchema.optional(),
  klWeight: z.number().nonnegative().default(0),
});

const ppoSchema = z.strictObject({
  method: z.literal("ppo"),
  ...rlShape,
  numAttempts: batch.default(1),
  discount: fraction.default(0.9),
  traceDecay: fraction.default(0.95),
  valueWeight: z.number().nonnegative().default(0.5),
  /** In units of reward. */
  valueClipRange: z.number().positive().default(1),
  /** Learning rate of the value head, as a multiple of the policy's. */
  valueRateFactor: z.number().positive().default(30),
  entropyWeight: z.number().nonnegative().default(0.01),
});

const recipeSchema = z
  .strictObject({
    name: nameSchema,
    summary: z.string().min(1),
    environment: z.string().min(1),
    promptFormat: z.enum(["compact", "chat"]).default("compact"),
    seed: z.number().int().nonnegative().default(1),
    /** A shipped base model, a checkpoint folder, or a model to be trained from nothing. */
    base: z.union([z.string().min(1), newBaseSchema]),
    evaluation: evaluationSchema,
    /** How the weights of all checkpoints are compared at the end; false for not at all. */
    spectra: z.union([z.literal(false), spectraSchema]).prefault({}),
    /** Repair grids at the end; false for none. */
    repairs: z.union([z.literal(false), z.array(repairGridSchema)]).prefault([...defaultRepairGrids]),
    sft: sftSchema.optional(),
    rl: z.array(z.discriminatedUnion("method", [grpoSchema, ppoSchema])).default([]),
  })
  .superRefine((recipe, context) => {
    for (const message of findContradictions(recipe)) context.addIssue({ code: "custom", ...message });
  });

/** A validated recipe, defaults filled in. */
export type Recipe = z.infer<typeof recipeSchema>;
/** What a run was asked, whoever trained. */
export type RunRecipe = Recipe | FollowRecipe;
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

type Unchecked = Pick<Recipe, "base" | "sft" | "rl" | "repairs">;

/** What the fields allow one by one but not together. */
function findContradictions(recipe: Unchecked): readonly Contradiction[] {
  const { base, sft, rl } = recipe;
  return [
    ...(typeof base === "string" ? [] : checkBase(base)),
    ...(sft === undefined ? [] : checkSteps(sft.checkpoints, sft.numSteps, ["sft", "checkpoints"])),
    ...rl.flatMap((branch, index) => checkBranch(branch, index, listCheckpointSteps(sft))),
    ...checkBranchNames(recipe),
    ...checkGridNames(recipe),
  ];
}

/** Models beyond that are not trained here: weights and the optimizer's vectors are held in memory. */
const mostWeights = 2 ** 30;
/** Answers of one update, which are held in memory together. */
const mostAnswers = 2 ** 17;

function checkBase({ model, phases }: NewBaseRecipe): readonly Contradiction[] {
  const { hiddenSize, intermediateSize, numLayers, numHeads, numKeyValueHeads = numHeads } = model;
  const path = ["base", "model"];
  const numWeights = numLayers * hiddenSize * (4 * hiddenSize + 3 * intermediateSize);
  const found = phases.flatMap(({ checkpoints = [], numSteps }, index) =>
    checkSteps(checkpoints, numSteps, ["base", "phases", index, "checkpoints"]),
  );
  if (numWeights > mostWeights)
    found.push({
      path,
      message: `is too big: about ${numWeights} weights, where at most ${mostWeights} are trained`,
    });
  if (hiddenSize % (2 * numHeads) !== 0)
    found.push({
      path: [...path, "hiddenSize"],
      message: `must be a multiple of twice numHeads, ${2 * numHeads}`,
    });
  if (numHeads % numKeyValueHeads !== 0)
    found.push({
      path: [...path, "numHeads"],
      message: `must be a multiple of numKeyValueHeads, ${numKeyValueHeads}`,
    });
  return found;
}

function checkBranch(branch: RlRecipe, index: number, sftSteps: readonly number[]): readonly Contradiction[] {
  const known = sftSteps.length === 0 ? "there is no SFT stage" : sftSteps.join(", ");
  const require = (key: string, steps: readonly number[]): readonly Contradiction[] =>
    steps
      .filter((step) => !sftSteps.includes(step))
      .map((step) => ({
        path: ["rl", index, key],
        message: `names SFT step ${step}, which is not an SFT checkpoint (${known})`,
      }));
  const noSft = {
    path: ["rl", index, "from"],
    message: "needs an SFT stage to start from, and there is none",
  };
  const numAnswers =
    branch.tasksPerUpdate * (branch.method === "grpo" ? branch.groupSize : branch.numAttempts);
  const tooMany = {
    path: ["rl", index, "tasksPerUpdate"],
    message: `is too big: ${numAnswers} answers an update, where at most ${mostAnswers} are held in memory`,
  };
  return [
    ...(numAnswers > mostAnswers ? [tooMany] : []),
    ...checkSteps(branch.checkpoints, branch.numUpdates, ["rl", index, "checkpoints"]),
    ...(branch.from === "every" ? (sftSteps.length === 0 ? [noSft] : []) : require("from", branch.from)),
    ...(branch.reference === undefined ? [] : require("reference", [branch.reference])),
  ];
}

function checkBranchNames(recipe: Unchecked): readonly Contradiction[] {
  const names = listBranches(recipe).map(({ name }) => name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated === undefined) return [];
  return [
    {
      path: ["rl"],
      message: `names the branch ${repeated} twice; leave out the repetition, or give one entry a "name"`,
    },
  ];
}

function checkGridNames({ repairs }: Unchecked): readonly Contradiction[] {
  const names = repairs === false ? [] : repairs.map(({ name }) => name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  return repeated === undefined
    ? []
    : [{ path: ["repairs"], message: `names the repair grid ${repeated} twice; give each its own name` }];
}

/** An RL branch of a recipe: one starting checkpoint and one seed of one entry. */
export interface BranchRecipe {
  readonly name: string;
  readonly rl: RlRecipe;
  /** SFT step that it starts from. */
  readonly from: number;
  readonly seed: number;
}

/**
 * The branches of a recipe, in order. A name says the method where a recipe has several, the starting step, and the
 * seed where a recipe has several: `rl-from-20`, `ppo-from-20-seed-2`.
 */
export function listBranches({ sft, rl }: Pick<Recipe, "sft" | "rl">): readonly BranchRecipe[] {
  const hasMethods = new Set(rl.map(({ method }) => method)).size > 1;
  const hasSeeds = new Set(rl.flatMap(({ seeds }) => seeds)).size > 1;
  return rl.flatMap((entry) => {
    const prefix = entry.name ?? (hasMethods ? entry.method : "rl");
    const starts = entry.from === "every" ? listCheckpointSteps(sft) : entry.from;
    return entry.seeds.flatMap((seed) =>
      starts.map((from) => {
        const name = `${prefix}-from-${from}${hasSeeds ? `-seed-${seed}` : ""}`;
        return { name, rl: entry, from, seed };
      }),
    );
  });
}

function checkSteps(
  checkpoints: readonly number[],
  numSteps: number,
  path: (string | number)[],
): Contradiction[] {
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
  const value = readYaml(text, `the recipe ${source}`, (document) => {
    renameKeys(document);
    for (const change of changes) applyChange(document, change);
  });
  const parsed = recipeSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UsageError(`Cannot use the recipe ${source}: ${describeIssue(parsed.error)}`);
}

/** Reads the recipe in a run's folder, of either kind. Throws as `parseRecipe`. */
export function parseRunRecipe(text: string, source: string): RunRecipe {
  const value = readYaml(text, `the recipe ${source}`, renameKeys);
  if (typeof value !== "object" || value === null || !("follow" in value)) return parseRecipe(text, source);
  const parsed = followRecipeSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UsageError(`Cannot use the recipe ${source}: ${describeIssue(parsed.error)}`);
}

/** What stands for the environment of a run whose answers were imported from other tools. */
export const importedEnvironment = "imported";
/** The file in such a run that holds its questions. */
export const importedTasksName = "imported.json";

/** Whether a run follows the checkpoints of another trainer. */
export function isFollowed(recipe: RunRecipe): recipe is FollowRecipe {
  return "follow" in recipe;
}

/** What all checkpoints of a run are asked. */
export type AskedTasks = Required<Pick<Recipe, "environment" | "promptFormat" | "evaluation">>;

/** What the checkpoints of a run are asked; `undefined` where that was not said yet. */
export function findTasks({ environment, promptFormat, evaluation }: RunRecipe): AskedTasks | undefined {
  return environment === undefined || evaluation === undefined
    ? undefined
    : { environment, promptFormat, evaluation };
}

function applyChange(document: YamlDocument, { path, value }: RecipeChange): void {
  const keys = renamePath(path.split(".")).map((key) => (/^\d+$/.test(key) ? Number(key) : key));
  const parsed = parseDocument(value);
  if (parsed.errors.length > 0)
    throw new UsageError(
      `Cannot set "${path}": "${value}" is malformed YAML; quote it or check its brackets`,
    );
  for (const [depth, key] of keys.entries()) {
    const list = document.getIn(keys.slice(0, depth), true);
    const length = isSeq(list) ? list.items.length : 0;
    // A list grows by one entry at a time: not to 99999999 because of a slip.
    if (typeof key === "number" && !isMap(list) && key > length)
      throw new UsageError(
        `Cannot set "${path}": there are ${length} entries where it names number ${key}; they count from 0`,
      );
  }
  try {
    document.setIn(keys, parsed.contents);
  } catch (cause) {
    throw new UsageError(`Cannot set "${path}": the recipe has no such place`, { cause });
  }
}
