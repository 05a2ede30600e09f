/**
 * Whole models that were saved with PEFT's layers around their own, as verl does when it trains a LoRA: `base_layer.weight` beside
 * `lora_A.default.weight`. They are opened as the merged model, under the names that the model has without PEFT.
 */
import { join } from "node:path";
import { fileExists } from "../../../base/file/index.ts";
import { CheckpointError } from "../checkpoint-error.ts";
import { readJsonFile } from "../config/read-json.ts";
import type { Checkpoint, CheckpointTensor } from "../open-checkpoint.ts";
import { configName, readAdapterConfig } from "./adapter-config.ts";
import { UnusableAdapterError } from "./adapter-error.ts";
import { type AdapterParts, sortKeys } from "./adapter-parts.ts";
import { checkParts } from "./check-parts.ts";
import type { AdapterFields } from "./lora-fields.ts";
import { planChanges } from "./merge/plan-changes.ts";
import { adaptModel, type MergedFormat } from "./open-adapted.ts";
import { settleTie } from "./tied-head.ts";

const wrapping = /\.base_layer\.|\.lora_(?:embedding_)?[AB]\./;

/**
 * The merged model of a checkpoint that holds an adapter beside its weights; any other as it is. Throws `UnusableAdapterError` and
 * `CheckpointError` as opening an adapter does, and where nothing says how much the adapter counts.
 */
export async function openInlined(checkpoint: Checkpoint, format: MergedFormat): Promise<Checkpoint> {
  const { folder, tensors } = checkpoint;
  if (![...tensors.keys()].some((name) => wrapping.test(name))) return checkpoint;
  const parts = sortKeys(tensors.keys(), folder);
  if (parts.adapterNames.size > 1)
    throw new UnusableAdapterError(
      `it holds several adapters, ${[...parts.adapterNames].join(", ")}; save the model with one of them merged`,
      { path: folder },
    );
  const fields = parts.factors.length === 0 ? {} : await findFields(folder);
  const config = { base: undefined, fields };
  checkParts({ folder, path: folder, config, parts, tensors });
  const contents = {
    folder,
    config,
    parts: { ...parts, held: new Map<string, string>(), originals: new Map<string, string>() },
    base: renameTensors(checkpoint, parts),
    file: { ...checkpoint, path: folder },
  };
  const plan = settleTie(contents, await planChanges(contents));
  const { updates: _, replaced: __, ...model } = adaptModel(contents, plan, format);
  return { ...checkpoint, ...model, isConverted: true };
}

/** The weights that the adapter belongs to, under their own names. */
function renameTensors(checkpoint: Checkpoint, { held }: AdapterParts): Checkpoint {
  const keyOf = (name: string): string => held.get(name) ?? name;
  const tensors = new Map<string, CheckpointTensor>();
  for (const [name, key] of held) {
    const tensor = checkpoint.tensors.get(key);
    if (tensor !== undefined) tensors.set(name, tensor);
  }
  return {
    ...checkpoint,
    tensors,
    openBytes: (name) => checkpoint.openBytes(keyOf(name)),
    readBytes: (name) => checkpoint.readBytes(keyOf(name)),
    readTensor: (name) => checkpoint.readTensor(keyOf(name)),
  };
}

/** What says of the adapter how much it counts: its own configuration in or beside the folder, or verl's note of rank and alpha. */
async function findFields(folder: string): Promise<AdapterFields> {
  for (const place of ["", "lora_adapter", "../lora_adapter", ".."])
    if (await fileExists(join(folder, place, configName)))
      return (await readAdapterConfig(join(folder, place))).fields;
  for (const place of ["", ".."]) {
    const note = join(folder, place, "lora_train_meta.json");
    if (!(await fileExists(note))) continue;
    const { r, lora_alpha: alpha } = await readJsonFile(note, "save the checkpoint again");
    return { peft_type: "LORA", r: r ?? null, lora_alpha: alpha ?? null };
  }
  throw new CheckpointError(
    `it holds a LoRA beside the weights that it belongs to, and no ${configName} or lora_train_meta.json in or beside it says how much it counts; put its ${configName} there, or merge it before saving`,
    { path: folder },
  );
}
