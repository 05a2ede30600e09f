/** Every primitive: its value against a plain float64 loop, its gradient against finite differences of that loop. */
import { describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import { gradients } from "./gradient.ts";
import * as op from "./operations.ts";
import type { Primitive, Tensor } from "./primitive.ts";
import { compile, type TensorData } from "./session.ts";
import { type Shape, sizeOf } from "./shape.ts";

type Numbers = readonly number[];

interface PrimitiveCase {
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

const at = (values: Numbers, index: number): number => values[index]!;

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

function multiplyMatrices(
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

const transposeMatrix = (values: Numbers, [rows, columns]: readonly [number, number]): Numbers =>
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

const cases: { readonly [P in Primitive]: PrimitiveCase } = {
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
  oneHot: {
    shapes: [[2, 3]],
    integers: [{ shape: [2], values: [2, 0] }],
    build: ([x], [ids]) => op.multiply(x!, op.oneHot(ids!, 3)),
    reference: ([x]) => [0, 0, at(x!, 2), at(x!, 3), 0, 0],
  },
  stopGradient: { ...unaryCase(op.stopGradient, (x) => x), hasNoGradient: true },
};

/** float32 against float64 loops; values are of order one. */
const valueTolerance = 2e-5;
const gradientTolerance = 5e-4;

interface Measured {
  readonly value: Numbers;
  readonly gradients: readonly Numbers[];
  readonly weights: Numbers;
}

/** The engine's value, and the gradient of Σ weight · value, for random weights. */
async function measure(test: PrimitiveCase, floats: readonly Numbers[], seed: string): Promise<Measured> {
  const variables = test.shapes.map((shape, index) => op.input(`x${index}`, shape));
  const integers = (test.integers ?? []).map(({ shape }, index) => op.input(`ids${index}`, shape, "int32"));
  const result = test.build(variables, integers);
  const random = createRandom(1, seed, "weights");
  const weights = Array.from({ length: sizeOf(result.shape) }, () => random.uniform() * 2 - 1);
  const loss = op.sum(op.multiply(result, op.constant(result.shape, weights)));
  const wanted = test.hasNoGradient ? [] : gradients(loss, variables);
  const outputs: Record<string, Tensor> = { value: result };
  for (const [index, gradient] of wanted.entries()) outputs[`g${index}`] = gradient;
  const program = await compile(outputs, { numThreads: 1 });
  const feeds: Record<string, TensorData> = {};
  for (const [index, values] of floats.entries()) feeds[`x${index}`] = Float32Array.from(values);
  for (const [index, { values }] of (test.integers ?? []).entries())
    feeds[`ids${index}`] = Int32Array.from(values);
  const results = await program.run(feeds);
  await program.release();
  return {
    value: [...results.value!],
    gradients: wanted.map((_, index) => [...results[`g${index}`]!]),
    weights,
  };
}

describe("every primitive", () => {
  for (const [name, test] of Object.entries(cases)) {
    const random = createRandom(1, name);
    const [low, high] = test.range ?? [-2, 2];
    const draw = (shape: Shape): Numbers =>
      Array.from({ length: sizeOf(shape) }, () => Math.fround(low + (high - low) * random.uniform()));
    const floats = test.shapes.map(draw);

    it(`${name}: value equals a float64 loop`, async () => {
      const { value } = await measure(test, floats, name);
      const expected = test.reference(floats);
      expect(value.length).toBe(expected.length);
      for (const [index, wanted] of expected.entries())
        expect(Math.abs(value[index]! - wanted)).toBeLessThan(valueTolerance * Math.max(1, Math.abs(wanted)));
    });

    if (test.hasNoGradient !== true)
      it(`${name}: gradient equals finite differences in a random direction`, async () => {
        const { gradients: slopes, weights } = await measure(test, floats, name);
        const direction = floats.map((values) => values.map(() => random.uniform() * 2 - 1));
        const step = 1e-6;
        const lossAt = (sign: number): number => {
          const moved = floats.map((values, i) =>
            values.map((v, j) => v + sign * step * at(direction[i]!, j)),
          );
          return test.reference(moved).reduce((sum, v, index) => sum + v * at(weights, index), 0);
        };
        const expected = (lossAt(1) - lossAt(-1)) / (2 * step);
        const actual = slopes
          .flatMap((slope, i) => slope.map((v, j) => v * at(direction[i]!, j)))
          .reduce((a, b) => a + b, 0);
        expect(Math.abs(actual - expected)).toBeLessThan(gradientTolerance * Math.max(1, Math.abs(expected)));
        expect(Math.abs(expected)).toBeGreaterThan(1e-3); // a direction without slope would prove nothing
      });
  }

  for (const transposeLeft of [false, true])
    for (const transposeRight of [false, true])
      it(`matmul: transposes ${transposeLeft}, ${transposeRight} in value and gradient`, async () => {
        const random = createRandom(2, "matmul", String(transposeLeft), String(transposeRight));
        const left = Array.from({ length: 12 }, () => Math.fround(random.normal()));
        const right = Array.from({ length: 20 }, () => Math.fround(random.normal()));
        const reference = ([l, r]: readonly Numbers[]): Numbers =>
          multiplyMatrices(
            transposeLeft ? transposeMatrix(l!, [4, 3]) : l!,
            transposeRight ? transposeMatrix(r!, [5, 4]) : r!,
            [3, 4, 5],
          );
        const test: PrimitiveCase = {
          shapes: [transposeLeft ? [4, 3] : [3, 4], transposeRight ? [5, 4] : [4, 5]],
          build: ([l, r]) => op.matmul(l!, r!, { transposeLeft, transposeRight }),
          reference,
        };
        const { value, gradients: slopes, weights } = await measure(test, [left, right], "matmul");
        for (const [index, wanted] of reference([left, right]).entries())
          expect(value[index]).toBeCloseTo(wanted, 4);
        for (const [i, values] of [left, right].entries())
          for (const j of values.keys()) {
            const moved = (sign: number): number =>
              reference(
                [left, right].map((v, k) => v.map((x, m) => (k === i && m === j ? x + sign * 1e-5 : x))),
              ).reduce((sum, v, index) => sum + v * at(weights, index), 0);
            expect(slopes[i]![j]).toBeCloseTo((moved(1) - moved(-1)) / 2e-5, 3);
          }
      });
});

describe("gradients()", () => {
  it("adds up what flows along several paths", async () => {
    const x = op.input("x", [1]);
    const y = op.multiply(op.add(x, op.multiply(x, x)), x); // x² + x³
    const [slope] = gradients(op.sum(y), [x]);
    const program = await compile({ slope: slope! }, { numThreads: 1 });
    expect((await program.run({ x: Float32Array.of(3) })).slope![0]).toBeCloseTo(2 * 3 + 3 * 9, 4);
  });

  it("gives zeros for a variable that the output does not depend on", async () => {
    const [x, y] = [op.input("x", [2]), op.input("y", [2])];
    const [toX, toY] = gradients(op.sum(op.multiply(x, 2)), [x, y]);
    const program = await compile({ toX: toX!, toY: toY! }, { numThreads: 1 });
    const result = await program.run({ x: Float32Array.of(1, 1) });
    expect([...result.toX!]).toEqual([2, 2]);
    expect([...result.toY!]).toEqual([0, 0]);
  });

  it("refuses an output that is not a scalar", () => {
    expect(() => gradients(op.input("x", [2]), [])).toThrow(TypeError);
  });
});

describe("operations", () => {
  it("refuse shapes that do not fit", () => {
    const x = op.input("x", [2, 3]);
    expect(() => op.add(x, op.input("y", [2]))).toThrow("Cannot broadcast [2, 3] with [2]");
    expect(() => op.matmul(x, x)).toThrow("inner dimensions 3 and 2");
    expect(() => op.reshape(x, [5])).toThrow("sizes differ");
    expect(() => op.slice(x, { axis: 1, start: 2, end: 4 })).toThrow(RangeError);
    expect(() => op.transpose(x, [0, 0])).toThrow(TypeError);
  });
});

describe("Program", () => {
  it("names the input that is missing or of the wrong size", async () => {
    const program = await compile({ y: op.negate(op.input("x", [2])) }, { numThreads: 1 });
    await expect(program.run({})).rejects.toThrow('input "x" is not fed');
    await expect(program.run({ x: new Float32Array(3) })).rejects.toThrow(
      'Cannot feed 3 values to "x" of shape [2]',
    );
  });
});
