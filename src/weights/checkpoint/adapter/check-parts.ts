/** Whether the tensors of an adapter are those that its configuration speaks of: asked before the base is. */
import type { CheckpointTensor } from "../open-checkpoint.ts";
import { type AdapterConfig, findScaling } from "./adapter-config.ts";
import { mergeIt, UnusableAdapterError } from "./adapter-error.ts";
import type { AdapterParts, FactorKeys } from "./adapter-parts.ts";

/** What is known of an adapter without its base. */
export interface UnplacedAdapter {
  readonly folder: string;
  /** The file of its tensors. */
  readonly path: string;
  readonly config: AdapterConfig;
  readonly parts: AdapterParts;
  readonly tensors: ReadonlyMap<string, Pick<CheckpointTensor, "shape">>;
}

/** Throws `UnusableAdapterError` where configuration and tensors contradict each other, or a tensor is not a factor of a matrix. */
export function checkParts(adapter: UnplacedAdapter): void {
  const { parts, path } = adapter;
  if (parts.factors.length + parts.held.size + parts.tokens.size === 0)
    throw new UnusableAdapterError("there is no tensor of an adapter in it; save the adapter again", {
      path,
    });
  const { trainable_token_indices: tokens } = adapter.config.fields;
  if (typeof tokens === "object" && tokens !== null && parts.tokens.size === 0)
    throw new UnusableAdapterError(
      "by the trainable_token_indices of its adapter_config.json it holds rows of tokens, and it does not; save the adapter again",
      { path },
    );
  for (const keys of parts.factors) {
    checkShapes(adapter, keys);
    checkExtras(adapter, keys);
    if (!isParameter(adapter.config.fields.target_parameters, keys.module)) checkRank(adapter, keys);
  }
}

/** Whether factors may belong to a parameter of a module and not to the module itself. */
export function isParameter(targets: unknown, module: string): boolean {
  if (!Array.isArray(targets)) return false;
  return targets.some((target) => {
    const [, owner] = /^(.*)\.[^.]+$/.exec(String(target)) ?? [];
    return owner === undefined || module === owner || module.endsWith(`.${owner}`);
  });
}

function checkShapes({ tensors, path }: UnplacedAdapter, { first, second }: FactorKeys): void {
  for (const tensor of [first, second]) {
    const { shape } = tensors.get(tensor) ?? { shape: [] };
    if (shape.length < 2 || shape.includes(0))
      throw new UnusableAdapterError(
        `its shape is [${shape.join(", ")}]: the parts of several machines were not gathered when it was saved; save the adapter again, gathered`,
        { path, tensor },
      );
    if (shape.length > 2)
      throw new UnusableAdapterError(`it adapts a convolution, which is not a matrix; ${mergeIt}`, {
        path,
        tensor,
      });
  }
}

function checkRank(
  { folder, path, config, tensors }: UnplacedAdapter,
  { module, first, second }: FactorKeys,
): void {
  const { rank } = findScaling(config.fields, module, folder);
  const [ofFirst, ofSecond] = [tensors.get(first)?.shape[0], tensors.get(second)?.shape[1]];
  if (ofFirst === rank && ofSecond === rank) return;
  throw new UnusableAdapterError(
    `its factors have ranks ${ofFirst} and ${ofSecond}, and by its adapter_config.json it is ${rank}; correct r or rank_pattern there, or save the adapter again`,
    { path, tensor: first },
  );
}

/** DoRA's magnitudes and LoRA's biases are there where the configuration says so, and nowhere else. */
function checkExtras(
  { path, config: { fields } }: UnplacedAdapter,
  { first, bias, magnitude }: FactorKeys,
): void {
  for (const [field, key, what] of [
    ["use_dora", magnitude, "lora_magnitude_vector"],
    ["lora_bias", bias, "bias of lora_B"],
  ] as const) {
    const isSaid = fields[field] === true;
    if (isSaid === (key !== undefined)) continue;
    throw new UnusableAdapterError(
      isSaid
        ? `its adapter_config.json says ${field}, and its ${what} is not in the file; save the adapter again`
        : `it is a ${what}, and its adapter_config.json does not say ${field}; correct one of them`,
      { path, tensor: key ?? first },
    );
  }
}
