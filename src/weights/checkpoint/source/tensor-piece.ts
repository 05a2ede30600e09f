/**
 * Tensors that do not lie in one range of a file: views with strides, and wholes of several rectangles. They are read range by range
 * as if their elements followed each other in C order.
 */
import type { ReadableBytes } from "../dtype.ts";
import { numElementsOf } from "../safetensors/safetensors-header.ts";

/** A rectangle of a tensor and where its elements lie in what stores them. */
export interface TensorPiece {
  /** What stores it; opened when it is read. */
  readonly open: () => ReadableBytes;
  /** Its first element in the whole, axis by axis. */
  readonly offsets: readonly number[];
  /** Its size, axis by axis. */
  readonly sizes: readonly number[];
  /** Its first element in what stores it, counted in elements. */
  readonly start: number;
  /** Distances of neighbors in what stores it, axis by axis, in elements. */
  readonly strides: readonly number[];
}

/** Strides of elements that follow each other in C order. */
export function stridesOf(shape: readonly number[]): readonly number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const size of [...shape].reverse()) {
    strides.unshift(stride);
    stride *= size;
  }
  return strides;
}

/** Pieces are cut along these into cells; more than this many are nobody's checkpoint. */
const mostCells = 2 ** 20;

/**
 * What is wrong with pieces that should make up a whole, as a clause: a piece beyond it, elements that are in two or in none.
 * `undefined` where nothing is.
 */
export function findGap(
  pieces: readonly Pick<TensorPiece, "offsets" | "sizes">[],
  shape: readonly number[],
): string | undefined {
  const solid = pieces.filter(({ sizes }) => numElementsOf(sizes) > 0);
  for (const { offsets, sizes } of solid)
    if (
      sizes.length !== shape.length ||
      offsets.length !== shape.length ||
      shape.some((size, axis) => (offsets[axis] ?? 0) + (sizes[axis] ?? 0) > size)
    )
      return `a part of it, [${sizes.join(", ")}] at [${offsets.join(", ")}], is not part of [${shape.join(", ")}]`;
  if (numElementsOf(shape) === 0) return undefined;
  const covered = solid.reduce((sum, { sizes }) => sum + numElementsOf(sizes), 0);
  if (covered < numElementsOf(shape))
    return `its parts hold ${covered} of its ${numElementsOf(shape)} elements`;
  return covered > numElementsOf(shape) || overlap(solid, shape) ? "its parts overlap" : undefined;
}

/** Whether a cell of the grid that the pieces' edges make is in two of them. */
function overlap(
  pieces: readonly Pick<TensorPiece, "offsets" | "sizes">[],
  shape: readonly number[],
): boolean {
  const cuts = shape.map((_, axis) => {
    const edges = new Set(pieces.map(({ offsets }) => offsets[axis] ?? 0));
    return new Map([...edges].sort((a, b) => a - b).map((edge, index) => [edge, index]));
  });
  const counts = cuts.map(({ size }) => size);
  if (numElementsOf(counts) > mostCells) return true;
  const strides = stridesOf(counts);
  const taken = new Set<number>();
  for (const { offsets, sizes } of pieces) {
    let cells: readonly number[] = [0];
    for (const [axis, edges] of cuts.entries()) {
      const [from, to] = [offsets[axis] ?? 0, (offsets[axis] ?? 0) + (sizes[axis] ?? 0)];
      const inside = [...edges].filter(([edge]) => edge >= from && edge < to);
      cells = cells.flatMap((cell) => inside.map(([, index]) => cell + index * (strides[axis] ?? 0)));
    }
    for (const cell of cells) {
      if (taken.has(cell)) return true;
      taken.add(cell);
    }
  }
  return false;
}

/** How a whole is stored. */
export interface WholeLayout {
  readonly shape: readonly number[];
  /** Bytes of an element: 1, 2, 4 or 8. */
  readonly width: number;
}

/** The bytes of a whole whose pieces `findGap` finds no fault in. */
export function joinPieces(pieces: readonly TensorPiece[], { shape, width }: WholeLayout): ReadableBytes {
  const length = numElementsOf(shape) * width;
  const solid = pieces.filter(({ sizes }) => numElementsOf(sizes) > 0);
  const [only] = solid;
  if (solid.length === 1 && only !== undefined && isInOrder(only)) {
    const bytes = only.open();
    const from = only.start * width;
    return { length, subarray: (start, end) => bytes.subarray(from + start, from + end) };
  }
  const opened = solid.map((piece) => ({ ...piece, bytes: piece.open() }));
  return {
    length,
    subarray: (start, end) => {
      const [first, last] = [Math.floor(start / width), Math.ceil(end / width)];
      const target = {
        bytes: new Uint8Array((last - first) * width),
        first,
        strides: stridesOf(shape),
        width,
      };
      for (const box of boxesOf(shape, first, last))
        for (const piece of opened) copyCommon(piece, box, target);
      return target.bytes.subarray(start - first * width, end - first * width);
    },
  };
}

