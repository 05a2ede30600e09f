/** Every primitive on the kernels against a float64 loop; strided views, bfloat16 and threads. */
import { afterAll, describe, expect, it } from "vitest";
import {
  multiplyMatrices,
  type Numbers,
  type PrimitiveCase,
  primitiveCases,
  transposeMatrix,
} from "../../../../test/support/primitive-cases.ts";
import { createRandom } from "../../../base/core/index.ts";
import * as op from "../operations.ts";
import type { Tensor } from "../primitive.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { openKernels } from "./host.ts";
import { type KernelData, planProgram } from "./program.ts";

const plain = openKernels({ numThreads: 1, fuses: false });
const fused = openKernels({ numThreads: 2 });
const three = openKernels({ numThreads: 3 });
const backends = { plain, fused, three } as const;
afterAll(() => {
  for (const kernels of Object.values(backends)) kernels.close();
});

const valueTolerance = 2e-5;

function computeCase(
  test: PrimitiveCase,
  floats: readonly Numbers[],
  kernels: (typeof backends)[keyof typeof backends],
): readonly number[] {
  const variables = test.shapes.map((shape, index) => op.input(`x${index}`, shape));
  const integers = (test.integers ?? []).map(({ shape }, index) => op.input(`ids${index}`, shape, "int32"));
  const program = planProgram({ value: test.build(variables, integers) }, kernels);
  const feeds: Record<string, KernelData> = {};
  for (const [index, values] of floats.entries()) feeds[`x${index}`] = Float32Array.from(values);
  for (const [index, { values }] of (test.integers ?? []).entries())
    feeds[`ids${index}`] = Int32Array.from(values);
  const result = [...program.run(feeds).value];
  program.release();
  return result;
}

function expectClose(
  actual: readonly number[] | Float32Array,
  expected: Numbers,
  tolerance = valueTolerance,
): void {
  expect(actual.length).toBe(expected.length);
  for (const [index, wanted] of expected.entries())
    if (!(Math.abs(actual[index]! - wanted) < tolerance * Math.max(1, Math.abs(wanted))))
      expect.fail(`element ${index} is ${actual[index]}, not ${wanted}`);
}

const normals = (seed: string, length: number): Float32Array => {
  const random = createRandom(3, seed);
  return Float32Array.from({ length }, () => random.normal());
};

describe("every primitive", () => {
  for (const [name, test] of Object.entries(primitiveCases))
    for (const [backend, kernels] of Object.entries(backends))
      it(`${name}: value equals a float64 loop (${backend})`, () => {
        const random = createRandom(1, name);
        const [low, high] = test.range ?? [-2, 2];
        const floats = test.shapes.map((shape: Shape) =>
          Array.from({ length: sizeOf(shape) }, () => Math.fround(low + (high - low) * random.uniform())),
        );
        expectClose(computeCase(test, floats, kernels), test.reference(floats));
      });
});

describe("matmul", () => {
  const sizes = [
    [1, 70, 37],
    [2, 33, 19],
    [3, 64, 32],
    [5, 16, 48],
    [7, 3, 5],
    [101, 129, 67],
    [200, 1100, 9],
  ] as const;
  for (const [M, K, N] of sizes)
    for (const transposeLeft of [false, true])
      for (const transposeRight of [false, true])
        it(`multiplies [${M}, ${K}] by [${K}, ${N}], transposed ${transposeLeft}, ${transposeRight}`, () => {
          const [left, right] = [normals("left", M * K), normals("right", K * N)];
          const product = op.matmul(
            op.input("left", transposeLeft ? [K, M] : [M, K]),
            op.input("right", transposeRight ? [N, K] : [K, N]),
            { transposeLeft, transposeRight, scale: 0.5 },
          );
          const expected = multiplyMatrices(
            transposeLeft ? transposeMatrix([...left], [K, M]) : [...left],
            transposeRight ? transposeMatrix([...right], [N, K]) : [...right],
            [M, K, N],
          ).map((value) => 0.5 * value);
          for (const kernels of Object.values(backends)) {
            const program = planProgram({ product }, kernels);
            expectClose(program.run({ left, right }).product, expected, 1e-4);
            program.release();
          }
        });

  it("reads batches of transposed, sliced and repeated tensors where they lie", () => {
    const x = op.input("x", [3, 4, 2, 6]);
    const build = (queries: Tensor, keys: Tensor): Tensor =>
      op.matmul(queries, keys, { transposeRight: true });
    const moved = op.transpose(op.slice(x, { axis: 1, start: 1, end: 4 }), [0, 2, 1, 3]);
    const repeated = op.broadcast(op.slice(moved, { axis: 1, start: 0, end: 1 }), [3, 2, 3, 6]);
    const values = normals("x", 3 * 4 * 2 * 6);
    const pick = (b: number, h: number, t: number, d: number): number =>
      values[((b * 4 + t + 1) * 2 + h) * 6 + d]!;
    const expected = Array.from({ length: 3 * 2 * 3 * 3 }, (_, index) => {
      const [b, h, s, t] = [
        Math.floor(index / 18),
        Math.floor(index / 9) % 2,
        Math.floor(index / 3) % 3,
        index % 3,
      ];
      return [0, 1, 2, 3, 4, 5].reduce((sum, d) => sum + pick(b, h, s, d) * pick(b, 0, t, d), 0);
    });
    const program = planProgram({ scores: build(moved, repeated) }, fused);
    expectClose(program.run({ x: values }).scores, expected);
  });
});

