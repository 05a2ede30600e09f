/** How each primitive is carried out: by an instruction, by another view of the same numbers, or as a step of a longer expression. */
import type { Primitive, Tensor } from "../../primitive.ts";
import { type Shape, sizeOf } from "../../shape.ts";
import { encodeProduct, hasFewBatches, isReadableLeft, isReadableRight } from "./encode-product.ts";
import {
  encodeGather,
  encodeRotate,
  encodeRows,
  encodeSum,
  encodeTake,
  type RowOptions,
} from "./encode-rows.ts";
import type { Instruction } from "./instruction.ts";
import { applyStep, type Expression, encodeMap, expressView, type StepName } from "./map-tree.ts";
import { broadcastView, isRowMajor, permuteView, sliceView, strideAt, type View } from "./view.ts";

/** What a tensor becomes: numbers in a storage, or an expression that its reader may carry on. */
export type Value = View | Expression;

/** What a rule may ask of the planner. */
export interface PlanBuilder {
  /** A tensor's numbers. */
  view(tensor: Tensor): View;
  /** An input as it is bound. */
  bind(tensor: Tensor<"input">): View;
  constant(tensor: Tensor<"constant">): View;
  /** Room for a result, of any strides but 1 on the last axis: inside of the result of `concatenate` where that is its only reader. */
  place(result: Tensor): View;
  /** Room for numbers in order. */
  allocate(shape: Shape): View;
  /** The same numbers in float32. */
  widen(view: View): View;
  /** The same numbers in float32, in order. */
  settle(view: View): View;
  /** The same elements in another shape, moved where need be. */
  reshape(view: View, shape: Shape): View;
  /** Copies numbers, unless they lie there already. */
  copy(from: View, to: View): void;
  /** An elementwise step. */
  apply(name: StepName, result: Tensor): Value;
  emit(instruction: Instruction): void;
}

type KernelRule<P extends Primitive> = (result: Tensor<P>, to: PlanBuilder) => Value;

type ElementwisePrimitive = Extract<Primitive, StepName>;
const elementwise =
  (name: StepName): KernelRule<ElementwisePrimitive> =>
  (result, to) =>
    to.apply(name, result);

/** A function of the rows of the last axis. */
function emitRows(result: Tensor, to: PlanBuilder, options: Omit<RowOptions, "x" | "out">): View {
  const out = to.allocate(result.shape);
  to.emit(encodeRows({ ...options, x: to.settle(viewInput(result, to)), out }));
  return out;
}

/** An input of a tensor, the first by default. */
function viewInput({ inputs }: Tensor, to: PlanBuilder, index = 0): View {
  const input: Tensor | undefined = inputs[index];
  if (input === undefined) throw new TypeError(`Cannot plan a tensor without input ${index}`);
  return to.view(input);
}

/** The view with its last two axes exchanged. */
function flip(view: View): View {
  const axes = [...view.shape.keys()];
  return permuteView(view, [...axes.slice(0, -2), ...axes.slice(-2).reverse()]);
}

function multiply(result: Tensor<"matmul">, to: PlanBuilder): View {
  const { transposeLeft, transposeRight, scale } = result.params;
  const [first, second] = [viewInput(result, to), viewInput(result, to, 1)];
  const [left, right] = [transposeLeft ? flip(first) : first, transposeRight ? flip(second) : second];
  const views = {
    left: isReadableLeft(left) ? left : to.settle(left),
    right: isReadableRight(right) ? right : to.settle(right),
    out: to.place(result),
    scale,
  };
  if (hasFewBatches(views)) {
    to.emit(encodeProduct(views));
    return views.out;
  }
  const out = to.allocate(result.shape);
  to.emit(encodeProduct({ left: to.settle(left), right: to.settle(right), out, scale }));
  return out;
}

function concatenate(result: Tensor<"concatenate">, to: PlanBuilder): View {
  const { axis } = result.params;
  const out = to.place(result);
  let start = 0;
  for (const input of result.inputs) {
    const end = start + (input.shape[axis] ?? 0);
    to.copy(to.view(input), sliceView(out, { axis, start, end }));
    start = end;
  }
  return out;
}

function rotate(result: Tensor<"rotate">, to: PlanBuilder): View {
  const x = viewInput(result, to);
  const [cosine, sine, positions] = [1, 2, 3].map((index) => to.settle(viewInput(result, to, index)));
  if (cosine === undefined || sine === undefined || positions === undefined)
    throw new TypeError("Cannot rotate without angles and positions");
  const out = to.place(result);
  to.emit(
    encodeRotate({ x: strideAt(x, -1) === 1 ? to.widen(x) : to.settle(x), cosine, sine, positions, out }),
  );
  return out;
}

/** Rows of the first input by the ids of the second. */
function gather(result: Tensor<"gatherRows"> | Tensor<"pickRows">, to: PlanBuilder): View {
  const table = viewInput(result, to);
  const row = { ...table, shape: table.shape.slice(1), strides: table.strides.slice(1) };
  const readable = isRowMajor(row) ? table : to.settle(table);
  const out = to.allocate(result.shape);
  to.emit(encodeGather({ table: readable, ids: to.settle(viewInput(result, to, 1)), out }));
  return out;
}

