/** The model that a trainer saved beside its step folders, at the end: which of them it is. */
import { join } from "node:path";
import {
  isAdapterFolder,
  openCheckpoint,
  openSafetensors,
  type ReadableBytes,
} from "../../weights/checkpoint/index.ts";
import { findDifference } from "./continuity.ts";
import { inspectStep } from "./step-folder.ts";
import { readHistory } from "./trainer-log.ts";

/** A model in the folder of step folders. */
export interface FinalModel {
  /** What it is, as a sentence. */
  readonly note: string;
  /** Where it is a checkpoint of its own: its step. */
  readonly step?: number;
  readonly isAdapter: boolean;
}

interface Step {
  readonly step: number;
  readonly folder: string;
  readonly isAdapter: boolean;
}

/**
 * Looks at the folder itself: its weights are those of a step (the last, or the best where the trainer loads that one at the
 * end), or of a later one that was not saved otherwise, or of none. `undefined` where it has none that are whole.
 */
export async function inspectFinalModel(
  folder: string,
  { steps, latest }: { readonly steps: readonly Step[]; readonly latest: string | undefined },
): Promise<FinalModel | undefined> {
  const state = await inspectStep({ folder, weights: "", endsWithState: false });
  if (state?.state !== "whole") return undefined;
  const { isAdapter } = state;
  for (const step of [...steps].reverse())
    if (step.isAdapter === isAdapter && (await holdSameWeights(folder, step.folder)))
      return { isAdapter, note: `The model in ${folder} itself is that of step ${step.step}` };
  const last = steps.at(-1);
  const isLater =
    state.step !== undefined &&
    last !== undefined &&
    state.step > last.step &&
    latest !== undefined &&
    findDifference(await readHistory(folder), await readHistory(latest)) === undefined;
  return isLater
    ? {
        isAdapter,
        step: state.step,
        note: `The model in ${folder} itself is that of its end, step ${state.step}`,
      }
    : {
        isAdapter,
        note: `Left out: the model in ${folder} itself, which is none of these steps and does not say of which it is`,
      };
}

/** What is compared of an open file or checkpoint. */
interface Tensors {
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>;
  openBytes(name: string): ReadableBytes;
  close(): Promise<void>;
}

async function openTensors(folder: string): Promise<Tensors> {
  if (!(await isAdapterFolder(folder))) return await openCheckpoint(folder);
  const file = await openSafetensors(join(folder, "adapter_model.safetensors"));
  return {
    tensors: file.header.tensors,
    openBytes: (name) => file.openBytes(name),
    close: () => file.close(),
  };
}

/** Whether two folders hold the same tensors, by samples of each: a step of training changes all that it trains. */
async function holdSameWeights(first: string, second: string): Promise<boolean> {
  const [one, other] = [await openTensors(first), await openTensors(second)];
  try {
    return (
      one.tensors.size === other.tensors.size &&
      [...one.tensors].every(([name, { dtype, shape }]) => {
        const partner = other.tensors.get(name);
        return (
          partner !== undefined &&
          partner.dtype === dtype &&
          partner.shape.join() === shape.join() &&
          haveSameSamples(one.openBytes(name), other.openBytes(name))
        );
      })
    );
  } finally {
    await one.close();
    await other.close();
  }
}

/** Bytes of a sample; a multiple of the size of every number format. */
const sampleSize = 4096;

/** Whether two tensors are the same at their beginning, middle and end. */
function haveSameSamples(one: ReadableBytes, other: ReadableBytes): boolean {
  if (one.length !== other.length) return false;
  const last = Math.max(0, one.length - sampleSize);
  return [0, Math.floor(last / 16) * 8, last].every((start) => {
    const end = Math.min(start + sampleSize, one.length);
    return Buffer.compare(one.subarray(start, end), other.subarray(start, end)) === 0;
  });
}
