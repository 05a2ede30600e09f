/** Weights in safetensors files: one, shards with an index, shards without, or shards that each hold a part of every tensor. */
import { fileExists, readText } from "../file/index.ts";
import { CheckpointError, expectReadable, quote } from "./checkpoint-error.ts";
import type { WeightFiles } from "./find-weights.ts";
import type { CheckpointTensor } from "./open-checkpoint.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors-read.ts";
import { parseShardIndex } from "./shard-index.ts";
import type { WeightSource } from "./weight-source.ts";

/** Opens the headers of all files, checked against the index where there is one. Throws `CheckpointError`. */
export async function openSafetensorsSource({ folder, files, isIndex }: WeightFiles): Promise<WeightSource> {
  const opened = new Map<string, SafetensorsFile>();
  const close = async (): Promise<void> => {
    await Promise.all([...opened.values()].map((file) => file.close()));
  };
  try {
    const [first = ""] = files;
    const shardOf = isIndex ? await readShardIndex(folder, first) : undefined;
    for (const name of shardOf === undefined ? files : new Set(shardOf.values()))
      opened.set(name, await openSafetensors(`${folder}/${name}`));
    if (shardOf !== undefined) checkShards(opened, shardOf);
    return { ...listTensors(opened), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The shard of every tensor; all shards are there. Throws `CheckpointError`. */
export async function readShardIndex(folder: string, name: string): Promise<ReadonlyMap<string, string>> {
  const path = `${folder}/${name}`;
  const shardOf = parseShardIndex(await expectReadable(path, readText(path)), path);
  for (const shard of new Set(shardOf.values()))
    if (!(await fileExists(`${folder}/${shard}`)))
      throw new CheckpointError(
        "the index lists it, and there is no such file; download or save the checkpoint again",
        { path: `${folder}/${shard}` },
      );
  return shardOf;
}

function listTensors(
  files: ReadonlyMap<string, SafetensorsFile>,
): Pick<WeightSource, "tensors" | "openBytes"> {
  const tensors = new Map<string, CheckpointTensor>();
  const holders = new Map<string, SafetensorsFile>();
  for (const [name, file] of files)
    for (const [tensor, { dtype, shape }] of file.header.tensors) {
      const other = holders.get(tensor);
      if (other !== undefined)
        throw new CheckpointError(
          `it is in ${quote(other.path)} as well; keep the files of one model in the folder`,
          { path: file.path, tensor },
        );
      tensors.set(tensor, { dtype, shape, file: name });
      holders.set(tensor, file);
    }
  return {
    tensors,
    openBytes: (tensor) => {
      const holder = holders.get(tensor);
      if (holder === undefined)
        throw new RangeError(`Cannot open tensor ${quote(tensor)}: it was not listed`);
      return holder.openBytes(tensor);
    },
  };
}

/** Every tensor must be in the shard that the index states, and in no other. */
function checkShards(
  files: ReadonlyMap<string, SafetensorsFile>,
  shardOf: ReadonlyMap<string, string>,
): void {
  for (const [shard, { path, header }] of files)
    for (const tensor of header.tensors.keys())
      if (shardOf.get(tensor) !== shard)
        throw new CheckpointError(
          `the index ${shardOf.has(tensor) ? `puts it into ${quote(shardOf.get(tensor) ?? "")}` : "does not list it"}; download or save the checkpoint again`,
          { path, tensor },
        );
  for (const [tensor, shard] of shardOf) {
    const file = files.get(shard);
    if (file !== undefined && !file.header.tensors.has(tensor))
      throw new CheckpointError(
        "the index lists it, the file lacks it; download or save the checkpoint again",
        { path: file.path, tensor },
      );
  }
}
