/**
 * The cache of keys and values in plain arrays by name: a layer's keys [B, K, D, C] and its values [B, K, C, D], which the
 * decoding step only reads.
 */
import type { ModelConfig } from "../config/model-config.ts";

/** What a new cache is made of. */
export interface SlotCopy {
  readonly B: number;
  /** Slots a head has in the source, and in the cache. */
  readonly numSlots: number;
  readonly C: number;
  /** The slot of the cache that the source's first one goes to. */
  readonly first: number;
}

/** Whether a cache array holds keys, whose slots are columns; those of values are rows. */
function holdsKeys(name: string): boolean {
  return name.startsWith("past.keys");
}

/** A cache array with `C` slots a head, from `first` on those of `data` [B, K, numSlots, D]. */
export function createCache(
  config: ModelConfig,
  name: string,
  data: Float32Array,
  { B, numSlots, C, first }: SlotCopy,
): Float32Array {
  const { numKeyValueHeads: K, headSize: D } = config;
  const cache = new Float32Array(B * K * C * D);
  for (let head = 0; head < B * K; head++) {
    const source = data.subarray(head * numSlots * D, (head + 1) * numSlots * D);
    if (holdsKeys(name))
      setTransposed(cache, source, { first: head * C * D + first, numColumns: D, stride: C });
    else cache.set(source, (head * C + first) * D);
  }
  return cache;
}

/** Writes the rows of a matrix as columns, `stride` apart, from index `first` on. */
function setTransposed(
  target: Float32Array,
  rows: Float32Array,
  {
    first,
    numColumns,
    stride,
  }: { readonly first: number; readonly numColumns: number; readonly stride: number },
): void {
  const numRows = rows.length / numColumns;
  for (let column = 0; column < numColumns; column++) {
    const start = first + column * stride;
    for (let row = 0; row < numRows; row++) target[start + row] = rows[row * numColumns + column] ?? 0;
  }
}

/** Where fresh keys or values go. */
export interface SlotLocation {
  readonly config: ModelConfig;
  readonly name: string;
  readonly C: number;
  readonly row: number;
  readonly slot: number;
}

/** Writes the fresh keys or values [B, K, 1, D] of a row into its cache slot. */
export function writeSlot(
  cache: Float32Array,
  fresh: Float32Array,
  { config, name, C, row, slot }: SlotLocation,
): void {
  const { numKeyValueHeads: K, headSize: D } = config;
  const [slotStride, stride] = holdsKeys(name) ? [1, C] : [D, 1];
  // Plain loops: this runs for every token of every layer.
  for (let head = row * K; head < (row + 1) * K; head++) {
    let to = head * C * D + slot * slotStride;
    for (let from = head * D; from < (head + 1) * D; from++) {
      cache[to] = fresh[from] ?? 0;
      to += stride;
    }
  }
}

/** Where fresh keys or values of several tokens go. */
export interface SlotsLocation {
  readonly config: ModelConfig;
  readonly name: string;
  readonly C: number;
  /** Tokens in `fresh`, of which the first `count` are kept, from slot `start` on. */
  readonly T: number;
  readonly start: number;
  readonly count: number;
}

/** Writes the fresh keys or values [1, K, T, D] of a text into the cache of that one text. */
export function writeSlots(
  cache: Float32Array,
  fresh: Float32Array,
  { config, name, C, T, start, count }: SlotsLocation,
): void {
  const { numKeyValueHeads: K, headSize: D } = config;
  for (let head = 0; head < K; head++) {
    const rows = fresh.subarray(head * T * D, (head * T + count) * D);
    if (holdsKeys(name))
      setTransposed(cache, rows, { first: head * C * D + start, numColumns: D, stride: C });
    else cache.set(rows, (head * C + start) * D);
  }
}

/** A text's place in a cache. */
export interface RowLocation {
  readonly cache: Float32Array;
  readonly row: number;
  readonly C: number;
}

/** Copies the first `length` slots of a text from one cache to another. */
export function copySlots(
  from: RowLocation,
  to: RowLocation,
  { config, name, length }: { readonly config: ModelConfig; readonly name: string; readonly length: number },
): void {
  const { numKeyValueHeads: K, headSize: D } = config;
  // Keys lie in D lines of slots a head, values in one of D numbers a slot.
  const [numLines, width] = holdsKeys(name) ? [K * D, 1] : [K, D];
  for (let line = 0; line < numLines; line++) {
    const first = (from.row * numLines + line) * from.C * width;
    const part = from.cache.subarray(first, first + length * width);
    to.cache.set(part, (to.row * numLines + line) * to.C * width);
  }
}

/** Empty cache arrays of B texts with C slots each, by name, in memory that `allocate` gives. */
export function createEmptyCache(
  { layers, numKeyValueHeads: K, headSize: D }: ModelConfig,
  { B, C }: { readonly B: number; readonly C: number },
  allocate: (length: number) => Float32Array,
): Readonly<Record<string, Float32Array>> {
  const names = layers.map((_, layer) => [`past.keys.${layer}`, `past.values.${layer}`]);
  return Object.fromEntries(names.flat().map((name) => [name, allocate(B * K * C * D)]));
}

/** Bytes that a slot takes in all layers. */
export function slotBytes({ layers, numKeyValueHeads: K, headSize: D }: ModelConfig): number {
  return 2 * layers.length * K * D * Float32Array.BYTES_PER_ELEMENT;
}