function take(kernel: "take" | "oneHot", result: Tensor, to: PlanBuilder): View {
  const isTake = kernel === "take";
  const x = isTake ? to.settle(viewInput(result, to)) : undefined;
  const ids = to.settle(viewInput(result, to, isTake ? 1 : 0));
  const out = to.allocate(result.shape);
  to.emit(encodeTake(kernel, { x, ids, out }));
  return out;
}

/** By a product with one-hot rows: only gradients need it, which do not run here. */
function addRows(result: Tensor<"addRows">, to: PlanBuilder): View {
  const [base, ids, rows] = [0, 1, 2].map((index) => viewInput(result, to, index)) as [View, View, View];
  const picks = takeOnes(ids, result.shape.slice(0, 1), to);
  const width = sizeOf(result.shape.slice(1));
  const right = to.settle(to.reshape(rows, [...ids.shape, width]));
  const sums = to.allocate([...result.shape.slice(0, 1), width]);
  to.emit(encodeProduct({ left: to.settle(flip(picks)), right, out: sums, scale: 1 }));
  return combine("add", [to.widen(base), to.reshape(sums, result.shape)], to);
}

function addLast(result: Tensor<"addLast">, to: PlanBuilder): View {
  const [base, ids, values] = [0, 1, 2].map((index) => viewInput(result, to, index)) as [View, View, View];
  const picks = takeOnes(ids, result.shape.slice(-1), to);
  const spread = combine("multiply", [picks, broadcastView(values, result.shape)], to);
  return combine("add", [to.widen(base), spread], to);
}

function takeOnes(ids: View, depth: Shape, to: PlanBuilder): View {
  const out = to.allocate([...ids.shape, ...depth]);
  to.emit(encodeTake("oneHot", { x: undefined, ids: to.settle(ids), out }));
  return out;
}

/** An elementwise operation of two views of the same shape. */
function combine(name: StepName, [left, right]: readonly [View, View], to: PlanBuilder): View {
  const expression = applyStep(name, left.shape, [expressView(left), expressView(right)]);
  if (expression === undefined) throw new RangeError(`Cannot plan ${name} of two views`);
  const out = to.allocate(left.shape);
  to.emit(encodeMap(expression, out));
  return out;
}

/** The total table of rules: a primitive without one does not compile. */
export const kernelRules: { readonly [P in Primitive]: KernelRule<P> } = {
  input: (result, to) => to.bind(result),
  constant: (result, to) => to.constant(result),
  add: elementwise("add"),
  subtract: elementwise("subtract"),
  multiply: elementwise("multiply"),
  divide: elementwise("divide"),
  minimum: elementwise("minimum"),
  maximum: elementwise("maximum"),
  lessOrEqual: elementwise("lessOrEqual"),
  negate: elementwise("negate"),
  exp: elementwise("exp"),
  log: elementwise("log"),
  sqrt: elementwise("sqrt"),
  reciprocal: elementwise("reciprocal"),
  sigmoid: elementwise("sigmoid"),
  tanh: elementwise("tanh"),
  erf: elementwise("erf"),
  relu: elementwise("relu"),
  matmul: multiply,
  transpose: (result, to) => permuteView(viewInput(result, to), result.params.permutation),
  reshape: (result, to) => to.reshape(viewInput(result, to), result.shape),
  slice: (result, to) => sliceView(viewInput(result, to), result.params),
  concatenate,
  sum: (result, to) => {
    const out = to.allocate(result.shape);
    to.emit(encodeSum(to.widen(viewInput(result, to)), out, result.params.axes));
    return out;
  },
  broadcast: (result, to) => broadcastView(viewInput(result, to), result.shape),
  softmax: (result, to) => emitRows(result, to, { kernel: "softmax", elementNs: 1.5 }),
  logSoftmax: (result, to) => emitRows(result, to, { kernel: "logSoftmax", elementNs: 2 }),
  rmsNorm: (result, to) => {
    const given = viewInput(result, to, 1);
    const weight = strideAt(given, -1) === 1 ? given : to.settle(given);
    return emitRows(result, to, {
      kernel: "normalize",
      elementNs: 0.5,
      weight,
      epsilon: result.params.epsilon,
    });
  },
  standardize: (result, to) =>
    emitRows(result, to, { kernel: "standardize", elementNs: 1, epsilon: result.params.epsilon }),
  markLargest: (result, to) => {
    const { count } = result.params;
    return emitRows(result, to, { kernel: "mark", elementNs: 1 + count, count });
  },
  rotate,
  gatherRows: gather,
  pickRows: gather,
  takeLast: (result, to) => take("take", result, to),
  oneHot: (result, to) => take("oneHot", result, to),
  addRows,
  addLast,
  stopGradient: (result, to) => viewInput(result, to),
};

function applyRule<P extends Primitive>(result: Tensor<P>, to: PlanBuilder): Value {
  return kernelRules[result.primitive](result, to);
}

/** What a tensor becomes, by the rule of its primitive. */
export function planTensor(result: Tensor, to: PlanBuilder): Value {
  return applyRule(result, to);
}
