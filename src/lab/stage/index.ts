/** Stages of training, stopped and resumed at any step. */
export { checkModel, checkRecipe } from "./check-recipe.ts";
export { runStage } from "./run-stage.ts";
export { nameCheckpoint, planStages, type StagePlan } from "./stage-plan.ts";
export { loadState } from "./state-file.ts";
