/** Every primitive on both backends: its value against a plain float64 loop, its gradient against finite differences of that loop. */
import { afterAll, describe, expect, it } from "vitest";
import {
  at,
  longCases,
  multiplyMatrices,
  type Numbers,
  type PrimitiveCase,
  primitiveCases,
  transposeMatrix,
} from "../../../test/support/primitive-cases.ts";
import { createRandom } from "../../base/core/index.ts";
import { gradients } from "./gradient.ts";
import { openKernels } from "./kernel/host.ts";
import { planProgram } from "./kernel/program.ts";
import type { Outputs } from "./lowering.ts";
import * as op from "./operations.ts";
import type { Tensor } from "./primitive.ts";
import { compile, type Program, type TensorData } from "./session.ts";
import { type Shape, sizeOf } from "./shape.ts";

/** float32 against float64 loops; values are of order one. */
const valueTolerance = 2e-5;
const gradientTolerance = 5e-4;

const kernels = openKernels({ numThreads: 2 });
afterAll(() => kernels.close());

type Compile = (outputs: Outputs) => Promise<Program>;

const backends: Readonly<Record<string, Compile>> = {
  "ONNX Runtime": (outputs) => compile(outputs, { numThreads: 1 }),
  kernels: async (outputs) => {
    const program = planProgram(outputs, kernels);
    return { run: async (feeds) => program.run(feeds), release: async () => program.release() };
  },
};

interface Measured {
  readonly value: Numbers;
  readonly gradients: readonly Numbers[];
  readonly weights: Numbers;
}

/** The engine's value, and the gradient of Σ weight · value, for random weights. */
async function measure(
  test: PrimitiveCase,
  floats: readonly Numbers[],
  { seed, create }: { readonly seed: string; readonly create: Compile },
): Promise<Measured> {
  const variables = test.shapes.map((shape, index) => op.input(`x${index}`, shape));
  const integers = (test.integers ?? []).map(({ shape }, index) => op.input(`ids${index}`, shape, "int32"));
  const result = test.build(variables, integers);
  const random = createRandom(1, seed, "weights");
  const weights = Array.from({ length: sizeOf(result.shape) }, () => random.uniform() * 2 - 1);
  const loss = op.sum(op.multiply(result, op.constant(result.shape, weights)));
  const wanted = test.hasNoGradient ? [] : gradients(loss, variables);
  const outputs: Record<string, Tensor> = { value: result };
  for (const [index, gradient] of wanted.entries()) outputs[`g${index}`] = gradient;
  const program = await create(outputs);
  const feeds: Record<string, TensorData> = {};
  for (const [index, values] of floats.entries()) feeds[`x${index}`] = Float32Array.from(values);
  for (const [index, { values }] of (test.integers ?? []).entries())
    feeds[`ids${index}`] = Int32Array.from(values);
  const results = await program.run(feeds);
  const measured = {
    value: [...results.value!],
    gradients: wanted.map((_, index) => [...results[`g${index}`]!]),
    weights,
  };
  await program.release();
  return measured;
}

for (const [backend, create] of Object.entries(backends))
  describe(`every primitive on ${backend}`, () => {
    for (const [name, test] of Object.entries({ ...primitiveCases, ...longCases })) {
      const random = createRandom(1, name);
      const [low, high] = test.range ?? [-2, 2];
      const draw = (shape: Shape): Numbers =>
        Array.from({ length: sizeOf(shape) }, () => Math.fround(low + (high - low) * random.uniform()));
      const floats = test.shapes.map(draw);

      it(`${name}: value equals a float64 loop`, async () => {
        const { value } = await measure(test, floats, { seed: name, create });
        const expected = test.reference(floats);
        expect(value.length).toBe(expected.length);
        for (const [index, wanted] of expected.entries())
          expect(Math.abs(value[index]! - wanted)).toBeLessThan(
            valueTolerance * Math.max(1, Math.abs(wanted)),
          );
      });

      if (test.hasNoGradient !== true)
        it(`${name}: gradient equals finite differences in a random direction`, async () => {
          const { gradients: slopes, weights } = await measure(test, floats, { seed: name, create });
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
          expect(Math.abs(actual - expected)).toBeLessThan(
            gradientTolerance * Math.max(1, Math.abs(expected)),
          );
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
          const {
            value,
            gradients: slopes,
            weights,
          } = await measure(test, [left, right], { seed: "matmul", create });
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
