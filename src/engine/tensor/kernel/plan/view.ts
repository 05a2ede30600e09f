/** Tensors as they lie in storages: an offset and a stride for each axis, so that most changes of shape move nothing. */
import { type Shape, sizeOf } from "../../shape.ts";
import type { Address, Storage } from "./instruction.ts";

/** A tensor in a storage; offset and strides count elements. */
export interface View extends Address {
  readonly shape: Shape;
  readonly strides: readonly number[];
}

/** The strides of a tensor whose elements lie side by side in order. */
export function rowMajorStrides(shape: Shape): readonly number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  return strides;
}

/** A storage as a tensor of that shape. */
export function viewStorage(storage: Storage, shape: Shape): View {
  return { storage, offset: 0, shape, strides: rowMajorStrides(shape) };
}

/** Whether elements lie side by side in order. */
export function isRowMajor({ shape, strides }: View): boolean {
  const expected = rowMajorStrides(shape);
  return shape.every((length, axis) => length === 1 || strides[axis] === expected[axis]);
}

/** Whether elements are bfloat16. */
export function isHalf({ storage }: View): boolean {
  return storage.kind === "input" && storage.isHalf;
}

/** How far apart neighbors on an axis lie; negative axes count from the back. Any, where there are none: 1. */
export function strideAt({ shape, strides }: View, axis: number): number {
  return shape.at(axis) === 1 ? 1 : (strides.at(axis) ?? 1);
}

/** The view with its axes in another order. */
export function permuteView(view: View, permutation: readonly number[]): View {
  return {
    ...view,
    shape: permutation.map((axis) => view.shape.at(axis) ?? 1),
    strides: permutation.map((axis) => view.strides.at(axis) ?? 0),
  };
}

/** The elements start ≤ index < end of an axis. */
export function sliceView(
  view: View,
  { axis, start, end }: { readonly axis: number; readonly start: number; readonly end: number },
): View {
  const offset = view.offset + start * (view.strides[axis] ?? 0);
  return {
    ...view,
    offset,
    shape: view.shape.map((length, index) => (index === axis ? end - start : length)),
  };
}

/** The view repeated to a shape that it broadcasts to, as NumPy does. */
export function broadcastView(view: View, shape: Shape): View {
  const missing = shape.length - view.shape.length;
  const strides = shape.map((length, axis) => {
    const own = view.shape[axis - missing] ?? 1;
    return own === 1 && length !== 1 ? 0 : own === 1 ? 0 : (view.strides[axis - missing] ?? 0);
  });
  return { ...view, shape, strides };
}

/** The same elements in another shape, or undefined where they must be moved for it. */
export function reshapeView(view: View, shape: Shape): View | undefined {
  if (sizeOf(shape) === 0) return undefined;
  const runs = joinAxes([view]);
  const strides = new Array<number>(shape.length).fill(0);
  let [axis, left] = [shape.length - 1, 1];
  for (const run of [...runs].reverse()) {
    let stride = run.strides[0] ?? 0;
    for (left = run.length; left > 1; axis--) {
      const length = shape[axis] ?? 1;
      if (left % length !== 0) return undefined;
      strides[axis] = stride;
      stride *= length;
      left /= length;
    }
  }
  return { ...view, shape, strides };
}

/** An axis of several tensors of one shape. */
export interface JoinedAxis {
  readonly length: number;
  /** Of each of the tensors. */
  readonly strides: readonly number[];
}

/** The axes of tensors of one shape, without those of length 1, and neighbors joined where all of them can be read as one. */
export function joinAxes(views: readonly Pick<View, "shape" | "strides">[]): readonly JoinedAxis[] {
  const joined: JoinedAxis[] = [];
  const shape = views[0]?.shape ?? [];
  for (const [axis, length] of shape.entries()) {
    if (length === 1) continue;
    const strides = views.map((view) => view.strides[axis] ?? 0);
    const outer = joined.at(-1);
    const isOne = outer?.strides.every((stride, index) => stride === (strides[index] ?? 0) * length);
    if (outer !== undefined && isOne === true) joined.pop();
    joined.push({ length: outer !== undefined && isOne === true ? outer.length * length : length, strides });
  }
  return joined;
}
