/** A case of every primitive, with the same in float64: for each backend that carries out tensor graphs. */
import * as op from "../../src/engine/tensor/operations.ts";
import type { Primitive, Tensor } from "../../src/engine/tensor/primitive.ts";
import type { Shape } from "../../src/engine/tensor/shape.ts";

/** Numbers of a tensor, row-major. */
export type Numbers = readonly number[];

/** A graph of random inputs, and what it gives. */
export interface PrimitiveCase {
  /** Shapes of the float inputs. */
  readonly shapes: readonly Shape[];
  /** int32 inputs, fixed. */
  readonly integers?: readonly { readonly shape: Shape; readonly values: Numbers }[];
  readonly build: (floats: readonly Tensor[], integers: readonly Tensor[]) => Tensor;
  /** The same in float64, on row-major arrays. */
  readonly reference: (floats: readonly Numbers[]) => Numbers;
  /** Range of random inputs (default −2…2). */
  readonly range?: readonly [number, number];
  /** Why the gradient is not compared. */
  readonly hasNoGradient?: boolean;
}

/** An element that is there. */
export const at = (values: Numbers, index: number): number => values[index]!;

/** Rows of `width` values mapped to rows. */
const byRow =
  (width: number, row: (values: Numbers) => Numbers) =>
  (values: Numbers): Numbers =>
    Array.from({ length: values.length / width }, (_, index) =>
      row(values.slice(index * width, (index + 1) * width)),
    ).flat();

const softmaxRow = (row: Numbers): Numbers => {
  const top = Math.max(...row);
  const total = row.reduce((sum, x) => sum + Math.exp(x - top), 0);
  return row.map((x) => Math.exp(x - top) / total);
};

const unaryCase = (
  build: (x: Tensor) => Tensor,
  f: (x: number) => number,
  range?: readonly [number, number],
): PrimitiveCase => ({
  shapes: [[3, 5]],
  build: ([x]) => build(x!),
  reference: ([x]) => x!.map(f),
  ...(range && { range }),
});

/** left [2, 3, 4] with right [3, 1]: broadcast in both a missing and a length-1 axis. */
const binaryCase = (
  build: (left: Tensor, right: Tensor) => Tensor,
  f: (left: number, right: number) => number,
  range?: readonly [number, number],
): PrimitiveCase => ({
  shapes: [
    [2, 3, 4],
    [3, 1],
  ],
  build: ([left, right]) => build(left!, right!),
  reference: ([left, right]) => left!.map((x, index) => f(x, at(right!, Math.floor(index / 4) % 3))),
  ...(range && { range }),
});

/** A [rows, inner] times B [inner, columns]. */
export function multiplyMatrices(
  left: Numbers,
  right: Numbers,
  [rows, inner, columns]: readonly [number, number, number],
): Numbers {
  return Array.from({ length: rows * columns }, (_, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    let total = 0;
    for (let k = 0; k < inner; k++) total += at(left, row * inner + k) * at(right, k * columns + column);
    return total;
  });
}

/** The transpose of a matrix [rows, columns]. */
export const transposeMatrix = (values: Numbers, [rows, columns]: readonly [number, number]): Numbers =>
  Array.from({ length: rows * columns }, (_, index) =>
    at(values, (index % rows) * columns + Math.floor(index / rows)),
  );

const cosine = [0.9, 0.2, -0.4, 0.7, 0.1, -0.8];
const sine = cosine.map((c) => Math.sqrt(1 - c * c));

