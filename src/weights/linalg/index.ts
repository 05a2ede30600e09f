/** Dense linear algebra on two backends, factorizations with known errors, principal angles. */
export {
  type FactorMethod,
  type Factors,
  factorize,
  factorMethods,
  subspaceError,
  trimFactors,
} from "./factorize.ts";
export type { LinearAlgebra } from "./linear-algebra.ts";
export { addProducts, productValues, type ThinProduct } from "./low-rank.ts";
export { createMatrix, type Matrix, sumOfSquares } from "./matrix.ts";
export {
  createDenseSource,
  createDifference,
  type MatrixSource,
  readBlocks,
  readWhole,
  sidesOf,
} from "./matrix-source.ts";
export { openLinearAlgebra } from "./open.ts";
export { type BasisPair, numForcedZeros, pairBases, principalAngles } from "./principal-angles.ts";
export { factorizeRandomly } from "./randomize.ts";
