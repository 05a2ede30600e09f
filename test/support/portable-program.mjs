/** Factorizes a matrix whose elements are alike, by the portable backend; a program of its own can be stopped where it never ends. */
import {
  createDenseSource,
  createMatrix,
  factorize,
  openLinearAlgebra,
} from "../../src/weights/linalg/index.ts";

const elements = {
  elements: () => 1,
  rows: (index) => Math.sin(index % 120),
  columns: (index) => Math.sin(Math.floor(index / 120)),
};
const values = Float64Array.from({ length: 100 * 120 }, (_, index) => elements[process.argv[2]](index));
const source = createDenseSource(createMatrix(100, 120, values));
const algebra = await openLinearAlgebra("none");
const areRankOne = [0, 5].map((numVectors) => {
  const { values } = factorize(source, { numVectors, tolerance: 1e-8 }, algebra);
  return values[1] / values[0] < 1e-12;
});
process.stdout.write(JSON.stringify(areRankOne));
