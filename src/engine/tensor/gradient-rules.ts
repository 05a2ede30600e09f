/** One gradient rule a primitive: what flows to each input, given what flows into the result. */
import * as op from "./operations.ts";
import type { Primitive, Tensor } from "./primitive.ts";
import { broadcastAxes, isSameShape, type Shape } from "./shape.ts";

/**
 * The vector–Jacobian product of one primitive: `gradient` has the shape of `result`; the rule returns one
 * tensor an input, of that input's shape, or `undefined` where nothing flows (ids, constants).
 */
type GradientRule<P extends Primitive> = (
  result: Tensor<P>,
  gradient: Tensor,
) => readonly (Tensor | undefined)[];

/** Sums `gradient` back to `shape` over the axes that broadcasting had repeated. */
function unbroadcast(gradient: Tensor, shape: Shape): Tensor {
  if (isSameShape(gradient.shape, shape)) return gradient;
  return op.reshape(op.sum(gradient, broadcastAxes(shape, gradient.shape)), shape);
}

function inverse(permutation: readonly number[]): readonly number[] {
  return permutation.map((_, axis) => permutation.indexOf(axis));
}

const lastAxis = [-1] as const;

/** Tables and rows that are longer are not worth a one-hot row for each id. */
const mostOneHot = 1024;

/** Whether a tensor holds nothing but zeros, as `zeros` makes them. */
function holdsZeros(tensor: Tensor): boolean {
  const [source] = tensor.inputs as readonly (Tensor | undefined)[];
  if (tensor.primitive !== "broadcast" || source?.primitive !== "constant") return false;
  return (source as Tensor<"constant">).params.values.every((value) => value === 0);
}

/** Of a gradient that has one value in each place of its leading axes and zeros besides: the values and their ids. */
function findSingle(gradient: Tensor): { readonly ids: Tensor; readonly values: Tensor } | undefined {
  if (gradient.primitive !== "addLast") return undefined;
  const [base, ids, values] = (gradient as Tensor<"addLast">).inputs;
  return holdsZeros(base) ? { ids, values } : undefined;
}

/** The sum of two gradients of the same shape: where one of them is few rows among zeros, those are added to the other. */
export function joinGradients(first: Tensor, second: Tensor): Tensor {
  for (const [sparse, other] of [
    [first, second],
    [second, first],
  ] as const) {
    if (sparse.primitive !== "addRows") continue;
    const [base, ids, rows] = (sparse as Tensor<"addRows">).inputs;
    if (holdsZeros(base)) return op.addRows(other, ids, rows);
  }
  return op.add(first, second);
}

