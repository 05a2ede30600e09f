import { describe, expect, it } from "vitest";
import { createRandom, UsageError } from "../../base/core/index.ts";
import { createLapack } from "./lapack.ts";
import { createMatrix, type Matrix } from "./matrix.ts";
import { openShippedLapack } from "./shipped-lapack.ts";

function noise(rows: number, columns: number): Matrix {
  const random = createRandom(1, "shipped", rows, columns);
  return createMatrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => random.normal()),
  );
}

/** Everything that is shared among threads, at sizes that are. */
function compute(numThreads: number): readonly Float64Array[] {
  const library = openShippedLapack();
  library.useThreads(numThreads);
  const algebra = createLapack(library);
  const [square, tall] = [noise(280, 280), noise(700, 260)];
  const gram = createMatrix(260, 260);
  algebra.addGram(gram, tall);
  const { values, vectors } = algebra.symmetricEigenpairs(gram, 90);
  const { left, right } = algebra.decompose(square);
  const { q, r } = algebra.orthogonalize(tall);
  const product = algebra.multiply(tall, tall, { right: true });
  return [values, vectors.values, left.values, right.values, q.values, r.values, product.values];
}

describe("the LAPACK that ships", () => {
  it("gives the same bits with any number of threads", () => {
    const alone = compute(1);
    for (const numThreads of [2, 5]) expect(compute(numThreads)).toEqual(alone);
  });

  it("changes its number of threads between calls", () => {
    const library = openShippedLapack();
    const algebra = createLapack(library);
    const matrix = noise(200, 200);
    const expected = algebra.singularValues(matrix);
    for (const numThreads of [3, 1, 2, 1]) {
      library.useThreads(numThreads);
      expect(algebra.singularValues(matrix)).toEqual(expected);
    }
  });

  it("says what to do about matrices that it cannot hold, and goes on", () => {
    const algebra = createLapack(openShippedLapack());
    // Zeros that nothing writes to take no memory.
    const large = createMatrix(2 ** 14, 2 ** 14);
    expect(() => algebra.multiply(large, large)).toThrow(UsageError);
    expect(() => algebra.multiply(large, large)).toThrow("install OpenBLAS");
    const matrix = noise(5, 5);
    expect(algebra.singularValues(matrix).length).toBe(5);
  });
});
