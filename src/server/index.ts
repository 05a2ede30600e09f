/** server: run folders as pages, and checkpoints as models that answer, over HTTP on this machine. */
export type { Served } from "./listen.ts";
export { startModelServer } from "./serve-model.ts";
export { startStudio } from "./studio.ts";
