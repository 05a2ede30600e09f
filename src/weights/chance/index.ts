/** Null models: what random initializations, subspaces and updates look like. */
export { fitMarchenkoPastur, type MarchenkoPasturFit } from "./random-initialization.ts";
export { describeRandomSubspaces } from "./random-subspace.ts";
export { expectRotation } from "./random-update.ts";
