/** Models with the tensors of their checkpoints. */
import { loadModel } from "../../engine/model/index.ts";
import { readTensors, type StoredModel } from "./edit-model.ts";

/** Loads a checkpoint of the embedded engine. Throws as `loadModel`. */
export async function loadStoredModel(folder: string): Promise<StoredModel> {
  return { ...(await loadModel(folder)), folder, tensors: await readTensors(folder) };
}
