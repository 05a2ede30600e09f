/** Which tensors of two checkpoints can be compared. None is passed over in silence: guard (e). */
import { describeTensorName, type FloatDtype, hasTokenRows, isFloatDtype } from "../../checkpoint/index.ts";
import type { Change, Flag, TensorLabel } from "../record/matrix-spectra.ts";
import { countElements } from "../stored-tensor.ts";
import { alignTensors, type NamedTensors, type OfferedTensor } from "./align-tensors.ts";

/** Where a matched tensor lies in a checkpoint: in a tensor of that name, from an element on. */
export interface TensorSource {
  readonly name: string;
  readonly start: number;
}

/** A tensor that both checkpoints hold in the same shape. */
export interface MatchedTensor extends TensorLabel {
  readonly shape: readonly number[];
  readonly dtype: Change<FloatDtype>;
  readonly source: Change<TensorSource>;
  /** Whether it is less than all of a tensor on either side, or read in a shape that is not its own. */
  readonly isPart: boolean;
}

/** A tensor that cannot be compared, and why. */
export interface UnmatchedTensor {
  readonly name: string;
  readonly reason: string;
  /** What a guard raises about it. */
  readonly flag?: Flag;
}

/** Numbers of tensors and scalars; integers are not parameters and are not counted. */
export interface CoverageTotal {
  readonly numMatrices: number;
  readonly numElements: number;
  /** Of these, scalars that were not asked for. */
  readonly numElementsLeftOut: number;
  /** Tensors that hold nothing on one side or both. */
  readonly numEmpty: number;
}

/** What is compared and what is not. */
export interface Coverage {
  readonly matched: readonly MatchedTensor[];
  readonly unmatched: readonly UnmatchedTensor[];
  /** Tensors of either checkpoint that were not asked for. */
  readonly numLeftOut: number;
  /** All that the checkpoints hold, asked for or not; of two sizes the larger. */
  readonly total: CoverageTotal;
  /** How names were matched that are not the same, and what was compared in part. */
  readonly notes: readonly string[];
}

/** Matches tensors by what they are and shape; `isWanted` decides which ones are asked for. */
export function matchTensors(
  sides: Change<NamedTensors>,
  isWanted: (label: TensorLabel) => boolean,
): Coverage {
  const { offered, notes } = alignTensors(sides);
  const { before, after } = offered;
  const matched: MatchedTensor[] = [];
  const unmatched: UnmatchedTensor[] = [];
  const total = { numMatrices: 0, numElements: 0, numElementsLeftOut: 0, numEmpty: 0 };
  let numLeftOut = 0;
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const label = { name, ...describeTensorName(name) };
    const tensors = { before: before.get(name), after: after.get(name) };
    const numElements = addTotal(total, name, tensors);
    if (!isWanted(label)) {
      numLeftOut += 1;
      total.numElementsLeftOut += numElements;
      continue;
    }
    const found = matchTensor(label, tensors);
    if (typeof found === "string") unmatched.push({ name, reason: found });
    else matched.push(found);
  }
  const more = [...describeRows(matched, offered), ...describeFormats(matched, sides)];
  return { matched, unmatched, numLeftOut, total, notes: [...notes, ...more] };
}

/** Whether a tensor maps vectors to vectors. Biases of stacked experts have two axes and do not. */
function isMatrix(name: string, shape: readonly number[]): boolean {
  return shape.length === 2 && !/bias$/.test(name);
}

/** Counts a tensor of either side; gives its scalars. */
function addTotal(
  total: { -readonly [Count in keyof CoverageTotal]: number },
  name: string,
  { before, after }: Change<OfferedTensor | undefined>,
): number {
  const tensors = [before, after].filter((tensor) => tensor !== undefined);
  if (!tensors.some(({ dtype }) => isFloatDtype(dtype))) return 0;
  const numElements = Math.max(...tensors.map(({ shape }) => countElements(shape)));
  if (tensors.some(({ shape }) => isMatrix(name, shape))) total.numMatrices += 1;
  if (tensors.some(({ shape }) => countElements(shape) === 0)) total.numEmpty += 1;
  total.numElements += numElements;
  return numElements;
}