/** Whether a piece's elements follow each other in C order; the strides of single elements do not matter. */
function isInOrder({ sizes, strides }: TensorPiece): boolean {
  const expected = stridesOf(sizes);
  return sizes.every((size, axis) => size === 1 || strides[axis] === expected[axis]);
}

/** A rectangle of the whole. */
interface Box {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
}

/** The elements `first` to `last` (in C order) as rectangles. */
function boxesOf(shape: readonly number[], first: number, last: number): readonly Box[] {
  if (first >= last) return [];
  const [size, ...inner] = shape;
  if (size === undefined) return [{ offsets: [], sizes: [] }];
  const step = numElementsOf(inner);
  const [top, bottom] = [Math.ceil(first / step), Math.floor(last / step)];
  const within = (row: number, from: number, to: number): readonly Box[] =>
    boxesOf(inner, from - row * step, to - row * step).map(({ offsets, sizes }) => ({
      offsets: [row, ...offsets],
      sizes: [1, ...sizes],
    }));
  if (top > bottom) return within(bottom, first, last);
  const rows = { offsets: [top, ...inner.map(() => 0)], sizes: [bottom - top, ...inner] };
  return [
    ...(first < top * step ? within(top - 1, first, top * step) : []),
    ...(bottom > top ? [rows] : []),
    ...(last > bottom * step ? within(bottom, bottom * step, last) : []),
  ];
}

interface Target {
  readonly bytes: Uint8Array;
  /** The element of the whole that comes first in it. */
  readonly first: number;
  readonly strides: readonly number[];
  readonly width: number;
}

interface Source extends TensorPiece {
  readonly bytes: ReadableBytes;
}

/** Copies what a piece and a rectangle of the whole have in common. */
function copyCommon(piece: Source, box: Box, target: Target): void {
  const axes = box.sizes.map((size, axis) => {
    const [mine, theirs] = [piece.offsets[axis] ?? 0, box.offsets[axis] ?? 0];
    const from = Math.max(mine, theirs);
    const to = Math.min(mine + (piece.sizes[axis] ?? 0), theirs + size);
    return { from, size: to - from, stride: piece.strides[axis] ?? 0, step: target.strides[axis] ?? 0, mine };
  });
  if (axes.some(({ size }) => size <= 0)) return;
  const start = axes.reduce((sum, { from, mine, stride }) => sum + (from - mine) * stride, piece.start);
  const place = axes.reduce((sum, { from, step }) => sum + from * step, -target.first);
  copyRegion({ bytes: piece.bytes, start, axes }, { ...target, place });
}

interface Axis {
  readonly size: number;
  /** Distance of neighbors in the source. */
  readonly stride: number;
  /** Distance of neighbors in the target. */
  readonly step: number;
}

interface Region {
  readonly bytes: ReadableBytes;
  readonly start: number;
  readonly axes: readonly Axis[];
}

/** A region is read in one go when what lies between its elements is less than this many bytes, or than three times theirs. */
const smallSpan = 2 ** 16;
const largeSpan = 2 ** 26;

/** Copies a region: in one read where its elements lie close together, else in two halves. */
function copyRegion(region: Region, target: Target & { readonly place: number }): void {
  const { bytes, start, axes } = region;
  const { width } = target;
  const span = axes.reduce((sum, { size, stride }) => sum + (size - 1) * stride, 1) * width;
  const needed = numElementsOf(axes.map(({ size }) => size)) * width;
  const widest = axes.reduce((best, { size, stride }, axis) => {
    const other = axes[best];
    return size > 1 && (other === undefined || other.size === 1 || stride > other.stride) ? axis : best;
  }, 0);
  const { size = 1, stride = 0, step = 0 } = axes[widest] ?? {};
  if (size === 1 || span <= smallSpan || (span <= 4 * needed && span <= largeSpan)) {
    const read = bytes.subarray(start * width, start * width + span);
    scatter(read, axes, target);
    return;
  }
  const half = Math.floor(size / 2);
  const cut = (count: number): readonly Axis[] =>
    axes.map((axis, index) => (index === widest ? { ...axis, size: count } : axis));
  copyRegion({ bytes, start, axes: cut(half) }, target);
  copyRegion(
    { bytes, start: start + half * stride, axes: cut(size - half) },
    { ...target, place: target.place + half * step },
  );
}

/** Puts the elements of a region, which `read` holds from its first to its last, into their places. */
function scatter(
  read: Uint8Array,
  axes: readonly Axis[],
  { bytes, place, width }: Target & { readonly place: number },
): void {
  const walk = (axis: number, from: number, to: number): void => {
    const { size, stride, step } = axes[axis] ?? { size: 1, stride: 1, step: 1 };
    const isLast = axis >= axes.length - 1;
    if (isLast && stride === 1 && step === 1) {
      bytes.set(read.subarray(from * width, (from + size) * width), to * width);
      return;
    }
    for (let index = 0; index < size; index++) {
      const [source, goal] = [from + index * stride, to + index * step];
      if (!isLast) walk(axis + 1, source, goal);
      else
        for (let byte = 0; byte < width; byte++)
          bytes[goal * width + byte] = read[source * width + byte] ?? 0;
    }
  };
  walk(0, 0, place);
}
