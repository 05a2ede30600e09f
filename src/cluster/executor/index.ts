/** Who carries out work outside this process: one folder each for local processes, a command, Slurm and Kubernetes. */
export { createExecExecutor } from "./exec/exec-executor.ts";
export {
  type Cause,
  type Executor,
  type ExecutorName,
  executorNames,
  isDetached,
  listPlacedPacks,
  type PackState,
  type PlacedSubmission,
  UnreachableError,
} from "./executor.ts";
export { createKubernetesExecutor } from "./kubernetes/kubernetes-executor.ts";
export { createLocalExecutor } from "./local/local-executor.ts";
export { type Profile, parseProfile, parseSize, profileKeys } from "./profile.ts";
export type { Resources } from "./resources.ts";
export { createSlurmExecutor } from "./slurm/slurm-executor.ts";
