/** What this machine and this package offer: the cache folder, programs in WebAssembly, threads, versions. */
export { type Machine, readMachine, type Variables } from "./machine.ts";
export { locateInPackage, locateThread } from "./package-root.ts";
export {
  canRunProgram,
  isProgramError,
  type ProgramMemory,
  type SharedProgram,
  stackBytes,
  startSharedProgram,
} from "./shared-program.ts";
export { takeTurns } from "./take-turns.ts";
export { chooseNumThreads } from "./threads.ts";
export { describeVersionChanges, listVersions } from "./versions.ts";