describe("planProgram()", () => {
  it("computes chains of elementwise operations, over long rows and broadcast axes", () => {
    const [x, y, z] = [op.input("x", [3, 700]), op.input("y", [1, 700]), op.input("z", [3, 1])];
    const silu = op.multiply(x, op.sigmoid(x));
    const result = op.add(op.subtract(op.multiply(silu, y), z), op.multiply(z, op.sum(silu, [1])));
    const program = planProgram({ result, silu }, fused);
    const feeds = { x: normals("x", 2100), y: normals("y", 700), z: normals("z", 3) };
    const { result: values, silu: silus } = program.run(feeds);
    const wanted = [...feeds.x].map((v) => v / (1 + Math.exp(-v)));
    expectClose(silus, wanted);
    const sums = [0, 1, 2].map((row) => wanted.slice(row * 700, row * 700 + 700).reduce((a, b) => a + b, 0));
    expectClose(
      values,
      wanted.map((v, i) => {
        const row = Math.floor(i / 700);
        return v * feeds.y[i % 700]! - feeds.z[row]! + feeds.z[row]! * sums[row]!;
      }),
    );
  });

  it("puts parts of a concatenation where they belong", () => {
    const [x, y] = [op.input("x", [2, 3, 5]), op.input("y", [2, 3, 1])];
    const joined = op.concatenate([op.exp(x), op.negate(y), op.softmax(x), y], 2);
    const program = planProgram({ joined, first: op.slice(joined, { axis: 2, start: 0, end: 6 }) }, fused);
    const feeds = { x: normals("x", 30), y: normals("y", 6) };
    const { joined: values, first } = program.run(feeds);
    const rows = [0, 1, 2, 3, 4, 5].map((row) => {
      const exps = [...feeds.x.subarray(row * 5, row * 5 + 5)].map(Math.exp);
      const total = exps.reduce((a, b) => a + b, 0);
      return [...exps, -feeds.y[row]!, ...exps.map((e) => e / total), feeds.y[row]!];
    });
    expectClose(values, rows.flat());
    expectClose(
      first,
      rows.flatMap((row) => row.slice(0, 6)),
    );
  });

  it("gives the same bits as for the widened weights where they are bfloat16", () => {
    const [rows, width] = [37, 75];
    const weight = Uint16Array.from(
      normals("w", rows * width),
      (v) => new Uint32Array(Float32Array.of(v).buffer)[0]! >>> 16,
    );
    const wide = Float32Array.from(weight, (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!);
    const ids = op.input("ids", [3], "int32");
    const table = op.input("table", [rows, width]);
    const scale = op.reshape(op.slice(table, { axis: 0, start: 1, end: 2 }), [width]);
    for (const B of [1, 2, 9]) {
      const x = op.input("x", [B, width]);
      const narrow = op.input("narrow", [B, rows]);
      const outputs = {
        gathered: op.gatherRows(table, ids),
        byRows: op.matmul(x, table, { transposeRight: true }),
        byColumns: op.matmul(narrow, table),
        normalized: op.rmsNorm(x, scale, { epsilon: 1e-6 }),
        shifted: op.add(x, scale),
      };
      const feeds = {
        x: normals("x", B * width),
        narrow: normals("n", B * rows),
        ids: Int32Array.of(5, 36, 0),
      };
      for (const kernels of [plain, fused]) {
        const half = planProgram(outputs, kernels, { halves: new Set(["table"]) });
        const full = planProgram(outputs, kernels);
        const fromHalf = half.run({ ...feeds, table: weight });
        const copied = Object.entries(fromHalf).map(([name, values]) => [name, [...values]]);
        expect(copied).toEqual(
          Object.entries(full.run({ ...feeds, table: wide })).map(([name, values]) => [name, [...values]]),
        );
        half.release();
        full.release();
      }
    }
  });
});