/** The total table of rules: a primitive without one does not compile. */
export const gradientRules: { readonly [P in Primitive]: GradientRule<P> } = {
  input: () => [],
  constant: () => [],
  add: ({ inputs: [left, right] }, g) => [unbroadcast(g, left.shape), unbroadcast(g, right.shape)],
  subtract: ({ inputs: [left, right] }, g) => [
    unbroadcast(g, left.shape),
    unbroadcast(op.negate(g), right.shape),
  ],
  // (xy)' = x'y + xy'
  multiply: ({ inputs: [left, right] }, g) => [
    unbroadcast(op.multiply(g, right), left.shape),
    unbroadcast(op.multiply(g, left), right.shape),
  ],
  // (x/y)' = x'/y − (x/y) y'/y
  divide: (result, g) => {
    const [left, right] = result.inputs;
    const overRight = op.divide(g, right);
    return [
      unbroadcast(overRight, left.shape),
      unbroadcast(op.negate(op.multiply(overRight, result)), right.shape),
    ];
  },
  minimum: ({ inputs: [left, right] }, g) => splitBySelection(g, op.lessOrEqual(left, right), left, right),
  maximum: ({ inputs: [left, right] }, g) => splitBySelection(g, op.lessOrEqual(right, left), left, right),
  lessOrEqual: () => [undefined, undefined],
  negate: (_, g) => [op.negate(g)],
  exp: (result, g) => [op.multiply(g, result)],
  log: ({ inputs: [x] }, g) => [op.divide(g, x)],
  // d√x = dx / (2√x)
  sqrt: (result, g) => [op.divide(op.multiply(g, 0.5), result)],
  // d(1/x) = −x⁻² dx
  reciprocal: (result, g) => [op.negate(op.multiply(g, op.multiply(result, result)))],
  // σ' = σ(1 − σ)
  sigmoid: (result, g) => [op.multiply(g, op.subtract(result, op.multiply(result, result)))],
  // tanh' = 1 − tanh²
  tanh: (result, g) => [op.multiply(g, op.subtract(1, op.multiply(result, result)))],
  // erf' = 2/√π e^(−x²)
  erf: ({ inputs: [x] }, g) => [
    op.multiply(op.multiply(g, 2 / Math.sqrt(Math.PI)), op.exp(op.negate(op.multiply(x, x)))),
  ],
  relu: (result, g) => [op.multiply(g, op.subtract(1, op.lessOrEqual(result, 0)))],
  matmul: ({ inputs: [left, right], params }, g) => {
    const { transposeLeft, transposeRight, scale } = params;
    // C = s·A·B: dA = s·G·Bᵀ and dB = s·Aᵀ·G; a transposed operand gets the transposed product.
    const toLeft = transposeLeft
      ? op.matmul(right, g, { transposeLeft: transposeRight, transposeRight: true, scale })
      : op.matmul(g, right, { transposeRight: !transposeRight, scale });
    const toRight = transposeRight
      ? op.matmul(g, left, { transposeLeft: true, transposeRight: transposeLeft, scale })
      : op.matmul(left, g, { transposeLeft: !transposeLeft, scale });
    return [toLeft, toRight];
  },
  transpose: ({ params }, g) => [op.transpose(g, inverse(params.permutation))],
  reshape: ({ inputs: [x] }, g) => [op.reshape(g, x.shape)],
  slice: ({ inputs: [x], params }, g) => [padWithZeros(g, { shape: x.shape, ...params })],
  concatenate: ({ inputs, params: { axis } }, g) => {
    let start = 0;
    return inputs.map((part) => {
      const end = start + (part.shape[axis] ?? 0);
      const gradient = op.slice(g, { axis, start, end });
      start = end;
      return gradient;
    });
  },
  sum: ({ inputs: [x] }, g) => [op.broadcast(g, x.shape)],
  broadcast: ({ inputs: [x] }, g) => [unbroadcast(g, x.shape)],
  // dx = y (g − Σ g y)
  softmax: (result, g) => {
    const inner = op.sum(op.multiply(g, result), lastAxis);
    return [op.multiply(result, op.subtract(g, inner))];
  },
  // dx = g − softmax(x) Σ g
  logSoftmax: (result, g) => {
    const single = findSingle(g);
    if (single === undefined) return [op.subtract(g, op.multiply(op.exp(result), op.sum(g, lastAxis)))];
    const { ids, values } = single;
    return [op.addLast(op.multiply(op.exp(result), op.negate(values)), ids, values)];
  },
  rmsNorm: ({ inputs: [x, weight], params }, g) => rmsNormGradient({ x, weight, g, ...params }),
  standardize: (result, g) => [standardizeGradient(result, g)],
  markLargest: () => [undefined],
  // A rotation's transpose is the rotation by the opposite angle.
  rotate: ({ inputs: [, cosine, sine, positions] }, g) => [
    op.rotate(g, { cosine, sine: op.negate(sine), positions }),
    undefined,
    undefined,
    undefined,
  ],
  gatherRows: ({ inputs: [table, ids] }, g) => {
    const numIds = ids.shape.reduce((product, length) => product * length, 1);
    const [numRows = 0, ...rowShape] = table.shape;
    const rows = op.reshape(g, [numIds, ...rowShape]);
    const flatIds = op.reshape(ids, [numIds]);
    if (numRows > mostOneHot) return [op.addRows(op.zeros(table.shape), flatIds, rows), undefined];
    // A product with one-hot rows adds up what each table row received, repeated ids included.
    return [op.matmul(op.oneHot(flatIds, numRows), rows, { transposeLeft: true }), undefined];
  },
  // Row n of x gets what its place got, or the row of zeros behind them.
  pickRows: ({ inputs: [, , places] }, g) => {
    const zeros = op.constant([1, ...g.shape.slice(1)], [0]);
    return [op.gatherRows(op.concatenate([g, zeros], 0), places), undefined, undefined];
  },
  takeLast: ({ inputs: [x, ids] }, g) => {
    const depth = x.shape.at(-1) ?? 0;
    const isLong = depth > mostOneHot;
    return [
      isLong ? op.addLast(op.zeros(x.shape), ids, g) : op.multiply(op.oneHot(ids, depth), g),
      undefined,
    ];
  },
  oneHot: () => [undefined],
  addRows: ({ inputs: [, ids] }, g) => [g, undefined, op.gatherRows(g, ids)],
  addLast: ({ inputs: [, ids] }, g) => [g, undefined, op.takeLast(g, ids)],
  stopGradient: () => [undefined],
};

