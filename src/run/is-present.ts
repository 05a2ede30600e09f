/** Whether a followed checkpoint is still there: trainers delete old ones. */
import { join } from "node:path";
import { fileExists, folderExists } from "../base/file/index.ts";

/** Of an adapter, whose folder in the run holds links, whether these lead anywhere. */
export async function isPresent(path: string): Promise<boolean> {
  if (!(await folderExists(path))) return false;
  const isLinked = await fileExists(join(path, "adapter_config.json"));
  return (
    !isLinked ||
    (await fileExists(join(path, "adapter_model.safetensors"))) ||
    (await fileExists(join(path, "config.json")))
  );
}
