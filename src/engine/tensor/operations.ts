/** The engine's vocabulary: functions that check shapes and build symbolic tensors. */
import type { DataType, Primitive, PrimitiveTable, Tensor } from "./primitive.ts";
import { broadcastShapes, formatShape, isSameShape, normalizeAxis, type Shape, sizeOf } from "./shape.ts";

interface NodeParts<P extends Primitive> {
  readonly inputs: PrimitiveTable[P]["inputs"];
  readonly params: PrimitiveTable[P]["params"];
  readonly shape: Shape;
  readonly dtype?: DataType;
}

function node<P extends Primitive>(primitive: P, parts: NodeParts<P>): Tensor {
  const { inputs, params, shape, dtype = "float32" } = parts;
  return { primitive, inputs, params, shape, dtype };
}

type BinaryPrimitive = "add" | "subtract" | "multiply" | "divide" | "minimum" | "maximum" | "lessOrEqual";
type UnaryPrimitive =
  | "negate"
  | "exp"
  | "log"
  | "sqrt"
  | "reciprocal"
  | "sigmoid"
  | "relu"
  | "tanh"
  | "erf"
  | "softmax"
  | "logSoftmax"
  | "stopGradient";

/** What an operation takes: a tensor, or a number that stands for a scalar constant. */
export type Operand = Tensor | number;

function toTensor(operand: Operand): Tensor {
  return typeof operand === "number" ? constant([], [operand]) : operand;
}

function binary(primitive: BinaryPrimitive, left: Operand, right: Operand): Tensor {
  const inputs = [toTensor(left), toTensor(right)] as const;
  return node(primitive, { inputs, params: {}, shape: broadcastShapes(inputs[0].shape, inputs[1].shape) });
}

function unary(primitive: UnaryPrimitive, x: Tensor): Tensor {
  return node(primitive, { inputs: [x], params: {}, shape: x.shape });
}

/** A value fed at run time under `name`. */
export function input(name: string, shape: Shape, dtype: DataType = "float32"): Tensor {
  return node("input", { inputs: [], params: { name }, shape, dtype });
}

/** A value baked into the graph. `values` has the size of `shape`, or one element that fills it. */
export function constant(shape: Shape, values: readonly number[] | Float32Array): Tensor {
  if (values.length !== 1 && values.length !== sizeOf(shape))
    throw new TypeError(`Cannot fill ${formatShape(shape)} with ${values.length} values`);
  return node("constant", { inputs: [], params: { values }, shape });
}

/** left + right, broadcast. */
export function add(left: Operand, right: Operand): Tensor {
  return binary("add", left, right);
}
/** left − right, broadcast. */
export function subtract(left: Operand, right: Operand): Tensor {
  return binary("subtract", left, right);
}
/** left · right, elementwise, broadcast. */
export function multiply(left: Operand, right: Operand): Tensor {
  return binary("multiply", left, right);
}
/** left / right, broadcast. */
export function divide(left: Operand, right: Operand): Tensor {
  return binary("divide", left, right);
}
/** The smaller of the two, elementwise; where equal the gradient goes left. */
export function minimum(left: Operand, right: Operand): Tensor {
  return binary("minimum", left, right);
}
/** The larger of the two, elementwise; where equal the gradient goes left. */
export function maximum(left: Operand, right: Operand): Tensor {
  return binary("maximum", left, right);
}
/** 1 where left ≤ right, else 0; no gradient flows. */
export function lessOrEqual(left: Operand, right: Operand): Tensor {
  return binary("lessOrEqual", left, right);
}
/** −x. */
export function negate(x: Tensor): Tensor {
  return unary("negate", x);
}
/** eˣ. */
export function exp(x: Tensor): Tensor {
  return unary("exp", x);
}
/** The natural logarithm. */
export function log(x: Tensor): Tensor {
  return unary("log", x);
}
/** √x. */
export function sqrt(x: Tensor): Tensor {
  return unary("sqrt", x);
}
/** 1 / x. */
export function reciprocal(x: Tensor): Tensor {
  return unary("reciprocal", x);
}
/** 1 / (1 + e⁻ˣ). */
export function sigmoid(x: Tensor): Tensor {
  return unary("sigmoid", x);
}
/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  return unary("relu", x);
}
/** The hyperbolic tangent. */
export function tanh(x: Tensor): Tensor {
  return unary("tanh", x);
}
/** The error function. */
export function erf(x: Tensor): Tensor {
  return unary("erf", x);
}
/** Softmax over the last axis. */
export function softmax(x: Tensor): Tensor {
  return unary("softmax", x);
}
/** Log-softmax over the last axis. */
export function logSoftmax(x: Tensor): Tensor {
  return unary("logSoftmax", x);
}
/** The same value, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return unary("stopGradient", x);
}

/** How a matrix product treats its operands. */
export interface MatmulOptions {
  readonly transposeLeft?: boolean;
  readonly transposeRight?: boolean;
  /** A factor on the product (default 1). */
  readonly scale?: number;
}

