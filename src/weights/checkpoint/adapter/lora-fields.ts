/**
 * The fields of PEFT's `LoraConfig`: which of them say nothing about the merged weights, which are read, and which make another
 * thing than W + s · B · A. A field that is in none of the lists is refused by name, unless it is empty.
 */
import { mergeIt, UnusableAdapterError } from "./adapter-error.ts";

/** Fields of `adapter_config.json`. */
export type AdapterFields = Readonly<Record<string, unknown>>;

/** How training went, or where it was done: the weights already say what came of it. */
const silentFields: ReadonlySet<string> = new Set([
  "peft_type",
  "peft_version",
  "task_type",
  "auto_mapping",
  "base_model_name_or_path",
  "revision",
  "inference_mode",
  "target_modules",
  "exclude_modules",
  "layers_to_transform",
  "layers_pattern",
  "lora_dropout",
  "bias",
  "megatron_core",
  "qalora_group_size",
  "runtime_config",
  "ensure_weight_tying",
  "modules_to_save",
  // Settings of ways to start, which count by "init_lora_weights" alone, and of a backward pass that saves memory.
  "loftq_config",
  "eva_config",
  "corda_config",
  "lora_ga_config",
  "velora_config",
]);

/** Fields that this room reads. */
const readFields: ReadonlySet<string> = new Set([
  "r",
  "lora_alpha",
  "use_rslora",
  "rank_pattern",
  "alpha_pattern",
  "fan_in_fan_out",
  "init_lora_weights",
  "use_dora",
  "lora_bias",
  "trainable_token_indices",
  "target_parameters",
]);

/** What fields make of an adapter that has no merged weights at all. */
const unmergeableFields: Readonly<Record<string, string>> = {
  alora_invocation_tokens: "acts on the tokens after an invocation only",
  arrow_config: "chooses among several adapters for every token",
};

/** Ways to start that leave the base's weights as they are. */
const harmlessStarts: readonly string[] = ["gaussian", "eva", "orthogonal", "mica"];

/** Throws `UnusableAdapterError` where a field says that the adapter is not a LoRA that can be added to weights. */
export function checkLoraFields(fields: AdapterFields, folder: string): void {
  const refuse = (problem: string): never => {
    throw new UnusableAdapterError(problem, { path: folder });
  };
  for (const [field, value] of Object.entries(fields)) {
    if (silentFields.has(field) || readFields.has(field) || isEmpty(value)) continue;
    const effect = unmergeableFields[field];
    if (effect !== undefined)
      refuse(
        `its adapter_config.json sets ${field}: it ${effect}, so that no merged model is what it is; use it in the library that trained it`,
      );
    refuse(
      `its adapter_config.json sets ${JSON.stringify(field.slice(0, 100))}, which Untwist does not know; ${mergeIt}`,
    );
  }
  const { init_lora_weights: start } = fields;
  if (isEmpty(start) || start === true) return;
  if (typeof start !== "string")
    refuse(
      `its init_lora_weights is ${JSON.stringify(start)}, which Untwist does not know; correct its adapter_config.json`,
    );
  if (typeof start === "string" && !harmlessStarts.includes(start.toLowerCase()))
    refuse(
      `it was started by ${JSON.stringify(start.slice(0, 100))}, which may change the base's own weights; save it converted to a plain LoRA (path_initial_model_for_weight_conversion), or merge it (merge_and_unload of PEFT) and give the merged model`,
    );
}

/** Null, false, and texts, lists and objects without content: as if the field were not there. */
function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Kinds of adapters that change what a model is given, or choose as they go: no weights are what they make. */
const unmergeableTypes: readonly string[] = [
  "PROMPT_TUNING",
  "MULTITASK_PROMPT_TUNING",
  "P_TUNING",
  "PREFIX_TUNING",
  "ADAPTION_PROMPT",
  "CPT",
  "CARTRIDGE",
  "XLORA",
  "POLY",
];

/** Throws `UnusableAdapterError` for every kind of adapter but a LoRA, with the way out that there is for it. */
export function checkType({ peft_type: type }: AdapterFields, folder: string): void {
  if (type === "LORA") return;
  const name = JSON.stringify(type) ?? "missing";
  throw new UnusableAdapterError(
    typeof type === "string" && unmergeableTypes.includes(type)
      ? `its peft_type is ${name}, which adds to what the model is given and not to its weights; use it in the library that trained it`
      : `its peft_type is ${name}, and only a LoRA can be read; ${mergeIt}`,
    { path: folder },
  );
}