/** The matched tensor, or why there is none. */
function matchTensor(
  label: TensorLabel,
  { before, after }: Change<OfferedTensor | undefined>,
): MatchedTensor | string {
  if (before === undefined) return "only in the checkpoint after";
  if (after === undefined) return "only in the checkpoint before";
  const lack = describeEmpty(before, after);
  if (lack !== undefined) return lack;
  const shape = findShape(label.name, { before: before.shape, after: after.shape });
  if (shape === undefined)
    return `of shape [${before.shape.join(", ")}] before and [${after.shape.join(", ")}] after`;
  if (!isFloatDtype(before.dtype)) return `of ${before.dtype} numbers, which are not floats`;
  if (!isFloatDtype(after.dtype)) return `of ${after.dtype} numbers, which are not floats`;
  // What is not a matrix is compared by its elements, whatever its axes.
  const isVector = shape.length === 2 && !isMatrix(label.name, shape);
  const isWhole = [before, after].every(
    ({ start, numElements }) => start === 0 && numElements === countElements(shape),
  );
  return {
    ...label,
    shape: isVector ? [countElements(shape)] : shape,
    isPart: isVector || !isWhole,
    dtype: { before: before.dtype, after: after.dtype },
    source: {
      before: { name: before.source, start: before.start },
      after: { name: after.source, start: after.start },
    },
  };
}

/** Which of two tensors hold nothing; `undefined` where both hold something. */
function describeEmpty(before: OfferedTensor, after: OfferedTensor): string | undefined {
  const [isEmptyBefore, isEmptyAfter] = [before, after].map(({ shape }) => countElements(shape) === 0);
  if (isEmptyBefore && isEmptyAfter) return "without elements";
  return isEmptyBefore || isEmptyAfter
    ? `without elements ${isEmptyBefore ? "before" : "after"}, as ZeRO-3 leaves what was not gathered before saving`
    : undefined;
}

/** The shape that both have, or the rows that both have of tensors with one row per token. */
function findShape(
  name: string,
  { before, after }: Change<readonly number[]>,
): readonly number[] | undefined {
  const isSame = (first: readonly number[], second: readonly number[]): boolean =>
    first.length === second.length && first.every((size, axis) => size === second[axis]);
  if (isSame(before, after)) return before;
  if (before.length === 0 || !hasTokenRows(name) || !isSame(before.slice(1), after.slice(1)))
    return undefined;
  return [Math.min(before[0] ?? 0, after[0] ?? 0), ...before.slice(1)];
}

/** Tensors of which only the common rows are compared. */
function describeRows(
  matched: readonly MatchedTensor[],
  { before, after }: Change<ReadonlyMap<string, OfferedTensor>>,
): readonly string[] {
  const countRows = (side: ReadonlyMap<string, OfferedTensor>, name: string): number =>
    side.get(name)?.shape[0] ?? 0;
  return matched.flatMap(({ name }) => {
    const [first, second] = [countRows(before, name), countRows(after, name)];
    if (first === second) return [];
    const others = `${Math.abs(first - second)} ${first < second ? "new after" : "gone after"}`;
    return [
      `of ${name}, which has ${first} rows before and ${second} after, the ${Math.min(first, second)} common rows were compared; ${others}`,
    ];
  });
}

/** Changes of number format in the files. */
function describeFormats(
  matched: readonly MatchedTensor[],
  { before, after }: Change<NamedTensors>,
): readonly string[] {
  const counts = new Map<string, number>();
  for (const { dtype, source } of matched) {
    const isSum = before.sums.has(source.before.name) || after.sums.has(source.after.name);
    if (dtype.before === dtype.after || isSum) continue;
    const change = `${dtype.before} before, ${dtype.after} after`;
    counts.set(change, (counts.get(change) ?? 0) + 1);
  }
  return [...counts].map(
    ([change, count]) => `number format: ${change} (${count} of ${matched.length} tensors)`,
  );
}
