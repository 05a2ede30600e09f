/**
 * Names of tensors brought to one spelling, so that checkpoints of one model match whichever library wrote them. Reads names only;
 * what the spelling of a name is called by nobody else.
 */

/** What wrappers of modules put in front: `torch.compile`, DDP, FSDP, PEFT, TRL's value heads. */
const wrappers = /^(?:module|_orig_mod|_fsdp_wrapped_module|base_model\.model|pretrained_model)\./;
/** What they put in between. */
const innerWrappers = /\b(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g;

/** A name without what wrappers put into it. */
export function unwrapName(name: string): string {
  let rest = name.replace(innerWrappers, "");
  while (wrappers.test(rest)) rest = rest.replace(wrappers, "");
  return rest;
}

/** Names of the text model, which libraries put in front or leave out: `model.layers`, `language_model.model.layers`, `layers`. */
const stem = /^(?:model|language_model|transformer|gpt_neox|backbone)\./;

/** Parts that versions of transformers call differently, as version 5 calls them. */
const renames: readonly (readonly [RegExp, string])[] = [
  [/\bvision_model\./, ""],
  [/^embed_out\./, "lm_head."],
  [/\bLayerNorm\.gamma$/, "LayerNorm.weight"],
  [/\bLayerNorm\.beta$/, "LayerNorm.bias"],
  [/\bblock_sparse_moe\.input_linear\.weight/, "mlp.experts.gate_up_proj"],
  [/\bblock_sparse_moe\.output_linear\.weight/, "mlp.experts.down_proj"],
  [/\bblock_sparse_moe\./, "mlp."],
  [/\brouter\.layer\.weight$/, "router.weight"],
  [/\bmlp\.gate\.weight$/, "mlp.router.weight"],
  [/\b(experts\.\d+)\.w1\./, "$1.gate_proj."],
  [/\b(experts\.\d+)\.w3\./, "$1.up_proj."],
  [/\b(experts\.\d+)\.w2\./, "$1.down_proj."],
];

/** The spelling of a name: the same for tensors that are the same part of the same model. */
export function spellName(name: string): string {
  let rest = unwrapName(name);
  while (stem.test(rest)) rest = rest.replace(stem, "");
  return renames.reduce((text, [from, to]) => text.replace(from, to), rest);
}

/** A matrix of one expert, in a tensor of its own. */
export interface ExpertName {
  /** The spelling of the experts: `layers.0.mlp.experts`. */
  readonly experts: string;
  readonly index: number;
  readonly part: "gate_proj" | "up_proj" | "down_proj";
}

/** What the spelling of an expert's own tensor says; `undefined` for any other. */
export function parseExpert(spelling: string): ExpertName | undefined {
  const [, experts, index, part] =
    /^(.*\bexperts)\.(\d+)\.(gate_proj|up_proj|down_proj)\.weight$/.exec(spelling) ?? [];
  if (experts === undefined) return undefined;
  if (part !== "gate_proj" && part !== "up_proj" && part !== "down_proj") return undefined;
  return { experts, index: Number(index), part };
}
