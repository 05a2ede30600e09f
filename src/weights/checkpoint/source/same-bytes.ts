/** Tensors compared byte for byte, a little at a time. */
import type { ReadableBytes } from "../dtype.ts";

/** Bytes compared at a time. */
const chunkBytes = 4 * 2 ** 20;

/** Whether two tensors hold the same bytes; read up to the first difference. */
export function haveSameBytes(one: ReadableBytes, other: ReadableBytes): boolean {
  if (one.length !== other.length) return false;
  for (let start = 0; start < one.length; start += chunkBytes) {
    const end = Math.min(start + chunkBytes, one.length);
    if (Buffer.compare(one.subarray(start, end), other.subarray(start, end)) !== 0) return false;
  }
  return true;
}
