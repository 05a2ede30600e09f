/**
 * Whether the files of a checkpoint that was saved in parts are all there. A part says where it begins and none how large the whole
 * is: without the last process's file every tensor is only smaller.
 */
import { toObject } from "../../base/core/index.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { findHead } from "./config/tied-head.ts";
import type { WeightSource } from "./source/weight-source.ts";

const REMEDY =
  "save the checkpoint again, or put it together with consolidate_safetensors_files of torch.distributed.checkpoint";

/** Throws `CheckpointError` where the table of embeddings is smaller than the configuration says, or nothing tells. */
export function requireWhole(
  { tensors }: Pick<WeightSource, "tensors">,
  { config, path }: { readonly config: Readonly<Record<string, unknown>>; readonly path: string },
): void {
  const { vocab_size: numTokens, hidden_size: width } = { ...config, ...toObject(config.text_config) };
  const { embedding } = findHead(tensors.keys());
  const { shape: [rows = 0, columns = 0] = [] } = tensors.get(embedding ?? "") ?? {};
  if (embedding === undefined || typeof numTokens !== "number" || typeof width !== "number")
    throw new CheckpointError(
      "its files hold parts of tensors, and nothing tells whether all files are there; put the model's config.json (vocab_size, hidden_size) beside them, or put them together with consolidate_safetensors_files of torch.distributed.checkpoint",
      { path },
    );
  if (rows >= numTokens && columns === width) return;
  throw new CheckpointError(
    `its parts make up [${rows}, ${columns}], and by config.json it has ${numTokens} rows of ${width}: files of the last processes are missing; ${REMEDY}`,
    { path, tensor: embedding },
  );
}
