/** Shapes: sizes, NumPy broadcasting and its inverse (which axes a gradient must be summed over). */

/** The lengths of a tensor's axes, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** The number of elements of a tensor of that shape. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Whether both shapes have the same axes. */
export function isSameShape(left: Shape, right: Shape): boolean {
  return left.length === right.length && left.every((length, axis) => length === right[axis]);
}

/** `"[2, 3]"`, for messages. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The NumPy broadcast of two shapes. Throws `TypeError` where two lengths differ and neither is 1. */
export function broadcastShapes(left: Shape, right: Shape): Shape {
  const rank = Math.max(left.length, right.length);
  return Array.from({ length: rank }, (_, axis) => {
    const leftLength = left[axis - rank + left.length] ?? 1;
    const rightLength = right[axis - rank + right.length] ?? 1;
    if (leftLength !== rightLength && leftLength !== 1 && rightLength !== 1)
      throw new TypeError(`Cannot broadcast ${formatShape(left)} with ${formatShape(right)}`);
    return Math.max(leftLength, rightLength);
  });
}

/** The axes of `wide` along which a tensor of shape `narrow` was repeated when it was broadcast to `wide`. */
export function broadcastAxes(narrow: Shape, wide: Shape): readonly number[] {
  const offset = wide.length - narrow.length;
  return wide.flatMap((length, axis) =>
    axis < offset || (narrow[axis - offset] === 1 && length !== 1) ? [axis] : [],
  );
}

/** `axis` counted from the front; negative axes count from the back. Throws `RangeError` outside the rank. */
export function normalizeAxis(axis: number, rank: number): number {
  const normalized = axis < 0 ? axis + rank : axis;
  if (normalized < 0 || normalized >= rank)
    throw new RangeError(`Cannot use axis ${axis} of a tensor of rank ${rank}`);
  return normalized;
}
