/** Determinants: of 2×2 matrices as in training, of 3×3 matrices out of distribution. Chat models only. */
import { createRandom } from "../../../base/core/index.ts";
import type { Environment, TaskRequest } from "../environment.ts";
import { computeDeterminant, type IntegerMatrix } from "./exact-matrix.ts";
import { createMatrixEnvironment, drawMatrix, type MatrixTask } from "./matrix-task.ts";

/** Sizes and entries of the splits. */
const shapes = { id: { size: 2, limit: 4 }, ood: { size: 3, limit: 5 } } as const;

/** Half of the matrices are symmetric; none is singular. */
function createTask({ split, seed, index }: TaskRequest): MatrixTask {
  const random = createRandom(seed + index, "determinant", split);
  const { size, limit } = shapes[split];
  const isSymmetric = random.uniform() < 0.5;
  for (;;) {
    const drawn = drawMatrix(random, { rows: size, columns: size, limit });
    const matrix = isSymmetric ? symmetrize(drawn) : drawn;
    if (computeDeterminant(matrix) !== 0) return { matrix };
  }
}

/** (M + Mᵀ) / 2, rounded to integers. */
function symmetrize(matrix: IntegerMatrix): IntegerMatrix {
  return matrix.map((row, i) => row.map((value, j) => Math.round((value + (matrix[j]?.[i] ?? 0)) / 2) + 0));
}

/** Determinants of small integer matrices. */
export const determinant: Environment<MatrixTask> = createMatrixEnvironment({
  name: "determinant",
  short: "det",
  isSquare: true,
  attempts: 5,
  createTask,
  solve: computeDeterminant,
  ask: ({ length }) => `Compute the determinant of this ${length}×${length} matrix`,
});
