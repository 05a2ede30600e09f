/** A recipe carried out from its first stage to the summary. */
export { type FinishedRun, resumeRun, startRun } from "./run-recipe.ts";