function splitBySelection(g: Tensor, selectsLeft: Tensor, left: Tensor, right: Tensor): readonly Tensor[] {
  const toLeft = op.multiply(g, selectsLeft);
  return [unbroadcast(toLeft, left.shape), unbroadcast(op.subtract(g, toLeft), right.shape)];
}

interface Padding {
  readonly shape: Shape;
  readonly axis: number;
  readonly start: number;
  readonly end: number;
}

/** `g` with zeros before and after it along one axis, so that it has `shape`: the transpose of a slice. */
function padWithZeros(g: Tensor, { shape, axis, start, end }: Padding): Tensor {
  const zeros = (length: number): readonly Tensor[] =>
    length === 0
      ? []
      : [
          op.constant(
            shape.map((size, index) => (index === axis ? length : size)),
            [0],
          ),
        ];
  return op.concatenate([...zeros(start), g, ...zeros((shape[axis] ?? 0) - end)], axis);
}

/**
 * y = x r w with r = (mean(x²) + ε)^−½: with n = x r and h = g w,
 * dx = r (h − n mean(h n)), dw = Σ g n over all rows.
 */
function rmsNormGradient(parts: {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly g: Tensor;
  readonly epsilon: number;
}): readonly Tensor[] {
  const { x, weight, g, epsilon } = parts;
  const meanSquare = op.mean(op.multiply(x, x), lastAxis);
  const r = op.reciprocal(op.sqrt(op.add(meanSquare, epsilon)));
  const n = op.multiply(x, r);
  const h = op.multiply(g, weight);
  const inner = op.mean(op.multiply(h, n), lastAxis);
  const toX = op.multiply(op.subtract(h, op.multiply(n, inner)), r);
  return [toX, unbroadcast(op.multiply(g, n), weight.shape)];
}

/** y = (x − mean(x)) r with r = (variance(x) + ε)^−½: dx = r (g − mean(g) − y mean(g y)). */
function standardizeGradient(result: Tensor<"standardize">, g: Tensor): Tensor {
  const [x] = result.inputs;
  const centered = op.subtract(x, op.mean(x, lastAxis));
  const variance = op.mean(op.multiply(centered, centered), lastAxis);
  const r = op.reciprocal(op.sqrt(op.add(variance, result.params.epsilon)));
  const inner = op.multiply(result, op.mean(op.multiply(g, result), lastAxis));
  return op.multiply(op.subtract(op.subtract(g, op.mean(g, lastAxis)), inner), r);
}
