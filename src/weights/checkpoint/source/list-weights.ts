/** The files that hold a checkpoint's weights, whatever their format: what changes when the weights are written again. */
import { basename, dirname } from "node:path";
import { fileExists, folderExists, listFiles } from "../../../base/file/index.ts";
import { isAdapterFolder } from "../adapter/adapter-config.ts";
import { findWeights, isOfTrainer, type WeightFormat } from "./find-weights.ts";

/** Files in one folder. */
export interface ListedFiles {
  readonly folder: string;
  /** Their names, in alphabetical order. */
  readonly names: readonly string[];
}

/** Which names are weights of a format; shards that an index or metadata lists are among them, read or not. */
const namesOf: { readonly [Format in WeightFormat]: RegExp } = {
  safetensors: /\.safetensors$/,
  verl: /^model_world_size_\d+_rank_\d+\.pt$/,
  torch: /\.(?:bin|pth|pt|ckpt)$/,
  dcp: /^\.metadata$|\.distcp$|\.safetensors$/,
  gguf: /\.gguf$/,
};

/**
 * Lists the files of weights: of a file that is a checkpoint itself alone, of a folder all of the format that opening it reads. An
 * adapter's base is not looked at. No names where there are no weights.
 */
export async function listWeightFiles(path: string): Promise<ListedFiles> {
  if (await fileExists(path)) return { folder: dirname(path), names: [basename(path)] };
  if (!(await folderExists(path))) return { folder: path, names: [] };
  const found = (await isAdapterFolder(path)) ? undefined : await findWeights(path);
  const isRead = found?.kind === "weights";
  const [folder, format] = isRead ? [found.folder, found.format] : [path, "safetensors" as const];
  const names = (await listFiles(folder)).filter(
    (name) => namesOf[format].test(name) && (format === "safetensors" || !isOfTrainer(name)),
  );
  return { folder, names };
}
