/** The records of a run folder: their schemas, checked whenever a file is read. */
import { z } from "zod";
import { isObject } from "../base/core/index.ts";
import { operationSchema } from "./recipe/edit-plan.ts";
import { statisticsVersion } from "./statistics-version.ts";

/** Version of the run folder's layout and of `summary.json`. */
export const schemaVersion = 1;

/** The kinds of stage, in the order of training. */
export const stages = ["base", "sft", "rl"] as const;

const runSchema = z.object({
  schema: z.literal(schemaVersion),
  recipe: z.string(),
  seed: z.number(),
  /** Threads of the engine: fixed for a run, because the last bit of a sum may depend on them. */
  numThreads: z.number().int().positive(),
  versions: z.record(z.string(), z.string()),
});

/** `run.json`: what a run is. */
export type RunRecord = z.infer<typeof runSchema>;

/** A name that files are called by: a run may come from others, and must not lead out of its folder. */
const fileNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "must be a plain name of letters, digits, dots and hyphens");

const lineageEntrySchema = z.object({
  id: fileNameSchema,
  stage: z.enum(stages),
  /** Name of an RL branch. */
  branch: fileNameSchema.optional(),
  step: z.number().int().nonnegative(),
  /** Id of the checkpoint that this one was trained from; the first has none. */
  parent: z.string().optional(),
  /** Folder of the checkpoint: relative to the run, or absolute where the run follows another trainer. */
  path: z.string(),
  /** Of a followed checkpoint: sizes and times of its weights, which tell whether it was written again. */
  stamp: z.string().optional(),
  /** Of a followed checkpoint that is evaluated: a hash of its weights, which tells whether writing again changed them. */
  content: z.string().optional(),
});

/** A checkpoint of a run and where it comes from. */
export type LineageEntry = z.infer<typeof lineageEntrySchema>;

const lineageSchema = z.object({
  schema: z.literal(schemaVersion),
  checkpoints: z.array(lineageEntrySchema),
});

/** `correct` holds fractions where questions were answered several times. */
const countSchema = z.object({ correct: z.number(), total: z.number().int() });

/** One evaluated task, as stored. */
export const itemSchema = z.object({
  split: z.enum(["id", "ood"]),
  index: z.number().int(),
  promptHash: z.string(),
  answer: z.string(),
  numAttempts: z.number().int(),
  outcome: z.string(),
  reward: z.number(),
  /** Format and values are absent where another tool graded: its logs do not have them. */
  parts: z.object({ format: z.boolean().optional(), values: z.boolean().optional(), solved: z.boolean() }),
  /** Of a task that was answered several times, each answer on its own: how many, and how many are right. */
  samples: z.object({ solved: z.number().int(), total: z.number().int() }).optional(),
  /** The probability that a guess is right; absent where guessing gets nowhere. */
  chance: z.number().optional(),
  /** What the task belongs to together with others: a document, a template. */
  group: z.string().optional(),
  reference: z.object({ negativeLogLikelihood: z.number(), numTokens: z.number() }).optional(),
});

/** What `itemSchema` gives. */
export type ItemRecord = z.infer<typeof itemSchema>;

const contrastSchema = z.object({
  estimate: z.number(),
  low: z.number(),
  high: z.number(),
  pValue: z.number(),
  numItems: z.number().int(),
  onlyFirst: z.number().int(),
  onlySecond: z.number().int(),
});

const ratioSchema = z.object({
  estimate: z.number(),
  low: z.number(),
  high: z.number(),
  numItems: z.number().int(),
  /** Accuracy that came back and that was lost before; absent in repairs of earlier versions. */
  gained: z.number().optional(),
  lost: z.number().optional(),
});

const pointSchema = z.object({
  checkpoint: z.string(),
  stage: z.enum(stages),
  step: z.number().int(),
  id: countSchema,
  ood: countSchema,
});

const branchSchema = z.object({
  name: z.string(),
  start: pointSchema,
  end: pointSchema,
  gain: contrastSchema,
  idGain: contrastSchema,
  versusPeak: contrastSchema,
  recovery: ratioSchema.nullable(),
  reason: z.string().optional(),
});

