/** Checkpoints of one model as different libraries leave them: what is compared, what leads the answer, and what is refused. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  drawExact,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "./support/checkpoint-folder.ts";
import { readSpectra } from "./support/spectra.ts";
import { createTemporaryFolder, type Json, removeFolder, runUntwist } from "./support/untwist.ts";

const folder = createTemporaryFolder();
const at = (name: string): string => join(folder, name);
afterAll(() => removeFolder(folder));

const [hidden, inner, numExperts] = [16, 8, 3];
const draw = (name: string, ...shape: readonly number[]): TensorSpec => ({
  name,
  shape,
  values: drawExact(
    name,
    shape.reduce((product, size) => product * size, 1),
  ),
});
/** The same numbers, moved a little. */
const move = (tensor: TensorSpec): TensorSpec => ({
  ...tensor,
  values: Float32Array.from(tensor.values, (value, index) => value + (index % 3) / 256),
});
const write = async (name: string, tensors: readonly TensorSpec[], config: object = {}): Promise<void> => {
  await writeCheckpointFolder(at(name), tensors);
  writeFileSync(join(at(name), "config.json"), JSON.stringify({ model_type: "llama", ...config }));
};
const namesOf = (list: readonly Json[]): readonly string[] => list.map(({ name }) => name).sort();

const embedding = draw("model.embed_tokens.weight", 20, hidden);
const query = draw(nameWeight(0, "self_attn.q_proj"), hidden, hidden);
const norm = draw("model.norm.weight", hidden);
const dense = [embedding, query, norm];

describe("a copy in a coarser format", () => {
  const fine = dense.map((tensor) => ({
    ...tensor,
    values: Float32Array.from(tensor.values, (value, index) => value * (1 + 2 ** -12) + index * 2 ** -20),
  }));
  for (const dtype of ["BF16", "F16"] as const)
    it(`is equal but for rounding, in every tensor: ${dtype}`, async () => {
      await write("fine", fine);
      await write(
        dtype,
        fine.map((tensor) => ({ ...tensor, dtype })),
      );
      const spectra = await readSpectra(["fine", dtype], folder);
      expect(spectra.matrices.map(({ flags }: Json) => flags)).toEqual([["rounded"], ["rounded"]]);
      expect(spectra).toMatchObject({ numChanged: 0, flags: { rounded: 2 } });
      expect(spectra.reading).toBe(
        `no matrix changed but for rounding: the checkpoints are equal once both are in ${dtype}`,
      );
      expect(spectra.coverage.notes).toEqual([`number format: F32 before, ${dtype} after (3 of 3 tensors)`]);
      const [first] = fine;
      await write(
        "moved",
        [move(first!), ...fine.slice(1)].map((tensor) => ({ ...tensor, dtype })),
      );
      const moved = await readSpectra(["fine", "moved"], folder);
      expect(moved).toMatchObject({ numChanged: 1, flags: { rounded: 1 } });
      expect(moved.reading).toMatch(/^1 of 2 matrices changed; in it, /);
    });
});

describe("names that wrappers and versions change", () => {
  const layers = [draw("visual.proj.weight", 4, 6), query, norm];
  const spellings: Readonly<Record<string, (name: string) => string>> = {
    "torch.compile": (name) => `_orig_mod.${name}`,
    DDP: (name) => `module.${name}`,
    PEFT: (name) => `base_model.model.${name}`,
    "a model without its head": (name) => name.replace(/^model\./, ""),
    "transformers 4": (name) => name.replace(/^model\./, "language_model.model."),
    "transformers 5": (name) =>
      name.replace(/^model\./, "model.language_model.").replace(/^visual/, "model.visual"),
  };
  beforeAll(() => write("plain", layers));
  for (const [library, spell] of Object.entries(spellings))
    it(`are matched, and told: ${library}`, async () => {
      await write(
        "spelled",
        layers.map(move).map((tensor) => ({ ...tensor, name: spell(tensor.name) })),
      );
      const spectra = await readSpectra(["plain", "spelled"], folder);
      expect(spectra.coverage).toMatchObject({ numMatched: 3, unmatched: [], isComplete: true });
      expect(spectra.coverage.notes[0]).toMatch(/spelled differently/);
      expect(spectra.matrices.map(({ update }: Json) => update.frobenius > 0)).toEqual([true, true]);
    });
});

