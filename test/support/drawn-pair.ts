/** Pairs of checkpoints as spectra see them, from drawn tensors. */
import {
  collectPair,
  compareVectors,
  matchTensors,
  type PairSpectra,
} from "../../src/weights/spectra/index.ts";
import { drawKnown, drawNoise } from "./drawn-matrix.ts";
import { anyBackend } from "./every-backend.ts";
import { compareStored, storeMatrix, storeTensor } from "./stored-matrix.ts";

/** A tensor before and after. */
export interface DrawnTensor {
  readonly name: string;
  /** One or two axes. */
  readonly shape: readonly number[];
  /** Standard deviation of the elements of the update; 0 for no change. */
  readonly size: number;
}

/** Compares checkpoints of these tensors at the given ranks; weights have norm √rank and slowly falling values. */
export function drawPair(
  tensors: readonly DrawnTensor[],
  {
    ranks = [2, 4],
    before = "base",
    after = "tuned",
  }: { readonly ranks?: readonly number[]; readonly before?: string; readonly after?: string } = {},
): PairSpectra {
  const stored = new Map(
    tensors.map(({ name, shape }) => [name, { shape, dtype: "F32" as const, file: "model.safetensors" }]),
  );
  const side = { tensors: stored, isTied: false, model: "llama", sums: new Set<string>() };
  const coverage = matchTensors({ before: side, after: side }, () => true);
  const compared = coverage.matched.map(({ name, kind, layer }, seed) => {
    const { shape, size } = tensors.find((tensor) => tensor.name === name) ?? { shape: [1], size: 0 };
    const label = { name, kind, ...(layer !== undefined && { layer }) };
    return { ...label, ...compareDrawn(shape, { size, seed, ranks }) };
  });
  return collectPair({ before, after, coverage }, compared);
}

function compareDrawn(
  shape: readonly number[],
  { size, seed, ranks }: { readonly size: number; readonly seed: number; readonly ranks: readonly number[] },
): ReturnType<typeof compareStored> | ReturnType<typeof compareVectors> {
  const [rows = 1, columns] = shape;
  const step = drawNoise(rows, columns ?? 1, seed);
  const add = (values: Float64Array): Float64Array =>
    values.map((value, index) => value + size * (step.values[index] ?? 0));
  if (columns === undefined) {
    const { values } = drawNoise(rows, 1, seed + 1);
    const pair = { before: storeTensor(shape, values), after: storeTensor(shape, add(values)) };
    return compareVectors({ ...pair, isUnchanged: size === 0 });
  }
  const spectrum = Array.from({ length: Math.min(rows, columns) }, (_, index) => 1.5 * 0.85 ** index);
  const { matrix } = drawKnown({ rows, columns }, spectrum, seed);
  const after = { ...matrix, values: add(matrix.values) };
  return compareStored({ before: storeMatrix(matrix), after: storeMatrix(after) }, ranks, anyBackend);
}
