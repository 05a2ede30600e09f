/** What the tensors of a checkpoint are called here, where files have it otherwise. */
import type { ModelConfig } from "../config/model-config.ts";
import { families } from "./families.ts";

/** Buffers that older files hold beside the weights: they follow from the configuration. */
const buffers =
  /(?:^|\.)(?:rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias|attention\.bias|attention\.masked_bias)$/;

/**
 * The name that a tensor of a checkpoint has in the layout of a model; undefined for buffers, and for the head of a model whose head is its
 * embedding. Files of a model without its head leave out what all its names begin with; a tied table may lie under the name of the head.
 */
export function renameStored({
  family,
  isTied,
}: Pick<ModelConfig, "family" | "isTied">): (
  name: string,
  all: ReadonlyMap<string, unknown>,
) => string | undefined {
  const { names, otherNames = [] } = families[family];
  const { embedding, head } = names;
  const [begin] = embedding.split(".");
  return (stored, all) => {
    if (buffers.test(stored)) return undefined;
    // Transformers 5 loads GPT-NeoX's head under the name that all others have.
    const name = stored === "lm_head.weight" ? `${head}.weight` : stored;
    if (name === `${head}.weight`) {
      if (!isTied) return name;
      const embedded = `${embedding}.weight`;
      const isThere = all.has(embedded) || all.has(embedded.slice(`${begin}.`.length));
      return isThere ? undefined : embedded;
    }
    const whole = name.startsWith(`${begin}.`) ? name : `${begin}.${name}`;
    return otherNames.reduce((text, [pattern, other]) => text.replace(pattern, other), whole);
  };
}
