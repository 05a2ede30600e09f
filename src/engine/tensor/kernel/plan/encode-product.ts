/** Matrix products as instructions: which of the two kernels reads the right side as it lies, and how the work is cut. */
import { chooseGrain, type Instruction, type Word } from "./instruction.ts";
import { isHalf, joinAxes, strideAt, type View } from "./view.ts";

/** A product of views [batch …, rows, depth] and [batch …, depth, columns]. */
export interface ProductViews {
  readonly left: View;
  readonly right: View;
  readonly out: View;
  readonly scale: number;
}

/** Whether a left side can be read as it lies: each row's elements side by side. */
export function isReadableLeft(left: View): boolean {
  return strideAt(left, -1) === 1 && !isHalf(left);
}

/** Whether a right side can be read as it lies, along its depth or along its columns. */
export function isReadableRight(right: View): boolean {
  return strideAt(right, -2) === 1 || strideAt(right, -1) === 1;
}

/** Axes of batches that the kernels walk. */
const mostBatchAxes = 2;

/** Whether the batches of all three can be walked together. */
export function hasFewBatches(views: ProductViews): boolean {
  return joinBatches(views).length <= mostBatchAxes;
}

function joinBatches({ left, right, out }: ProductViews): ReturnType<typeof joinAxes> {
  const batches = [left, right, out].map(({ shape, strides }) => ({
    shape: shape.slice(0, -2),
    strides: strides.slice(0, -2),
  }));
  return joinAxes(batches);
}

/** Rows that stay in the cache together while columns pass; of a deep product fewer. */
const [blockRows, deepBlockRows, deep] = [96, 48, 1000];
/** Nanoseconds of a multiplication and addition: of one row, which waits for memory, and of many. */
const [rowNs, manyRowsNs] = [0.2, 0.04];
/** Chunks of an instruction that still pay, and from how many batches on the rows of one are not cut. */
const [mostChunks, manyBatches] = [8192, 1024];

/** Blocks of a product's rows and columns. */
interface Cut {
  readonly rowGrain: number;
  readonly columnGrain: number;
  readonly chunks: readonly [rows: number, columns: number];
}

/** How a product of `numBatches` is cut, its columns in multiples of `width`. */
function cutProduct(
  { left, right }: ProductViews,
  { width, numBatches }: { readonly width: number; readonly numBatches: number },
): Cut {
  const [rows = 1, depth = 1] = left.shape.slice(-2);
  const columns = right.shape.at(-1) ?? 1;
  const rowGrain = numBatches > manyBatches ? rows : cutRows(rows, depth);
  const numRowChunks = Math.ceil(rows / rowGrain);
  const columnNs = Math.min(rows, rowGrain) * depth * (rows < 4 ? rowNs : manyRowsNs);
  const least = Math.ceil((columns * numRowChunks * numBatches) / mostChunks / width) * width;
  const columnGrain = Math.max(chooseGrain(columns, columnNs, width), Math.min(columns, least));
  return { rowGrain, columnGrain, chunks: [numRowChunks, Math.ceil(columns / columnGrain)] };
}

/** The instruction of a product whose sides are readable. */
export function encodeProduct(views: ProductViews): Instruction {
  const { left, right, out, scale } = views;
  const [rows = 1, depth = 1] = left.shape.slice(-2);
  const columns = right.shape.at(-1) ?? 1;
  const isByRows = strideAt(right, -2) === 1;
  const width = isByRows ? 4 : 16;
  const batches = joinBatches(views);
  const [inner, outer] = [batches.at(-1), batches.at(-2)];
  const numBatches = (inner?.length ?? 1) * (outer?.length ?? 1);
  const { rowGrain, columnGrain, chunks } = cutProduct(views, { width, numBatches });
  const words: readonly Word[] = [
    ...[rows, depth, columns, rowGrain, columnGrain, ...chunks],
    { float: scale },
    Number(isHalf(right)),
    ...[left, right, out],
    ...[strideAt(left, -2), strideAt(right, isByRows ? -1 : -2), strideAt(out, -2)],
    inner?.length ?? 1,
    ...(inner?.strides ?? [0, 0, 0]),
    ...(outer?.strides ?? [0, 0, 0]),
  ];
  return {
    kernel: isByRows ? "multiplyByRows" : "multiplyByColumns",
    words,
    numChunks: chunks[0] * chunks[1] * numBatches,
    reads: [left.storage, right.storage],
    writes: [out.storage],
    scratchBytes: width * (depth + 4) * Float32Array.BYTES_PER_ELEMENT,
  };
}

/** Equal blocks of rows. */
function cutRows(rows: number, depth: number): number {
  const numBlocks = Math.ceil(rows / (depth > deep ? deepBlockRows : blockRows));
  return 2 * Math.ceil(rows / numBlocks / 2);
}