/** scale · op(left) op(right) over the last two axes, batched over the leading ones, which must be equal. */
export function matmul(left: Tensor, right: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeLeft = false, transposeRight = false, scale = 1 } = options;
  const [rows, leftInner] = matrixSides(left.shape, transposeLeft);
  const [rightInner, columns] = matrixSides(right.shape, transposeRight);
  const batch = left.shape.slice(0, -2);
  if (leftInner !== rightInner || !isSameShape(batch, right.shape.slice(0, -2)))
    throw new TypeError(
      `Cannot multiply ${formatShape(left.shape)} by ${formatShape(right.shape)}: ` +
        `inner dimensions ${leftInner} and ${rightInner} or batches differ`,
    );
  const params = { transposeLeft, transposeRight, scale };
  return node("matmul", { inputs: [left, right], params, shape: [...batch, rows, columns] });
}

function matrixSides(shape: Shape, transposed: boolean): readonly [number, number] {
  const [rows, columns] = shape.slice(-2);
  if (rows === undefined || columns === undefined)
    throw new TypeError(
      `Cannot multiply a tensor of shape ${formatShape(shape)}: it has fewer than two axes`,
    );
  return transposed ? [columns, rows] : [rows, columns];
}

/** x with its axes in the order of `permutation`. */
export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  const shape = permutation.map((axis) => x.shape[normalizeAxis(axis, x.shape.length)] ?? 0);
  if (new Set(permutation).size !== x.shape.length)
    throw new TypeError(`Cannot transpose ${formatShape(x.shape)} by ${formatShape(permutation)}`);
  // Where only axes of length 1 change places, no element does.
  const moved = permutation
    .map((axis) => normalizeAxis(axis, x.shape.length))
    .filter((axis) => x.shape[axis] !== 1);
  if (moved.every((axis, index) => index === 0 || axis > (moved[index - 1] ?? 0))) return reshape(x, shape);
  return node("transpose", { inputs: [x], params: { permutation }, shape });
}

/** The same elements in another shape of the same size. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (sizeOf(shape) !== sizeOf(x.shape))
    throw new TypeError(`Cannot reshape ${formatShape(x.shape)} to ${formatShape(shape)}: sizes differ`);
  if (isSameShape(shape, x.shape)) return x;
  return node("reshape", { inputs: [x], params: {}, shape, dtype: x.dtype });
}

/** The elements `start` ≤ index < `end` of one axis. */
export function slice(
  x: Tensor,
  range: { readonly axis: number; readonly start: number; readonly end: number },
): Tensor {
  const axis = normalizeAxis(range.axis, x.shape.length);
  const length = x.shape[axis] ?? 0;
  const { start, end } = range;
  if (start < 0 || end > length || start >= end)
    throw new RangeError(`Cannot slice ${start}…${end} from axis ${axis} of ${formatShape(x.shape)}`);
  if (start === 0 && end === length) return x;
  const shape = x.shape.map((size, index) => (index === axis ? end - start : size));
  return node("slice", { inputs: [x], params: { axis, start, end }, shape, dtype: x.dtype });
}

/** The tensors side by side along one axis; their other axes must agree. */
export function concatenate(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  if (first === undefined) throw new TypeError("Cannot concatenate no tensors");
  const along = normalizeAxis(axis, first.shape.length);
  const lengths = tensors.map((tensor) => {
    const agrees = tensor.shape.every((length, index) => index === along || length === first.shape[index]);
    if (!agrees || tensor.shape.length !== first.shape.length)
      throw new TypeError(`Cannot concatenate ${formatShape(first.shape)} and ${formatShape(tensor.shape)}`);
    return tensor.shape[along] ?? 0;
  });
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const shape = first.shape.map((length, index) => (index === along ? total : length));
  return node("concatenate", { inputs: tensors, params: { axis: along }, shape });
}

/** The sum over `axes` (all by default), which stay with length 1. */
export function sum(x: Tensor, axes: readonly number[] = x.shape.map((_, axis) => axis)): Tensor {
  if (axes.length === 0) return x;
  const along = axes.map((axis) => normalizeAxis(axis, x.shape.length));
  const shape = x.shape.map((length, axis) => (along.includes(axis) ? 1 : length));
  return node("sum", { inputs: [x], params: { axes: along }, shape });
}

/** The mean over `axes` (all by default), which stay with length 1. */
export function mean(x: Tensor, axes: readonly number[] = x.shape.map((_, axis) => axis)): Tensor {
  const total = sum(x, axes);
  return multiply(total, sizeOf(total.shape) / sizeOf(x.shape));
}

/** x repeated along axes of length 1 to `shape`. */
export function broadcast(x: Tensor, shape: Shape): Tensor {
  if (isSameShape(x.shape, shape)) return x;
  if (!isSameShape(broadcastShapes(x.shape, shape), shape))
    throw new TypeError(`Cannot broadcast ${formatShape(x.shape)} to ${formatShape(shape)}`);
  return node("broadcast", { inputs: [x], params: {}, shape });
}

