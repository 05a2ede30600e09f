/** Edits carried out on rows of a matrix, so that no more than a block of it need be in memory. */
import { createMatrix, type LinearAlgebra, type Matrix } from "../linalg/index.ts";
import { viewRows } from "./columns.ts";
import type { Edit } from "./edit.ts";

/** The same rows of both matrices. */
export interface Rows {
  /** The number of the first row. */
  readonly start: number;
  readonly target: Matrix;
  /** Absent where the edit takes nothing of it. */
  readonly source?: Matrix | undefined;
}

/** Rows of the edited matrix, in memory of their own. Throws `RangeError` where the edit needs a source that is absent. */
export function applyEdit(
  { ofTarget, ofSource, left, right }: Edit,
  { start, target, source }: Rows,
  algebra: LinearAlgebra,
): Matrix {
  const { rows, columns } = target;
  const edited =
    left.columns === 0
      ? createMatrix(rows, columns)
      : algebra.multiply(viewRows(left, start, start + rows), right, { right: true });
  const { values } = edited;
  if (ofTarget !== 0)
    for (let index = 0; index < values.length; index++)
      values[index] = (values[index] ?? 0) + ofTarget * (target.values[index] ?? 0);
  if (ofSource === 0) return edited;
  if (source === undefined) throw new RangeError("Cannot apply an edit: it needs rows of the source");
  for (let index = 0; index < values.length; index++)
    values[index] = (values[index] ?? 0) + ofSource * (source.values[index] ?? 0);
  return edited;
}

/** Whether an edit leaves the target as it is, or makes it the source: then bytes are copied, nothing is computed. */
export function findCopy({ ofTarget, ofSource, left }: Edit): "target" | "source" | undefined {
  if (left.columns > 0) return undefined;
  if (ofTarget === 1 && ofSource === 0) return "target";
  return ofTarget === 0 && ofSource === 1 ? "source" : undefined;
}
