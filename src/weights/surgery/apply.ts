/** Edits carried out on rows of a matrix, so that no more than a block of it need be in memory. */
import { createMatrix, type LinearAlgebra, type Matrix } from "../linalg/index.ts";
import { viewRows } from "./columns.ts";
import type { Edit } from "./edit.ts";

/** The same rows of both matrices, one after another. */
export interface Rows {
  /** The number of the first row. */
  readonly start: number;
  readonly end: number;
  readonly target: RowValues;
  /** Absent where the edit takes nothing of it. */
  readonly source?: RowValues | undefined;
}

/** Elements of rows in either precision, as they were read. */
export type RowValues = Float32Array | Float64Array;

/** Rows of the edited matrix, in memory of their own. Throws `RangeError` where the edit needs a source that is absent. */
export function applyEdit(
  { ofTarget, ofSource, left, right }: Edit,
  { start, end, target, source }: Rows,
  algebra: LinearAlgebra,
): Matrix {
  const edited =
    left.columns === 0
      ? createMatrix(end - start, right.rows)
      : algebra.multiply(viewRows(left, start, end), right, { right: true });
  if (ofTarget !== 0) add(edited.values, target, ofTarget);
  if (ofSource === 0) return edited;
  if (source === undefined) throw new RangeError("Cannot apply an edit: it needs rows of the source");
  add(edited.values, source, ofSource);
  return edited;
}

function add(sum: Float64Array, values: RowValues, weight: number): void {
  for (let index = 0; index < sum.length; index++)
    sum[index] = (sum[index] ?? 0) + weight * (values[index] ?? 0);
}

/** Whether an edit leaves the target as it is, or makes it the source: then bytes are copied, nothing is computed. */
export function findCopy({ ofTarget, ofSource, left }: Edit): "target" | "source" | undefined {
  if (left.columns > 0) return undefined;
  if (ofTarget === 1 && ofSource === 0) return "target";
  return ofTarget === 0 && ofSource === 1 ? "source" : undefined;
}
