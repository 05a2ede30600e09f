import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../../test/support/adapter-folder.ts";
import { openCheckpoint } from "../checkpoint.ts";
import { writeSafetensors } from "../safetensors/safetensors-write.ts";
import { compareConfigs } from "./compare-config.ts";

const created: string[] = [];
afterAll(() => {
  for (const path of created) rmSync(path, { recursive: true });
});

type Content = Readonly<Record<string, string | object>>;
const model = { model_type: "llama", hidden_size: 48, num_attention_heads: 4, vocab_size: 160 };

/** A checkpoint folder of these files, with a head or without. */
async function write(files: Content, head?: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "untwist-test-"));
  created.push(folder);
  for (const [name, content] of Object.entries({ "config.json": model, ...files }))
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  const tensor = (name: string, value: number) => ({
    ...{ name, shape: [2, 2], dtype: "F32" as const },
    data: () => Float32Array.of(1, 2, 3, value),
  });
  const tensors = [
    tensor("model.embed_tokens.weight", 4),
    ...(head === undefined ? [] : [tensor("lm_head.weight", head)]),
  ];
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  return folder;
}

const compare = async (before: Content, after: Content): Promise<readonly string[]> =>
  (await compareConfigs(await write(before), await write(after))).map(
    ({ about, text }) => `${about}: ${text}`,
  );
const config = (fields: object): Content => ({ "config.json": { ...model, ...fields } });