const trajectorySchema = z.object({
  peak: pointSchema,
  /** What the other half of the OOD tasks chose, where that is another. */
  otherPeak: pointSchema.optional(),
  /** OOD accuracy of the peak, each half of the tasks as the other half's choice solved them. */
  peakAccuracy: countSchema,
  /** SFT checkpoints that cannot be told from the best, it included. */
  plateau: z.array(pointSchema),
  sftEnd: pointSchema,
  rlEnd: pointSchema.nullable(),
  mainBranch: z.string().optional(),
  forgetting: contrastSchema,
  /** The smallest loss that is noticed in four of five cases; absent where there is none. */
  detectableLoss: z.number().optional(),
  /** Why forgetting cannot be judged; absent where it can. */
  unjudgedBecause: z.string().optional(),
  recovery: ratioSchema.nullable(),
  recoveryUndefinedBecause: z.string().optional(),
  branches: z.array(branchSchema),
  sentences: z.array(z.string()),
});

const checkpointResultSchema = lineageEntrySchema.extend({
  accuracy: z.object({ id: countSchema, ood: countSchema }),
  format: z.object({ id: countSchema, ood: countSchema }),
  values: z.object({ id: countSchema, ood: countSchema }),
  /** Null where answers came from an endpoint, which scores no reference answers. */
  loss: z.object({ id: z.number().nullable(), ood: z.number().nullable() }),
  /** Answers that did not come to their end, or could not be judged, by outcome; absent where there are none. */
  incomplete: z
    .object({ id: z.record(z.string(), z.number().int()), ood: z.record(z.string(), z.number().int()) })
    .optional(),
});

const spreadSchema = z.object({ least: z.number(), median: z.number(), largest: z.number() });

const pairSchema = z.object({
  before: z.string(),
  after: z.string(),
  numMatrices: z.number().int(),
  /** Absent in runs of earlier versions, as is all that is optional below. */
  numChanged: z.number().int().optional(),
  spectralShift: spreadSchema.optional(),
  spectralShiftChance: spreadSchema.optional(),
  relativeUpdate: spreadSchema.optional(),
  rotation: spreadSchema.optional(),
  largestAngle: spreadSchema.optional(),
  chance: spreadSchema.optional(),
  beyondChance: spreadSchema.optional(),
  inside: spreadSchema.optional(),
  insideChance: spreadSchema.optional(),
  ranks: z.array(z.number().int()).readonly(),
  mostRotated: z.array(z.string()).readonly(),
  unchanged: z.object({ weighted: z.number(), unweighted: z.number() }).optional(),
  flags: z.record(z.string(), z.number().int()),
  coverage: z.object({
    numMatched: z.number().int(),
    numLeftOut: z.number().int(),
    unmatched: z.array(z.object({ name: z.string(), reason: z.string() })).readonly(),
    notes: z.array(z.string()).readonly().optional(),
    numMatrices: z.number().int().optional(),
    parameterFraction: z.number().optional(),
    isComplete: z.boolean().optional(),
    incomplete: z.string().optional(),
  }),
  config: z
    .array(z.object({ about: z.string(), text: z.string() }))
    .readonly()
    .optional(),
  reading: z.string(),
});

const spectraSchema = z.object({
  schema: z.literal(schemaVersion),
  /** The linear algebra backend: numbers agree between backends to more digits than are kept. */
  backend: z.string(),
  /** Ranks of the subspaces compared. */
  ranks: z.array(z.number().int().positive()),
  /** Angles in radians, everything else as fractions. */
  pairs: z.array(pairSchema),
});

const repairFields = z.object({
  name: z.string(),
  /** `edit`, or the kind of control. */
  role: z.string(),
  operation: operationSchema,
  /** Of an edit with controls beside it: their names. */
  controls: z.array(z.string()).optional(),
  id: countSchema,
  ood: countSchema,
  /** OOD, repair − target, on the held-out half: of all repairs of a grid, intervals hold at once, and p-values are corrected. */
  gain: contrastSchema,
  /** ID, repair − target, in the same way. */
  idGain: contrastSchema,
  /** Share of what the target had lost against the source. */
  recovered: ratioSchema.nullable(),
  reason: z.string().optional(),
  /** ‖repaired − target‖ / ‖target‖ over the edited tensors. */
  moved: z.number(),
});

