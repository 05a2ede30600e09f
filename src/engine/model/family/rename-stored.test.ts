import { describe, expect, it } from "vitest";
import { renameStored } from "./rename-stored.ts";

const rename = (
  model: Parameters<typeof renameStored>[0],
  names: readonly string[],
): readonly (string | undefined)[] => {
  const all = new Map(names.map((name) => [name, name]));
  return names.map((name) => renameStored(model)(name, all));
};

describe("renameStored()", () => {
  it("adds what the files of a model without its head leave out, and leaves out buffers", () => {
    const names = ["wte.weight", "h.0.attn.c_attn.weight", "h.0.attn.bias", "h.0.attn.masked_bias"];
    expect(rename({ family: "gpt2", isTied: true }, names)).toEqual([
      "transformer.wte.weight",
      "transformer.h.0.attn.c_attn.weight",
      undefined,
      undefined,
    ]);
    const neox = ["gpt_neox.layers.0.attention.rotary_emb.inv_freq", "gpt_neox.layers.0.attention.bias"];
    expect(rename({ family: "gpt_neox", isTied: false }, neox)).toEqual([undefined, undefined]);
  });

  it("keeps the biases of projections", () => {
    const names = ["transformer.h.0.attn.c_attn.bias", "transformer.h.0.ln_1.bias"];
    expect(rename({ family: "gpt2", isTied: true }, names)).toEqual(names);
    const dense = ["gpt_neox.layers.0.attention.dense.bias"];
    expect(rename({ family: "gpt_neox", isTied: false }, dense)).toEqual(dense);
  });

  it("knows the head by both of its names", () => {
    for (const name of ["embed_out.weight", "lm_head.weight"])
      expect(rename({ family: "gpt_neox", isTied: false }, [name])).toEqual(["embed_out.weight"]);
  });

  it("leaves out the head of a model that ties it, and takes it for the embedding where that is missing", () => {
    const model = { family: "llama", isTied: true } as const;
    expect(rename(model, ["model.embed_tokens.weight", "lm_head.weight"])).toEqual([
      "model.embed_tokens.weight",
      undefined,
    ]);
    expect(rename(model, ["embed_tokens.weight", "lm_head.weight"])).toEqual([
      "model.embed_tokens.weight",
      undefined,
    ]);
    expect(rename(model, ["lm_head.weight"])).toEqual(["model.embed_tokens.weight"]);
  });

  it("knows Mixtral's experts by the names that they have in memory", () => {
    const names = ["mlp.gate", "mlp.experts.3.gate_proj", "mlp.experts.3.up_proj", "mlp.experts.3.down_proj"];
    const stored = names.map((name) => `model.layers.1.${name}.weight`);
    expect(rename({ family: "mixtral", isTied: false }, stored)).toEqual(
      ["gate", "experts.3.w1", "experts.3.w3", "experts.3.w2"].map(
        (name) => `model.layers.1.block_sparse_moe.${name}.weight`,
      ),
    );
  });
});
