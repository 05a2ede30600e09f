/**
 * The primitives: what a tensor expression can be made of. A tensor here is symbolic, a node of a graph that
 * `compile` turns into one ONNX model; it holds no numbers. Every table over `Primitive` is total.
 */
import type { Shape } from "./shape.ts";

/** Element types of the engine: numbers are float32, token ids and positions int32. */
export type DataType = "float32" | "int32";

/** A symbolic tensor: the result of one primitive. */
export interface Tensor<P extends Primitive = Primitive> {
  readonly primitive: P;
  readonly inputs: PrimitiveTable[P]["inputs"];
  readonly params: PrimitiveTable[P]["params"];
  readonly shape: Shape;
  readonly dtype: DataType;
}

type Nullary = readonly [];
type Unary = readonly [Tensor];
type Binary = readonly [Tensor, Tensor];
type None = Readonly<Record<never, never>>;

/** Inputs and parameters of each primitive; elementwise ones broadcast as NumPy does. */
export interface PrimitiveTable {
  /** A value fed at run time. */
  input: { inputs: Nullary; params: { readonly name: string } };
  /** A value baked into the graph; `values` has the size of the shape, or one element that fills it. */
  constant: { inputs: Nullary; params: { readonly values: readonly number[] | Float32Array } };
  add: { inputs: Binary; params: None };
  subtract: { inputs: Binary; params: None };
  multiply: { inputs: Binary; params: None };
  divide: { inputs: Binary; params: None };
  /** Where equal, the gradient goes to the left operand. */
  minimum: { inputs: Binary; params: None };
  /** Where equal, the gradient goes to the left operand. */
  maximum: { inputs: Binary; params: None };
  /** 1 where left ≤ right, else 0; no gradient. */
  lessOrEqual: { inputs: Binary; params: None };
  negate: { inputs: Unary; params: None };
  exp: { inputs: Unary; params: None };
  log: { inputs: Unary; params: None };
  sqrt: { inputs: Unary; params: None };
  reciprocal: { inputs: Unary; params: None };
  sigmoid: { inputs: Unary; params: None };
  tanh: { inputs: Unary; params: None };
  /** The error function, 2/√π ∫₀ˣ e^(−t²) dt. */
  erf: { inputs: Unary; params: None };
  relu: { inputs: Unary; params: None };
  /** scale · op(left) op(right), batched over leading axes; op transposes the last two axes where asked. */
  matmul: {
    inputs: Binary;
    params: { readonly transposeLeft: boolean; readonly transposeRight: boolean; readonly scale: number };
  };
  transpose: { inputs: Unary; params: { readonly permutation: readonly number[] } };
  reshape: { inputs: Unary; params: None };
  /** The elements start ≤ index < end of one axis. */
  slice: { inputs: Unary; params: { readonly axis: number; readonly start: number; readonly end: number } };
  concatenate: { inputs: readonly Tensor[]; params: { readonly axis: number } };
  /** Sum over axes, which stay with length 1. */
  sum: { inputs: Unary; params: { readonly axes: readonly number[] } };
  /** Repeats axes of length 1 to the node's shape. */
  broadcast: { inputs: Unary; params: None };
  /** Over the last axis. */
  softmax: { inputs: Unary; params: None };
  /** Over the last axis. */
  logSoftmax: { inputs: Unary; params: None };
  /** x / sqrt(mean(x²) + ε) · weight over the last axis (Zhang & Sennrich 2019). */
  rmsNorm: { inputs: Binary; params: { readonly epsilon: number } };
  /** (x − mean(x)) / sqrt(variance(x) + ε) over the last axis: layer normalization before its weight and bias (Ba et al. 2016). */
  standardize: { inputs: Unary; params: { readonly epsilon: number } };
  /** 1 at the `count` largest elements of the last axis, else 0; of equal ones the first; no gradient. */
  markLargest: { inputs: Unary; params: { readonly count: number } };
  /**
   * Rotary position embedding (Su et al. 2021, "rotate half" convention) of x_BHTD by the angles whose
   * cosines and sines are given per position, cosine_TF and sine_TF with F = D / 2.
   * Inputs: x_BHTD, cosine_TF, sine_TF, positions_BT (int32); no gradient to the last three.
   */
  rotate: { inputs: readonly [Tensor, Tensor, Tensor, Tensor]; params: None };
  /** Rows of table_VD picked by int32 ids of any shape. */
  gatherRows: { inputs: Binary; params: None };
  /**
   * Different rows of x_NE: those at int32 `rows` [R]. `places` [N] says where each row of x is among them, R where it is not, so that
   * gradients need no adding up. A row that is there twice counts once in gradients.
   */
  pickRows: { inputs: readonly [Tensor, Tensor, Tensor]; params: None };
  /** x[…, id] for the int32 id at each leading position; the last axis stays with length 1. */
  takeLast: { inputs: Binary; params: None };
  /** int32 ids to float rows of length `depth`, 1 at the id. */
  oneHot: { inputs: Unary; params: { readonly depth: number } };
  /** base_VE, to whose rows at int32 ids [N] the N rows are added, repeated ids included: the transpose of `gatherRows`. */
  addRows: { inputs: readonly [base: Tensor, ids: Tensor, rows: Tensor]; params: None };
  /** A base to which one value is added in each place of its leading axes, at the int32 id there: the transpose of `takeLast`. */
  addLast: { inputs: readonly [base: Tensor, ids: Tensor, values: Tensor]; params: None };
  /** The same value, through which no gradient flows. */
  stopGradient: { inputs: Unary; params: None };
}

/** The name of a primitive. */
export type Primitive = keyof PrimitiveTable;
