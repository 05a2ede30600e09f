/** Training states on disk: a safetensors file with the parameters, the optimizer's vectors and the step. */

import { fileExists } from "../../base/file/index.ts";
import type { TrainingState } from "../../training/index.ts";
import { CheckpointError, openSafetensors, writeSafetensors } from "../../weights/checkpoint/index.ts";

/** A stage's training state after `step` steps of the stage. */
export interface SavedState {
  readonly step: number;
  readonly state: TrainingState;
}

const parametersName = "parameters";
const slotPrefix = "optimizer.";

/** Writes the state atomically; float32 is kept bit for bit. */
export async function saveState(path: string, { step, state }: SavedState): Promise<void> {
  const vectors = { [parametersName]: state.parameters, ...prefixed(state.slots) };
  const tensors = Object.entries(vectors).map(([name, vector]) => ({
    name,
    dtype: "F32" as const,
    shape: [vector.length],
    data: () => vector,
  }));
  await writeSafetensors(path, tensors, { step: String(step), optimizerStep: String(state.step) });
}

function prefixed(slots: TrainingState["slots"]): Record<string, Float32Array> {
  return Object.fromEntries(Object.entries(slots).map(([name, vector]) => [slotPrefix + name, vector]));
}

/** The saved state, or `undefined` where there is none. Throws `CheckpointError` for a damaged file. */
export async function loadState(path: string): Promise<SavedState | undefined> {
  if (!(await fileExists(path))) return undefined;
  const file = await openSafetensors(path);
  try {
    const slots: Record<string, Float32Array> = {};
    for (const name of file.header.tensors.keys())
      if (name.startsWith(slotPrefix))
        slots[name.slice(slotPrefix.length)] = (await file.readTensor(name)).data;
    const { data: parameters } = await file.readTensor(parametersName);
    const { metadata } = file.header;
    const read = (key: string): number => {
      const text = metadata.get(key) ?? "";
      if (/^\d+$/.test(text)) return Number(text);
      throw new CheckpointError(
        `its metadata lacks the number "${key}"; it is not a training state, remove it to start the stage again`,
        { path },
      );
    };
    return { step: read("step"), state: { step: read("optimizerStep"), parameters, slots } };
  } finally {
    await file.close();
  }
}
