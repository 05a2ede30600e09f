/** Models read into the memory of this machine, where they fit. */
import { totalmem } from "node:os";
import {
  checkSize,
  createLayout,
  describeModel,
  loadModel,
  type Model,
  type StoredModel,
} from "../../engine/model/index.ts";
import { fitsKernels } from "../../engine/parallel/index.ts";

/** Loads a model. Throws as `loadModel`, also where its weights take more memory than there is. */
export async function readModel(folder: string): Promise<Model> {
  return await loadModel(folder, { mostBytes: measureMemory() });
}

/** What a folder says of a model that is to answer. Throws as `describeModel`, also where its weights take more memory than there is. */
export async function describeStored(folder: string): Promise<StoredModel> {
  const model = await describeModel(folder);
  const { config, numStoredBytes } = model;
  const numBytes = fitsKernels(numStoredBytes)
    ? numStoredBytes
    : createLayout(config).size * Float32Array.BYTES_PER_ELEMENT;
  checkSize(numBytes, { config, folder, mostBytes: measureMemory() });
  return model;
}

/** Bytes of memory that this process may take: those of the machine, or of what it is confined to. */
export function measureMemory(): number {
  const confined = process.constrainedMemory();
  return confined > 0 ? Math.min(confined, totalmem()) : totalmem();
}