describe("experts one by one and packed", () => {
  const experts = "model.layers.0.mlp.experts";
  const single = (part: string, expert: number, ...shape: readonly number[]): TensorSpec =>
    draw(`${experts}.${expert}.${part}_proj.weight`, ...shape);
  const each = Array.from({ length: numExperts }, (_, expert) => [
    single("gate", expert, inner, hidden),
    single("up", expert, inner, hidden),
    single("down", expert, hidden, inner),
  ]);
  const concatenate = (tensors: readonly TensorSpec[]): Float32Array =>
    Float32Array.from(tensors.flatMap(({ values }) => Array.from(values)));
  const moved = each.map((parts) => parts.map(move));
  const packed = [
    {
      name: `${experts}.gate_up_proj`,
      shape: [numExperts, 2 * inner, hidden],
      values: concatenate(moved.flatMap(([gate, up]) => [gate!, up!])),
    },
    {
      name: `${experts}.down_proj`,
      shape: [numExperts, hidden, inner],
      values: concatenate(moved.map(([, , down]) => down!)),
    },
  ];
  beforeAll(async () => {
    await write("single", [query, ...each.flat()], { model_type: "qwen3_moe" });
    await write("single-moved", [query, ...moved.flat()], { model_type: "qwen3_moe" });
    await write("packed", [query, ...packed], { model_type: "qwen3_moe" });
  });

  it("give the same numbers as if both were one by one, whichever side is packed", async () => {
    const plain = await readSpectra(["single", "single-moved"], folder);
    const mixed = await readSpectra(["single", "packed"], folder);
    expect(mixed.matrices).toEqual(plain.matrices);
    expect(mixed.numMatrices).toBe(1 + 3 * numExperts);
    expect(mixed.coverage).toMatchObject({ isComplete: true, unmatched: [] });
    const back = await readSpectra(["packed", "single-moved"], folder);
    expect(back.reading).toBe("no matrix changed");
    expect(back.numMatrices).toBe(1 + 3 * numExperts);
  });

  it("are not matched where the model stores its stacks with inputs as rows", async () => {
    await write("transposed", [query, ...packed], { model_type: "gpt_oss" });
    const spectra = await readSpectra(["single", "transposed"], folder);
    expect(spectra.coverage).toMatchObject({ numMatched: 1, isComplete: false });
  });

  it("have biases that are not matrices", async () => {
    const bias = draw(`${experts}.gate_up_proj_bias`, 16, 32);
    await write("bias", [query, bias]);
    await write("bias-moved", [query, move(bias)]);
    const spectra = await readSpectra(["bias", "bias-moved"], folder);
    expect(namesOf(spectra.matrices)).toEqual([query.name]);
    // A vector an expert.
    expect(new Set(namesOf(spectra.vectors).map((name) => name.replace(/\[\d+\]$/, "")))).toEqual(
      new Set([bias.name]),
    );
    expect(spectra.reading).toMatch(/^no matrix changed; \d+ other tensors did/);
  });
});

describe("ties and vocabularies", () => {
  const tied = { tie_word_embeddings: true };
  const head = { ...move(embedding), name: "lm_head.weight" };

  it("compare a head of one's own with the embeddings that it was tied to, and flag a lost tie", async () => {
    await write("tied", dense, tied);
    await write("merged", [...dense, head], tied);
    const spectra = await readSpectra(["tied", "merged"], folder);
    const found = spectra.matrices.find(({ name }: Json) => name === "lm_head.weight");
    expect(found.flags).toContain("tie-lost");
    expect(found.update.frobenius).toBeGreaterThan(0);
    expect(spectra.coverage).toMatchObject({ isComplete: true, unmatched: [] });
    expect(spectra.config).toEqual([
      { about: "ties", text: expect.stringContaining("a loader that ties drops lm_head") },
    ]);
    await write("untied", [...dense, head], { tie_word_embeddings: false });
    const untied = await readSpectra(["tied", "untied"], folder);
    expect(untied.flags).not.toHaveProperty("tie-lost");
    expect(untied.numMatrices).toBe(3);
  });

  it("compare the rows that both have, and count the new ones before all else", async () => {
    const larger = {
      ...embedding,
      shape: [22, hidden],
      values: [...Array.from(embedding.values), ...drawExact("new", 2 * hidden)],
    };
    await write("small", dense, { vocab_size: 20 });
    await write("large", [larger, query, norm], { vocab_size: 22 });
    const spectra = await readSpectra(["small", "large"], folder);
    expect(spectra).toMatchObject({ numMatrices: 2, numChanged: 0 });
    expect(spectra.matrices.find(({ name }: Json) => name === embedding.name).shape).toEqual([20, hidden]);
    expect(spectra.coverage.notes).toEqual([
      expect.stringContaining("the 20 common rows were compared; 2 new after"),
    ]);
    expect(spectra.reading).toBe("of what was compared, no matrix changed");
    const { stdout, code } = await runUntwist(["spectra", "small", "large", "--strict"], folder);
    expect(stdout).toMatch(/^Compared 2 of 2 matrices, 9\d % of the parameters\n/);
    expect(code).toBe(2);
  });

  it("say what ZeRO-3 left empty", async () => {
    await write("gathered", dense);
    await write("sharded", [embedding, { ...query, shape: [0], values: [] }, norm]);
    const { stdout, code } = await runUntwist(["spectra", "gathered", "sharded"], folder);
    expect(stdout).toMatch(/^Compared 1 of 2 matrices, \d\d % of the parameters \(1 tensor could not be\)\n/);
    expect([stdout.includes("ZeRO-3"), code]).toEqual([true, 0]);
  });
});

describe("a quantized copy", () => {
  it("is refused on either side, and against another one", async () => {
    const quantized = [{ ...draw("model.layers.0.self_attn.q_proj.qweight", 2, 16), dtype: "I32" as const }];
    const scales = draw("model.layers.0.self_attn.q_proj.scales", 1, 16);
    await write("plain", dense);
    await write("gptq", [embedding, norm, ...quantized, scales], {
      quantization_config: { quant_method: "gptq", bits: 4 },
    });
    for (const pair of [
      ["plain", "gptq"],
      ["gptq", "plain"],
      ["gptq", "gptq"],
    ]) {
      const { code, stdout, stderr } = await runUntwist(["spectra", ...pair], folder);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^Cannot read "gptq": its weights are quantized \(gptq, 4 bits; .*\n$/);
    }
  });
});
