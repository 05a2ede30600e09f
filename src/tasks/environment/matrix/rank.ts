/** Ranks: of 4×5 matrices as in training, of 5×4 matrices with larger factors out of distribution. Chat models only. */
import { createRandom, type Random } from "../../../base/core/index.ts";
import type { Environment, TaskRequest } from "../environment.ts";
import { computeRank, type IntegerMatrix } from "./exact-matrix.ts";
import { createMatrixEnvironment, drawMatrix, type MatrixTask } from "./matrix-task.ts";

/** Sizes of the splits, and of the entries of the factors that a matrix is the product of. */
const shapes = { id: { rows: 4, columns: 5, limit: 4 }, ood: { rows: 5, columns: 4, limit: 5 } } as const;
/** All ranks from 0 to that are equally likely. */
const highestRank = 4;

function createTask({ split, seed, index }: TaskRequest): MatrixTask {
  const random = createRandom(seed + index, "rank", split);
  const rank = random.integer(0, highestRank);
  for (;;) {
    const matrix = drawProduct(random, { ...shapes[split], rank });
    if (computeRank(matrix) === rank) return { matrix };
  }
}

/** A · B of inner size `rank`. */
function drawProduct(
  random: Random,
  {
    rows,
    columns,
    limit,
    rank,
  }: { readonly rows: number; readonly columns: number; readonly limit: number; readonly rank: number },
): IntegerMatrix {
  const left = drawMatrix(random, { rows, columns: rank, limit });
  const right = drawMatrix(random, { rows: rank, columns, limit });
  return left.map((row) =>
    Array.from({ length: columns }, (_, column) =>
      row.reduce((sum, value, term) => sum + value * (right[term]?.[column] ?? 0), 0),
    ),
  );
}

/** Ranks of integer matrices. */
export const rank: Environment<MatrixTask> = createMatrixEnvironment({
  name: "rank",
  short: "rank",
  isSquare: false,
  attempts: 2,
  createTask,
  solve: computeRank,
  ask: (matrix) =>
    `Find the rank of this matrix of ${matrix.length} rows and ${matrix[0]?.length ?? 0} columns`,
});
