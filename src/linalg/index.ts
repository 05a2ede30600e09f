/** linalg: dense linear algebra on one of two backends, factorisations with known errors, principal angles. */
export {
  type FactorMethod,
  type FactorRequest,
  type Factors,
  factorize,
  factorMethods,
  subspaceError,
  trimFactors,
} from "./factorize.ts";
export type { LinearAlgebra } from "./linear-algebra.ts";
export { addProducts, productValues, type ThinProduct } from "./low-rank.ts";
export {
  createMatrix,
  type Matrix,
  sumOfSquares,
} from "./matrix.ts";
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
export { factorizeRandomly } from "./randomise.ts";
