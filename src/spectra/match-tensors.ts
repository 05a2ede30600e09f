/** Which tensors of two checkpoints can be compared. None is passed over in silence: guard (e). */
import { type CheckpointTensor, type FloatDtype, isFloatDtype } from "../checkpoint/index.ts";
import type { Change, TensorLabel } from "./matrix-spectra.ts";
import { countElements } from "./stored-tensor.ts";
import { describeTensorName } from "./tensor-name.ts";

/** A tensor that both checkpoints hold in the same shape. */
export interface MatchedTensor extends TensorLabel {
  readonly shape: readonly number[];
  readonly dtype: Change<FloatDtype>;
}

/** A tensor that cannot be compared, and why. */
export interface UnmatchedTensor {
  readonly name: string;
  readonly reason: string;
}

/** What is compared and what is not. */
export interface Coverage {
  readonly matched: readonly MatchedTensor[];
  readonly unmatched: readonly UnmatchedTensor[];
  /** Tensors of either checkpoint that were not asked for. */
  readonly numLeftOut: number;
}

type Tensors = ReadonlyMap<string, CheckpointTensor>;

/** Matches tensors by name and shape; `isWanted` decides which ones are asked for. */
export function matchTensors(
  { before, after }: Change<Tensors>,
  isWanted: (label: TensorLabel) => boolean,
): Coverage {
  const matched: MatchedTensor[] = [];
  const unmatched: UnmatchedTensor[] = [];
  let numLeftOut = 0;
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const label = { name, ...describeTensorName(name) };
    if (!isWanted(label)) {
      numLeftOut += 1;
      continue;
    }
    const found = matchTensor(label, { before: before.get(name), after: after.get(name) });
    if (typeof found === "string") unmatched.push({ name, reason: found });
    else matched.push(found);
  }
  return { matched, unmatched, numLeftOut };
}

/** The matched tensor, or why there is none. */
function matchTensor(
  label: TensorLabel,
  { before, after }: Change<CheckpointTensor | undefined>,
): MatchedTensor | string {
  if (before === undefined) return "only in the checkpoint after";
  if (after === undefined) return "only in the checkpoint before";
  const [first, second] = [before, after].map(({ shape }) => `[${shape.join(", ")}]`);
  if (first !== second) return `of shape ${first} before and ${second} after`;
  if (!isFloatDtype(before.dtype)) return `of ${before.dtype} numbers, which are no floats`;
  if (!isFloatDtype(after.dtype)) return `of ${after.dtype} numbers, which are no floats`;
  if (countElements(before.shape) === 0) return "without elements";
  return { ...label, shape: before.shape, dtype: { before: before.dtype, after: after.dtype } };
}
