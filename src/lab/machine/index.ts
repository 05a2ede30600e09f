/** The linear algebra of this machine, the recipes and models that ship, stamps of input files. */
export { type BackendChoice, openBackend } from "./backend.ts";
export { defaultRecipe, listBuiltinRecipes, loadRecipe, locateModel } from "./builtin.ts";
export { describeStored, measureMemory, readModel } from "./read-model.ts";
export { measureCheckpoint, stampCheckpoint, stampQuestions } from "./stamp-inputs.ts";