/** Earlier versions kept the corrected p-value beside the gain's own, and intervals of one repair alone. */
const repairSchema = z.preprocess((value) => {
  const { adjustedPValue, gain, ...rest } = isObject(value) ? value : {};
  return isObject(gain) && typeof adjustedPValue === "number"
    ? { ...rest, gain: { ...gain, pValue: adjustedPValue, ...widen(gain, adjustedPValue) } }
    : value;
}, repairFields);

/** The ends of an interval once it holds 0, where the p-value is not below 0.05. */
function widen({ low, high }: Readonly<Record<string, unknown>>, pValue: number): object {
  return pValue < 0.05 ? {} : { low: Math.min(0, Number(low)), high: Math.max(0, Number(high)) };
}

const endSchema = z.object({ id: countSchema, ood: countSchema });

const repairRecordSchema = z.object({
  schema: z.literal(schemaVersion),
  name: z.string(),
  /** Checkpoints of the run. */
  target: z.string(),
  source: z.string(),
  /** Where they lie, where that is not in the run. */
  paths: z.object({ target: z.string(), source: z.string() }).optional(),
  ends: z.object({ target: endSchema, source: endSchema }),
  repairs: z.array(repairSchema),
  /** Chosen on half of the tasks of both splits, measured on the other half. */
  best: z
    .object({
      name: z.string(),
      selected: countSchema,
      gain: contrastSchema,
      idGain: contrastSchema,
      recovered: ratioSchema.nullable(),
    })
    .nullable(),
  sentences: z.array(z.string()),
});

/** A repair grid of a run: `repairs/<name>/record.json`. */
export type RepairRecord = z.infer<typeof repairRecordSchema>;

const repairAnswersSchema = z.object({ moved: z.number(), items: z.array(itemSchema).readonly() });

/** What a repaired checkpoint answered: one file of `repairs/<name>`. */
export type RepairAnswers = z.infer<typeof repairAnswersSchema>;

const summaryFields = z.object({
  schema: z.literal(schemaVersion),
  statistics: z.number().int(),
  recipe: z.string(),
  seed: z.number(),
  checkpoints: z.array(checkpointResultSchema),
  /** Of a followed run: who answered and how, as its recipe says. */
  asking: z.record(z.string(), z.unknown()).optional(),
  /** Null where there is no SFT stage to speak of. */
  trajectory: trajectorySchema.nullable(),
  /** What the weights say; absent where there are none, or none that this version can read. */
  spectra: spectraSchema.optional().catch(undefined),
  /** What repairs of its checkpoints did; absent where there was no grid, or none that this version can read. */
  repairs: z.array(repairRecordSchema).optional().catch(undefined),
  timings: z.record(z.string(), z.number()),
  versions: z.record(z.string(), z.string()),
});

/** Without statistics of an earlier version. */
const summarySchema = z.preprocess(
  (value) =>
    isObject(value) && value.statistics !== statisticsVersion
      ? { ...value, statistics: 1, trajectory: null }
      : value,
  summaryFields,
);

/** `summary.json`: the outcome of a run. */
export type Summary = z.infer<typeof summarySchema>;
/** A checkpoint of a summary with what it got right. */
export type CheckpointResult = z.infer<typeof checkpointResultSchema>;
/** The statistics of a summary. */
export type TrajectoryRecord = z.infer<typeof trajectorySchema>;

/** The spectra of a run in a few numbers per pair; the tables in its folder `spectra` hold the rest. */
export type SpectraRecord = z.infer<typeof spectraSchema>;

/** The schema of every file of a run folder, by what it holds. */
export const recordSchemas = {
  run: runSchema,
  lineage: lineageSchema,
  item: itemSchema,
  summary: summarySchema,
  repairs: repairRecordSchema,
  repair: repairAnswersSchema,
} as const;
