import { describe, expect, it } from "vitest";
import { findTie } from "./tied-head.ts";

const table = { dtype: "F32", shape: [2, 2], file: "x" } as const;
const find = (config: object, ...names: readonly string[]): unknown =>
  findTie({ config: { ...config }, tensors: new Map(names.map((name) => [name, table])) });

describe("findTie()", () => {
  const [embedding, head] = ["model.embed_tokens.weight", "lm_head.weight"];

  it("goes by what the configuration says, wherever it says it", () => {
    const tie = { embedding, head };
    expect(find({ tie_word_embeddings: true }, embedding, head)).toEqual(tie);
    expect(find({ text_config: { tie_word_embeddings: true } }, embedding)).toEqual(tie);
    expect(find({ tie_word_embeddings: false }, embedding)).toBeUndefined();
    expect(find({ text_config: { tie_word_embeddings: false } }, embedding)).toBeUndefined();
    expect(find({ model_type: "gemma2" }, embedding, head)).toEqual(tie);
  });

  it("goes by whether there is a head, where the configuration says nothing", () => {
    expect(find({ model_type: "llama" }, embedding, head)).toBeUndefined();
    expect(find({ model_type: "llama" }, embedding)).toEqual({ embedding, head });
    expect(find({}, "gpt_neox.embed_in.weight")).toEqual({
      embedding: "gpt_neox.embed_in.weight",
      head: "embed_out.weight",
    });
    expect(find({ tie_word_embeddings: true }, head)).toBeUndefined();
  });
});
