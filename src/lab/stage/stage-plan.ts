/** A recipe as the list of stages that carry it out, in order. */
import {
  type BranchRecipe,
  baseCheckpoint,
  listBranches,
  listCheckpointSteps,
  type Recipe,
  type RlRecipe,
} from "../../run/index.ts";

/** One stage: from a checkpoint through steps to further checkpoints. */
export interface StagePlan {
  readonly id: string;
  readonly kind:
    | { readonly stage: "base"; readonly phase: number }
    | { readonly stage: "sft" }
    | { readonly stage: "rl"; readonly rl: RlRecipe; readonly branch: string; readonly seed: number };
  /** Id of the checkpoint that it starts from; absent where the model is new. */
  readonly start?: string;
  readonly numSteps: number;
  readonly checkpointSteps: readonly number[];
}

/** Id of the checkpoint of a stage at a step. */
export function nameCheckpoint(plan: StagePlan, step: number): string {
  const isEnd = step === plan.numSteps;
  switch (plan.kind.stage) {
    case "base":
      return isEnd && plan.id === baseCheckpoint ? baseCheckpoint : `${plan.id}-step-${step}`;
    case "sft":
      return `sft-${step}`;
    case "rl":
      return `${plan.id}-step-${step}`;
  }
}

/** The stages of a recipe: base phases where the model is new, SFT, then a stage for each RL branch. */
export function planStages(recipe: Recipe): readonly StagePlan[] {
  const base = planBase(recipe);
  const { sft } = recipe;
  if (sft === undefined) return base;
  const sftPlan: StagePlan = {
    id: "sft",
    kind: { stage: "sft" },
    start: baseCheckpoint,
    numSteps: sft.numSteps,
    checkpointSteps: listCheckpointSteps(sft),
  };
  return [...base, sftPlan, ...listBranches(recipe).map((branch) => planBranch(branch, sftPlan))];
}

function planBase({ base }: Recipe): readonly StagePlan[] {
  if (typeof base === "string") return [];
  const plans: StagePlan[] = [];
  for (const [phase, { numSteps, checkpoints }] of base.phases.entries()) {
    const isLast = phase === base.phases.length - 1;
    const before = plans.at(-1);
    plans.push({
      id: isLast ? baseCheckpoint : `base-phase-${phase + 1}`,
      kind: { stage: "base", phase },
      ...(before && { start: nameCheckpoint(before, before.numSteps) }),
      numSteps,
      checkpointSteps: listCheckpointSteps({ checkpoints, numSteps }),
    });
  }
  return plans;
}

function planBranch({ name, rl, from, seed }: BranchRecipe, sft: StagePlan): StagePlan {
  return {
    id: name,
    kind: { stage: "rl", rl, branch: name, seed },
    start: nameCheckpoint(sft, from),
    numSteps: rl.numUpdates,
    checkpointSteps: listCheckpointSteps({ checkpoints: rl.checkpoints, numSteps: rl.numUpdates }),
  };
}