/** x / sqrt(mean(x²) + epsilon) · weight over the last axis (RMSNorm, Zhang & Sennrich 2019). */
export function rmsNorm(x: Tensor, weight: Tensor, options: { readonly epsilon: number }): Tensor {
  if (!isSameShape(weight.shape, x.shape.slice(-1)))
    throw new TypeError(`Cannot scale ${formatShape(x.shape)} by a weight of ${formatShape(weight.shape)}`);
  return node("rmsNorm", { inputs: [x, weight], params: options, shape: x.shape });
}

/** (x − mean) / sqrt(variance + epsilon) over the last axis (layer normalization without weights, Ba et al. 2016). */
export function standardize(x: Tensor, options: { readonly epsilon: number }): Tensor {
  return node("standardize", { inputs: [x], params: options, shape: x.shape });
}

/** 1 at the `count` largest elements of the last axis, else 0; of equal elements the first. No gradient flows. */
export function markLargest(x: Tensor, count: number): Tensor {
  const width = x.shape.at(-1) ?? 0;
  if (count < 1 || count > width) throw new RangeError(`Cannot mark ${count} of ${width} elements`);
  return node("markLargest", { inputs: [x], params: { count }, shape: x.shape });
}

/** Rotation angles of every position, and which position each token has. */
export interface Rotation {
  /** cosine_PF and sine_PF for P positions and F = D / 2 frequencies. */
  readonly cosine: Tensor;
  readonly sine: Tensor;
  /** positions_BT, int32. */
  readonly positions: Tensor;
}

/** Rotary position embedding of x_BHTD ("rotate half" convention, as Hugging Face's Llama; Su et al. 2021). */
export function rotate(x: Tensor, rotation: Rotation): Tensor {
  const { cosine, sine, positions } = rotation;
  return node("rotate", { inputs: [x, cosine, sine, positions], params: {}, shape: x.shape });
}

/** The rows of table_VD at int32 `ids`: shape of ids + [D]. */
export function gatherRows(table: Tensor, ids: Tensor): Tensor {
  return node("gatherRows", {
    inputs: [table, ids],
    params: {},
    shape: [...ids.shape, ...table.shape.slice(1)],
  });
}

/** Which rows of a matrix are picked: `rows` [R], and for each row of the matrix its place among them, or R; both int32. */
export interface RowChoice {
  readonly rows: Tensor;
  readonly places: Tensor;
}

/** The rows of x_NE that are chosen, [R, E]: each row at most once, but for repetitions that get no gradient. */
export function pickRows(x: Tensor, { rows, places }: RowChoice): Tensor {
  if (x.shape.length !== 2 || !isSameShape(places.shape, x.shape.slice(0, 1)))
    throw new TypeError(`Cannot pick from ${formatShape(x.shape)} by places ${formatShape(places.shape)}`);
  return node("pickRows", {
    inputs: [x, rows, places],
    params: {},
    shape: [...rows.shape, ...x.shape.slice(1)],
  });
}

/** x[…, ids[…]] : the last axis of x shrinks to length 1; ids has the leading axes of x. */
export function takeLast(x: Tensor, ids: Tensor): Tensor {
  if (!isSameShape(ids.shape, x.shape.slice(0, -1)))
    throw new TypeError(`Cannot take ${formatShape(ids.shape)} ids from ${formatShape(x.shape)}`);
  return node("takeLast", { inputs: [x, ids], params: {}, shape: [...ids.shape, 1] });
}

/** Rows of length `depth` with a 1 at each int32 id. */
export function oneHot(ids: Tensor, depth: number): Tensor {
  return node("oneHot", { inputs: [ids], params: { depth }, shape: [...ids.shape, depth] });
}

/** base_VE with rows [N, E] added to those at int32 ids [N], one after the other where an id is repeated. */
export function addRows(base: Tensor, ids: Tensor, rows: Tensor): Tensor {
  if (!isSameShape(rows.shape, [...ids.shape, ...base.shape.slice(1)]) || ids.shape.length !== 1)
    throw new TypeError(
      `Cannot add rows ${formatShape(rows.shape)} to ${formatShape(base.shape)} at ids ${formatShape(ids.shape)}`,
    );
  return node("addRows", { inputs: [base, ids, rows], params: {}, shape: base.shape });
}

/** base[…, ids[…]] plus values […, 1]; ids has the leading axes of the base. */
export function addLast(base: Tensor, ids: Tensor, values: Tensor): Tensor {
  if (!isSameShape(ids.shape, base.shape.slice(0, -1)) || !isSameShape(values.shape, [...ids.shape, 1]))
    throw new TypeError(
      `Cannot add values ${formatShape(values.shape)} to ${formatShape(base.shape)} at ids ${formatShape(ids.shape)}`,
    );
  return node("addLast", { inputs: [base, ids, values], params: {}, shape: base.shape });
}

/** Zeros, which are not kept as numbers in the graph. */
export function zeros(shape: Shape): Tensor {
  const one = constant(
    shape.map(() => 1),
    [0],
  );
  return broadcast(one, shape);
}
