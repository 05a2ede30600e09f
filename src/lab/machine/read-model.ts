/** Models read into the memory of this machine, where they fit. */
import { totalmem } from "node:os";
import { loadModel, type Model } from "../../engine/model/index.ts";

/** Loads a model. Throws as `loadModel`, also where its weights take more memory than there is. */
export async function readModel(folder: string, options: { readonly base?: string } = {}): Promise<Model> {
  return await loadModel(folder, { ...options, mostBytes: measureMemory() });
}

/** Bytes of memory that this process may take: those of the machine, or of what it is confined to. */
function measureMemory(): number {
  const confined = process.constrainedMemory();
  return confined > 0 ? Math.min(confined, totalmem()) : totalmem();
}
