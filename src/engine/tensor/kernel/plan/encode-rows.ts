/** Instructions of kernels that go by rows, ids and positions, and of sums. */
import { sizeOf } from "../../shape.ts";
import { chooseGrain, type Instruction, type KernelName, type Word } from "./instruction.ts";
import { isHalf, joinAxes, type View } from "./view.ts";

/** A function of rows that lie side by side. */
export interface RowOptions {
  readonly kernel: Extract<KernelName, "softmax" | "logSoftmax" | "normalize" | "standardize" | "mark">;
  readonly x: View;
  readonly out: View;
  readonly weight?: View;
  readonly epsilon?: number;
  /** How many are marked. */
  readonly count?: number;
  /** Nanoseconds that an element takes. */
  readonly elementNs: number;
}

/** A function of each row. */
export function encodeRows(options: RowOptions): Instruction {
  const { kernel, x, out, weight, epsilon = 0, count = 0, elementNs } = options;
  const width = x.shape.at(-1) ?? 1;
  const numRows = sizeOf(x.shape) / width;
  const grain = chooseGrain(numRows, width * elementNs);
  const isHalfWeight = Number(weight !== undefined && isHalf(weight));
  const words: readonly Word[] = [
    ...[grain, numRows, width],
    ...[x, out, weight ?? 0],
    ...[isHalfWeight, { float: epsilon }, count],
  ];
  const reads = weight === undefined ? [x.storage] : [x.storage, weight.storage];
  return { kernel, words, numChunks: Math.ceil(numRows / grain), reads, writes: [out.storage] };
}

/** x[…, id], or a row with 1 at each id. Where there is no x, `out` has the rows. */
export function encodeTake(
  kernel: "take" | "oneHot",
  { x, ids, out }: { readonly x: View | undefined; readonly ids: View; readonly out: View },
): Instruction {
  const count = sizeOf(ids.shape);
  const width = (x ?? out).shape.at(-1) ?? 1;
  const grain = chooseGrain(count, kernel === "take" ? 4 : width);
  return {
    kernel,
    words: [grain, count, width, ...(x === undefined ? [0] : [x]), ids, out],
    numChunks: Math.ceil(count / grain),
    reads: x === undefined ? [ids.storage] : [x.storage, ids.storage],
    writes: [out.storage],
  };
}

/** Rows of a table, each of which lies in one piece. */
export function encodeGather({
  table,
  ids,
  out,
}: Readonly<Record<"table" | "ids" | "out", View>>): Instruction {
  const count = sizeOf(ids.shape);
  const width = sizeOf(table.shape.slice(1));
  const grain = chooseGrain(count, 20 + width * 0.3);
  const words = [grain, count, width, table.shape[0] ?? 0, table.strides[0] ?? 0, Number(isHalf(table))];
  return {
    kernel: "gather",
    words: [...words, table, ids, out],
    numChunks: Math.ceil(count / grain),
    reads: [table.storage, ids.storage],
    writes: [out.storage],
  };
}

/** Heads [B, H, T, D] turned by the angles of their positions; elements of a head lie side by side. */
export function encodeRotate(
  views: Readonly<Record<"x" | "cosine" | "sine" | "positions" | "out", View>>,
): Instruction {
  const { x, cosine, sine, positions, out } = views;
  const [B = 1, H = 1, T = 1, D = 1] = x.shape;
  const numRows = B * H * T;
  const grain = chooseGrain(numRows, 20 + D * 0.5);
  return {
    kernel: "rotate",
    words: [
      ...[grain, numRows, H, T, D, cosine.shape[0] ?? 0],
      ...[x, ...x.strides.slice(0, 3), out, ...out.strides.slice(0, 3)],
      ...[cosine, sine, positions],
    ],
    numChunks: Math.ceil(numRows / grain),
    reads: [x.storage, cosine.storage, sine.storage, positions.storage],
    writes: [out.storage],
  };
}

/** Sums over axes, into numbers in order. */
export function encodeSum(x: View, out: View, axes: readonly number[]): Instruction {
  const pick = (isWanted: (axis: number) => boolean): Pick<View, "shape" | "strides"> => ({
    shape: x.shape.filter((_, axis) => isWanted(axis)),
    strides: x.strides.filter((_, axis) => isWanted(axis)),
  });
  const kept = joinAxes([pick((axis) => !axes.includes(axis))]);
  const summed = joinAxes([pick((axis) => axes.includes(axis))]);
  const count = sizeOf(out.shape);
  const grain = chooseGrain(count, 10 + (sizeOf(x.shape) / count) * 0.5, 4);
  return {
    kernel: "sum",
    words: [
      ...[grain, count, kept.length, summed.length, x, out],
      ...[kept, summed].flatMap((group) => [
        ...group.map(({ length }) => length),
        ...group.map(({ strides }) => strides[0] ?? 0),
      ]),
    ],
    numChunks: Math.ceil(count / grain),
    reads: [x.storage],
    writes: [out.storage],
  };
}

/** bfloat16 made wide. */
export function encodeWiden(from: View, out: View): Instruction {
  const count = sizeOf(from.shape);
  const grain = chooseGrain(count, 0.3, 8);
  return {
    kernel: "widen",
    words: [grain, count, from, out],
    numChunks: Math.ceil(count / grain),
    reads: [from.storage],
    writes: [out.storage],
  };
}
