/** What this machine and this package offer: the cache folder, threads, versions. */
export { type Machine, readMachine, type Variables } from "./machine.ts";
export { locateInPackage, locateThread } from "./package-root.ts";
export { chooseNumThreads } from "./threads.ts";
export { describeVersionChanges, listVersions } from "./versions.ts";
