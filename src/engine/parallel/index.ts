/** The engine on all cores: texts and parts of batches side by side, and the policies that answer with them. */
export { type AskedModel, type Asker, createAsker } from "./asker.ts";
export { type Cores, openCores } from "./cores.ts";
export type { Feeds } from "./engine-task.ts";
export {
  createPolicyEngine,
  fitsKernels,
  type OpenPolicy,
  type PolicyEngine,
  type PolicyEngineOptions,
  usesKernels,
} from "./policy-engine.ts";
export { splitList } from "./split-list.ts";
export { choosePartRows, createSummedProgram } from "./summed-program.ts";