/** The error function as its Taylor series, which for |x| ≤ 2 converges fast. */
function errorFunction(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; n < 60; n++) {
    term *= -(x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

/** The case of every primitive. */
export const primitiveCases: { readonly [P in Primitive]: PrimitiveCase } = {
  input: unaryCase(
    (x) => x,
    (x) => x,
  ),
  constant: {
    shapes: [[3]],
    build: ([x]) => op.multiply(x!, op.constant([3], [1.5, -2, 4])),
    reference: ([x]) => x!.map((v, i) => v * [1.5, -2, 4][i]!),
  },
  add: binaryCase(op.add, (x, y) => x + y),
  subtract: binaryCase(op.subtract, (x, y) => x - y),
  multiply: binaryCase(op.multiply, (x, y) => x * y),
  divide: binaryCase(op.divide, (x, y) => x / y, [0.5, 3]),
  minimum: binaryCase(op.minimum, Math.min),
  maximum: binaryCase(op.maximum, Math.max),
  lessOrEqual: { ...binaryCase(op.lessOrEqual, (x, y) => (x <= y ? 1 : 0)), hasNoGradient: true },
  negate: unaryCase(op.negate, (x) => -x),
  exp: unaryCase(op.exp, Math.exp),
  log: unaryCase(op.log, Math.log, [0.2, 3]),
  sqrt: unaryCase(op.sqrt, Math.sqrt, [0.2, 3]),
  reciprocal: unaryCase(op.reciprocal, (x) => 1 / x, [0.3, 3]),
  sigmoid: unaryCase(op.sigmoid, (x) => 1 / (1 + Math.exp(-x))),
  tanh: unaryCase(op.tanh, Math.tanh),
  erf: unaryCase(op.erf, errorFunction),
  relu: unaryCase(op.relu, (x) => Math.max(0, x)),
  matmul: {
    shapes: [
      [2, 3, 4],
      [2, 4, 5],
    ],
    build: ([left, right]) => op.matmul(left!, right!, { scale: 0.7 }),
    reference: ([left, right]) =>
      [0, 1].flatMap((batch) =>
        multiplyMatrices(
          left!.slice(batch * 12, batch * 12 + 12),
          right!.slice(batch * 20, batch * 20 + 20),
          [3, 4, 5],
        ).map((v) => 0.7 * v),
      ),
  },
  transpose: {
    shapes: [[2, 3, 4]],
    build: ([x]) => op.transpose(x!, [2, 0, 1]),
    reference: ([x]) =>
      Array.from({ length: 24 }, (_, i) =>
        at(x!, Math.floor((i % 6) / 3) * 12 + (i % 3) * 4 + Math.floor(i / 6)),
      ),
  },
  reshape: { shapes: [[2, 6]], build: ([x]) => op.reshape(x!, [3, 4]), reference: ([x]) => x! },
  slice: {
    shapes: [[3, 4]],
    build: ([x]) => op.slice(x!, { axis: 1, start: 1, end: 3 }),
    reference: ([x]) => byRow(4, (row) => row.slice(1, 3))(x!),
  },
  concatenate: {
    shapes: [
      [2, 3],
      [2, 1],
    ],
    build: ([x, y]) => op.concatenate([x!, y!, x!], 1),
    reference: ([x, y]) =>
      [0, 1].flatMap((r) => [...x!.slice(r * 3, r * 3 + 3), at(y!, r), ...x!.slice(r * 3, r * 3 + 3)]),
  },
  sum: {
    shapes: [[3, 4]],
    build: ([x]) => op.sum(x!, [0]),
    reference: ([x]) => [0, 1, 2, 3].map((c) => at(x!, c) + at(x!, c + 4) + at(x!, c + 8)),
  },
  broadcast: {
    shapes: [[3, 1]],
    build: ([x]) => op.broadcast(x!, [2, 3, 4]),
    reference: ([x]) => Array.from({ length: 24 }, (_, i) => at(x!, Math.floor(i / 4) % 3)),
  },
  softmax: { shapes: [[3, 5]], build: ([x]) => op.softmax(x!), reference: ([x]) => byRow(5, softmaxRow)(x!) },
  logSoftmax: {
    shapes: [[3, 5]],
    build: ([x]) => op.logSoftmax(x!),
    reference: ([x]) => byRow(5, (row) => softmaxRow(row).map(Math.log))(x!),
  },
  rmsNorm: {
    shapes: [[3, 5], [5]],
    build: ([x, weight]) => op.rmsNorm(x!, weight!, { epsilon: 0.1 }),
    reference: ([x, weight]) =>
      byRow(5, (row) => {
        const scale = 1 / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / 5 + 0.1);
        return row.map((v, i) => v * scale * at(weight!, i));
      })(x!),
  },
  standardize: {
    shapes: [[3, 5]],
    build: ([x]) => op.standardize(x!, { epsilon: 0.1 }),
    reference: ([x]) =>
      byRow(5, (row) => {
        const mean = row.reduce((sum, v) => sum + v, 0) / 5;
        const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 5;
        return row.map((v) => (v - mean) / Math.sqrt(variance + 0.1));
      })(x!),
  },
  markLargest: {
    shapes: [[2, 3, 5]],
    build: ([x]) => op.markLargest(x!, 2),
    reference: ([x]) =>
      byRow(5, (row) => {
        const second = [...row].sort((a, b) => b - a)[1]!;
        return row.map((v) => (v >= second ? 1 : 0));
      })(x!),
    hasNoGradient: true,
  },
  rotate: {
    shapes: [[1, 2, 2, 4]],
    integers: [{ shape: [1, 2], values: [2, 1] }],
    build: ([x], [positions]) =>
      op.rotate(x!, {
        cosine: op.constant([3, 2], cosine),
        sine: op.constant([3, 2], sine),
        positions: positions!,
      }),
    reference: ([x]) =>
      Array.from({ length: 16 }, (_, i) => {
        const position = [2, 1][Math.floor(i / 4) % 2]!;
        const frequency = i % 2;
        const [c, s] = [at(cosine, position * 2 + frequency), at(sine, position * 2 + frequency)];
        return i % 4 < 2 ? at(x!, i) * c - at(x!, i + 2) * s : at(x!, i) * c + at(x!, i - 2) * s;
      }),
  },
  gatherRows: {
    shapes: [[4, 3]],
    integers: [{ shape: [2, 2], values: [3, 1, 1, 0] }],
    build: ([table], [ids]) => op.gatherRows(table!, ids!),
    reference: ([table]) => [3, 1, 1, 0].flatMap((id) => table!.slice(id * 3, id * 3 + 3)),
  },
  pickRows: {
    shapes: [[4, 3]],
    integers: [
      { shape: [2], values: [3, 1] },
      { shape: [4], values: [2, 1, 2, 0] },
    ],
    build: ([x], [rows, places]) => op.pickRows(x!, { rows: rows!, places: places! }),
    reference: ([x]) => [3, 1].flatMap((row) => x!.slice(row * 3, row * 3 + 3)),
  },
  takeLast: {
    shapes: [[2, 2, 3]],
    integers: [{ shape: [2, 2], values: [2, 0, 1, 1] }],
    build: ([x], [ids]) => op.takeLast(x!, ids!),
    reference: ([x]) => [2, 0, 1, 1].map((id, row) => at(x!, row * 3 + id)),
  },
  addRows: {
    shapes: [
      [4, 3],
      [3, 3],
    ],
    integers: [{ shape: [3], values: [3, 1, 3] }],
    build: ([base, rows], [ids]) => op.addRows(base!, ids!, rows!),
    reference: ([base, rows]) =>
      base!.map((value, index) => {
        const column = index % 3;
        const added = [3, 1, 3].map((id, row) =>
          id * 3 + column === index ? at(rows!, row * 3 + column) : 0,
        );
        return added.reduce((sum, one) => sum + one, value);
      }),
  },
  addLast: {
    shapes: [
      [2, 2, 3],
      [2, 2, 1],
    ],
    integers: [{ shape: [2, 2], values: [2, 0, 1, 1] }],
    build: ([base, values], [ids]) => op.addLast(base!, ids!, values!),
    reference: ([base, values]) =>
      base!.map((value, index) => {
        const row = Math.floor(index / 3);
        return index % 3 === [2, 0, 1, 1][row] ? value + at(values!, row) : value;
      }),
  },
  oneHot: {
    shapes: [[2, 3]],
    integers: [{ shape: [2], values: [2, 0] }],
    build: ([x], [ids]) => op.multiply(x!, op.oneHot(ids!, 3)),
    reference: ([x]) => [0, 0, at(x!, 2), at(x!, 3), 0, 0],
  },
  stopGradient: { ...unaryCase(op.stopGradient, (x) => x), hasNoGradient: true },
};

/** Long tables and rows, of which gradients add up in place. */
export const longCases: Readonly<Record<string, PrimitiveCase>> = {
  "gatherRows of many": {
    shapes: [[1500, 2]],
    integers: [{ shape: [2, 2], values: [1400, 1, 1, 0] }],
    build: ([table], [ids]) => op.gatherRows(table!, ids!),
    reference: ([table]) => [1400, 1, 1, 0].flatMap((id) => table!.slice(id * 2, id * 2 + 2)),
  },
  "gatherRows of many, twice": {
    shapes: [[1500, 2]],
    integers: [
      { shape: [3], values: [1400, 1, 1] },
      { shape: [2], values: [7, 1] },
    ],
    build: ([table], [ids, others]) =>
      op.add(
        op.matmul(op.gatherRows(table!, ids!), table!, { transposeRight: true }),
        op.sum(op.gatherRows(table!, others!)),
      ),
    reference: ([table]) => {
      const row = (id: number): readonly number[] => table!.slice(id * 2, id * 2 + 2);
      const rest = [...row(7), ...row(1)].reduce((sum, value) => sum + value, 0);
      return [1400, 1, 1].flatMap((id) =>
        Array.from({ length: 1500 }, (_, other) => {
          const [left, right] = [row(id), row(other)];
          return at(left, 0) * at(right, 0) + at(left, 1) * at(right, 1) + rest;
        }),
      );
    },
  },
  "takeLast of many": {
    shapes: [[2, 1500]],
    integers: [{ shape: [2], values: [1400, 3] }],
    build: ([x], [ids]) => op.takeLast(x!, ids!),
    reference: ([x]) => [1400, 3].map((id, row) => at(x!, row * 1500 + id)),
  },
  "takeLast of many, of logSoftmax": {
    shapes: [[2, 1500]],
    integers: [{ shape: [2], values: [1400, 3] }],
    build: ([x], [ids]) => op.takeLast(op.logSoftmax(x!), ids!),
    reference: ([x]) =>
      [1400, 3].map((id, row) => {
        const values = x!.slice(row * 1500, (row + 1) * 1500);
        const total = values.reduce((sum, value) => sum + Math.exp(value), 0);
        return at(values, id) - Math.log(total);
      }),
  },
};