describe("compareConfigs()", () => {
  it("finds no difference in the same configuration, as transformers 4 and 5 write it", async () => {
    const scaling = {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const older = {
      ...{ torch_dtype: "bfloat16", rope_theta: 500000.0, transformers_version: "4.50.0" },
      ...{ rope_scaling: { ...scaling, rope_type: "llama3" }, eos_token_id: 2, use_cache: true },
    };
    const newer = {
      ...{
        dtype: "bfloat16",
        head_dim: 12,
        num_key_value_heads: 4,
        attention_bias: false,
        pad_token_id: null,
      },
      ...{ rope_parameters: { ...scaling, rope_type: "llama3", rope_theta: 500000.0 }, eos_token_id: [2] },
    };
    expect(await compare(config(older), config(newer))).toEqual([]);
    const gemma = {
      rope_theta: 1e6,
      rope_local_base_freq: 1e4,
      rope_scaling: { rope_type: "linear", factor: 8 },
    };
    const layers = {
      full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
      sliding_attention: { rope_type: "default", rope_theta: 1e4 },
    };
    expect(await compare(config(gemma), config({ rope_parameters: layers }))).toEqual([]);
  });

  it("tells another RoPE in any spelling", async () => {
    expect(
      await compare(config({ rope_theta: 1e4 }), config({ rope_parameters: { rope_theta: 5e5 } })),
    ).toEqual(["rope: RoPE: θ 10000 before, 500000 after"]);
    const linear = { rope_theta: 1e4, rope_scaling: { type: "linear", factor: 4 } };
    expect(await compare(config({ rope_theta: 1e4 }), config(linear))).toEqual([
      'rope: RoPE: type "default" before, "linear" after',
      "rope: RoPE: factor not given before, 4 after",
    ]);
    const nested = { text_config: { rope_parameters: { type: "yarn", rope_theta: 1e4, factor: 4 } } };
    expect(await compare(config({ text_config: { rope_theta: 1e4 } }), config(nested))).toContain(
      'rope: RoPE: type "default" before, "yarn" after',
    );
  });

  it("tells ties, number format, vocabulary, sizes and the base's name", async () => {
    const before = config({
      tie_word_embeddings: true,
      dtype: "float32",
      _name_or_path: "org/one",
      intermediate_size: 96,
    });
    const after = config({
      torch_dtype: "bfloat16",
      _name_or_path: "org/two",
      vocab_size: 161,
      intermediate_size: 128,
    });
    expect(await compare(before, after)).toEqual([
      "architecture: configuration: vocab_size 160 before, 161 after",
      "architecture: configuration: intermediate_size 96 before, 128 after",
      "ties: embeddings and head are tied before, two tensors after (tie_word_embeddings)",
      "format: configuration: number format float32 before, bfloat16 after",
      'base: the base is called "org/one" before, "org/two" after',
    ]);
  });

  it("tells a tie that the weights have lost, of either side, by their numbers", async () => {
    const tied = { "config.json": { ...model, tie_word_embeddings: true } };
    const texts = async (before?: number, after?: number): Promise<readonly string[]> =>
      (await compareConfigs(await write(tied, before), await write(tied, after))).map(({ text }) => text);
    expect(await texts(undefined, 4)).toEqual([]);
    expect(await texts(undefined, 5)).toEqual([
      expect.stringMatching(/^after: lm_head.weight and .* differ .* is not the one that was trained$/),
    ]);
    expect(await texts(5, 4)).toEqual([expect.stringMatching(/^before: /)]);
    // Gemma ties where its configuration says nothing.
    const gemma = { "config.json": { ...model, model_type: "gemma2" } };
    expect(await compareConfigs(await write(gemma), await write(gemma, 5))).toHaveLength(1);
    expect(await compareConfigs(await write({}), await write({}, 5))).toEqual([]);
  });

  const tokenizer = (vocab: Readonly<Record<string, number>>, more: object = {}): Content => ({
    "tokenizer.json": { model: { type: "BPE", vocab, merges: ["a b"] }, added_tokens: [], ...more },
  });

  it("compares tokenizers by what they do", async () => {
    const vocab = { a: 0, b: 1, ab: 2 };
    expect(await compare(tokenizer(vocab), tokenizer(vocab, { padding: { length: 8 } }))).toEqual([]);
    const pairs = { model: { type: "BPE", vocab, merges: [["a", "b"]], dropout: null } };
    expect(await compare(tokenizer(vocab), tokenizer(vocab, pairs))).toEqual([]);
    const added = { added_tokens: [{ id: 3, content: "<tool>", special: true }] };
    expect(await compare(tokenizer(vocab), tokenizer(vocab, added))).toEqual([
      'tokenizer: tokenizer: only the checkpoint after has 1 token ("<tool>")',
      "tokenizer: tokenizer: the tokenizer.json differ in which tokens are special",
    ]);
    expect(await compare(tokenizer(vocab), tokenizer({ a: 1, b: 0, ab: 2 }))).toEqual([
      'tokenizer: tokenizer: other numbers have 2 tokens ("a", "b")',
    ]);
    expect(await compare(tokenizer(vocab), tokenizer(vocab, { normalizer: { type: "NFC" } }))).toEqual([
      "tokenizer: tokenizer: the tokenizer.json differ in normalizer",
    ]);
    expect(await compare(tokenizer(vocab), {})).toEqual([
      "tokenizer: only the checkpoint before has a tokenizer",
    ]);
    const ends = (eos: unknown): Content => ({ "tokenizer_config.json": { eos_token: eos } });
    expect(await compare(ends("</s>"), ends({ content: "</s>", lstrip: false }))).toEqual([]);
    expect(
      await compare(ends("</s>"), {
        "special_tokens_map.json": { eos_token: "<|im_end|>" },
        ...ends(undefined),
      }),
    ).toEqual(['tokenizer: tokenizer: eos_token "</s>" before, "<|im_end|>" after']);
  });

  it("compares chat templates wherever they lie", async () => {
    const inside = { "tokenizer_config.json": { chat_template: "{{ messages }}" } };
    expect(
      await compare(inside, { "tokenizer_config.json": "{}", "chat_template.jinja": "{{ messages }}\n" }),
    ).toEqual([]);
    expect(
      await compare(inside, { "tokenizer_config.json": "{}", "chat_template.jinja": "{{ others }}" }),
    ).toEqual(["chat template: the chat templates differ"]);
    expect(await compare(inside, { "tokenizer_config.json": '{"x": 1}' })).toEqual([
      "chat template: only the checkpoint before has a chat template",
    ]);
  });

  it("compares how texts end and are drawn, config.json's ends where there is nothing else", async () => {
    const before = { ...config({ eos_token_id: 2, bos_token_id: 1 }) };
    const same = {
      "generation_config.json": { _from_model_config: true, bos_token_id: 1, eos_token_id: [2] },
    };
    expect(await compare(before, { ...before, ...same })).toEqual([]);
    expect(await compare(config({}), config({ eos_token_id: 0, attention_dropout: 0 }))).toEqual([
      "generation: generation: eos_token_id not given before, 0 after",
    ]);
    const other = { "generation_config.json": { eos_token_id: [2, 7], temperature: 0.6 } };
    expect(await compare(before, { ...before, ...other })).toEqual([
      "generation: generation: eos_token_id 2 before, [2,7] after",
      "generation: generation: temperature not given before, 0.6 after",
    ]);
  });

  it("says which files it cannot read, and compares nothing of them", async () => {
    const broken = { "tokenizer.json": "{", "tokenizer_config.json": "[]" };
    const found = await compareConfigs(
      await write({ "tokenizer.json": { model: { vocab: { a: 0 } } } }),
      await write(broken),
    );
    expect(found.map(({ text }) => text)).toEqual([
      "tokenizer: the tokenizer.json after is not a JSON object, so their tokens are not compared",
      expect.stringMatching(/tokenizer_config.json" is not a JSON object, so it is not compared$/),
    ]);
  });
});

describe("compareConfigs() of what is not a plain folder", () => {
  const golden = fileURLToPath(new URL("../../../../test/golden/savers/", import.meta.url));

  it("compares with a GGUF file what that says, and says that its tokenizer is not read", async () => {
    const gguf = join(golden, "gguf/x.gguf");
    const checkpoint = await openCheckpoint(gguf);
    await checkpoint.close();
    const { config: known } = checkpoint;
    const more = { architectures: ["X"], torch_dtype: "bfloat16", hidden_act: "silu", eos_token_id: 2 };
    const note =
      "tokenizer: the tokenizer and the chat template in a GGUF file are not read, so they are not compared";
    const tell = async (fields: object): Promise<readonly string[]> =>
      (await compareConfigs(await write({ "config.json": { ...known, ...more, ...fields } }), gguf)).map(
        ({ about, text }) => `${about}: ${text}`,
      );
    expect(await tell({})).toEqual([note]);
    expect(await tell({ num_hidden_layers: 99 })).toEqual([
      `architecture: configuration: num_hidden_layers 99 before, ${known.num_hidden_layers} after`,
      note,
    ]);
  });

  it("says once that one side has no configuration", async () => {
    const folder = mkdtempSync(join(tmpdir(), "untwist-test-"));
    created.push(folder);
    cpSync(join(golden, "torch/pytorch_model.bin"), join(folder, "x.bin"));
    const tied = await write(config({ tie_word_embeddings: true, rope_theta: 1e4 }));
    expect((await compareConfigs(tied, join(folder, "x.bin"))).map(({ about }) => about)).toEqual([
      "architecture",
    ]);
  });

  it("reads what verl keeps in a folder of its own", async () => {
    const folder = mkdtempSync(join(tmpdir(), "untwist-test-"));
    created.push(folder);
    cpSync(join(golden, "verl-copies"), folder, { recursive: true });
    mkdirSync(join(folder, "huggingface"));
    writeFileSync(join(folder, "huggingface/config.json"), JSON.stringify({ ...model, vocab_size: 161 }));
    writeFileSync(join(folder, "huggingface/tokenizer_config.json"), '{"eos_token": "</s>"}');
    const texts = await compareConfigs(
      await write({ "tokenizer_config.json": '{"eos_token": "x"}' }),
      folder,
    );
    expect(texts.map(({ text }) => text)).toEqual([
      "configuration: vocab_size 160 before, 161 after",
      'tokenizer: eos_token "x" before, "</s>" after',
    ]);
  });

  it("reads an adapter to an adapter as its model, and a tokenizer from one folder", async () => {
    const base = await write(config({ tie_word_embeddings: false }), 5);
    writeFileSync(join(base, "tokenizer.json"), '{"model": {"vocab": {"a": 0}}}');
    writeFileSync(join(base, "tokenizer_config.json"), '{"eos_token": "</s>"}');
    const folder = mkdtempSync(join(tmpdir(), "untwist-test-"));
    created.push(folder);
    const head = "model.embed_tokens";
    const [lower, upper] = [join(folder, "lower"), join(folder, "upper")];
    for (const [path, below] of [
      [lower, base],
      [upper, lower],
    ] as const)
      await writeAdapterFolder(path, { base: below, modules: { [head]: [2, 2, 1] }, fields: { r: 1 } });
    writeFileSync(join(upper, "tokenizer.json"), '{"model": {"vocab": {"a": 0}}}');
    expect((await compareConfigs(lower, upper)).map(({ text }) => text)).toEqual([
      'tokenizer: eos_token "</s>" before, not given after',
    ]);
  });
});
