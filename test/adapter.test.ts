/** LoRA adapters in the place of checkpoints: compared, edited, and written again as adapters. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../src/weights/checkpoint/index.ts";
import { writeAdapterFolder } from "./support/adapter-folder.ts";
import {
  buildModel,
  drawExact,
  drawNormal,
  type TensorSpec,
  writeCheckpointFolder,
} from "./support/checkpoint-folder.ts";
import { distance, readReport, sizeOf } from "./support/surgery.ts";
import {
  createTemporaryFolder,
  type Json,
  listFilesBelow,
  removeFolder,
  runUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const at = (name: string): string => join(folder, name);
afterAll(() => removeFolder(folder));

const modules = {
  "model.layers.0.self_attn.q_proj": [24, 24, 4],
  "model.layers.1.mlp.up_proj": [40, 24, 4],
} as const;
const adapted = Object.keys(modules).map((module) => `${module}.weight`);

async function readAll(path: string): Promise<ReadonlyMap<string, Float64Array>> {
  const checkpoint = await openCheckpoint(path);
  try {
    const values = new Map<string, Float64Array>();
    for (const name of checkpoint.tensors.keys())
      values.set(name, Float64Array.from((await checkpoint.readTensor(name)).data));
    return values;
  } finally {
    await checkpoint.close();
  }
}

/** Writes the model that an adapter makes as a checkpoint. */
async function merge(adapter: string, merged: string): Promise<void> {
  const values = await readAll(at(adapter));
  const tensors = buildModel("one").map(
    (tensor): TensorSpec => ({ ...tensor, values: values.get(tensor.name)! }),
  );
  await writeCheckpointFolder(at(merged), tensors);
}

beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("one"));
  await writeCheckpointFolder(at("source"), buildModel("two"));
  await writeAdapterFolder(at("adapter"), { base: "../base", modules });
  const later = {
    "model.layers.0.self_attn.q_proj": [24, 24, 3],
    "model.layers.1.mlp.up_proj": [40, 24, 4],
  } as const;
  await writeAdapterFolder(at("later"), { base: "../base", modules: later, seed: "later" });
  await merge("adapter", "merged");
  await merge("later", "merged-later");
});

describe("untwist spectra", () => {
  // A cache for each: what is known of the merged models must not answer for the adapters.
  const compare = ([before, after]: readonly [string, string]): Promise<Json> =>
    readReport(["spectra", before, after, "--rank", "4"], folder, {
      UNTWIST_CACHE: at(`cache of ${before} and ${after}`),
    });

  it.each([
    ["an adapter to its base", ["base", "adapter"], ["base", "merged"], [4, 4]],
    ["an adapter to a later one", ["adapter", "later"], ["merged", "merged-later"], [7, 8]],
    ["an adapter to no adapter", ["adapter", "base"], ["merged", "base"], [4, 4]],
  ] as const)(
    "says of %s what it says of the merged models, and knows the rank",
    async (_, adapters, merged, ranks) => {
      const [found, expected] = [await compare(adapters), await compare(merged)];
      const [before, after] = merged;
      expectClose({ ...found, before, after }, expected);
      const changed = found.matrices.filter(({ flags }: Json) => !flags.includes("unchanged"));
      expect(changed.map(({ name }: Json) => name).sort()).toEqual([...adapted].sort());
      const numericalRanks = changed.map(({ update }: Json) => update.numericalRank.rank);
      expect([...numericalRanks].sort()).toEqual(ranks);
      // Only the thin form knows that there is nothing more; what is multiplied out has values of rounding.
      for (const [index, { update }] of changed.entries())
        expect(update.singularValues.slice(numericalRanks[index]).every((value: number) => value === 0)).toBe(
          true,
        );
    },
  );
});

/** That two reports agree: texts and truths exactly, numbers but for rounding. */
function expectClose(found: Json, expected: Json, path = "report"): void {
  if (typeof expected === "number")
    expect(Math.abs(found - expected), path).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(expected)));
  else if (typeof expected === "object" && expected !== null) {
    expect(Object.keys(found), path).toEqual(Object.keys(expected));
    for (const key of Object.keys(expected)) expectClose(found[key], expected[key], `${path}.${key}`);
  } else expect(found, path).toEqual(expected);
}

describe("untwist restore", () => {
  const flags = ["--top", "3", "--matrices", "q_proj"];
  it("edits the model that an adapter makes, and writes it whole", async () => {
    await readReport(
      ["restore", "--into", "adapter", "--from", "source", ...flags, "--out", "edited"],
      folder,
    );
    await readReport(
      ["restore", "--into", "merged", "--from", "source", ...flags, "--out", "expected"],
      folder,
    );
    const [edited, expected] = [await readAll(at("edited")), await readAll(at("expected"))];
    for (const [name, values] of expected) expect(edited.get(name), name).toEqual(values);
    expect(listFilesBelow(at("edited"))).toEqual(listFilesBelow(at("expected")));
  });

  it("writes the edited adapter as one adapter to the same base", async () => {
    await readReport(
      ["restore", "--into", "adapter", "--from", "source", ...flags, "--as", "lora", "--out", "again"],
      folder,
    );
    const [again, expected] = [await readAll(at("again")), await readAll(at("expected"))];
    for (const [name, values] of expected)
      expect(distance(again.get(name)!, values), name).toBeLessThan(1e-6 * sizeOf(values));
  });
});

describe("untwist restore into an adapter that holds whole tensors", () => {
  const head = { name: "base_model.model.lm_head.weight", shape: [30, 24], values: drawNormal("head", 720) };
  const flags = ["--top", "3", "--matrices", "q_proj"];
  const restore = async (name: string): Promise<void> => {
    await readReport(
      ["restore", "--into", name, "--from", "source", ...flags, "--out", `${name}-edited`],
      folder,
    );
  };
  const formatsIn = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const checkpoint = await openCheckpoint(at(name));
    await checkpoint.close();
    return Object.fromEntries([...checkpoint.tensors].map(([tensor, { dtype }]) => [tensor, dtype]));
  };

  it.each([
    ["F16", "BF16"],
    ["BF16", "F16"],
    ["BF16", "F32"],
    ["F32", "BF16"],
  ] as const)("keeps their format: base %s, tensor %s", async (base, dtype) => {
    const name = `${base} ${dtype}`;
    await writeCheckpointFolder(at(`base ${name}`), buildModel("one", base), { numShards: 2 });
    const place = `../base ${name}`;
    const adapter = await writeAdapterFolder(at(name), {
      base: place,
      modules,
      tensors: [{ ...head, dtype }],
    });
    await restore(name);
    const [edited, before] = [await readAll(at(`${name}-edited`)), await readAll(adapter)];
    expect(edited.get("lm_head.weight")).toEqual(before.get("lm_head.weight"));
    const formats = await formatsIn(`${name}-edited`);
    const expected = buildModel("one").map((tensor) => [
      tensor.name,
      tensor.name === "lm_head.weight" ? dtype : base,
    ]);
    expect(formats).toEqual(Object.fromEntries(expected));
    const others = buildModel("one").filter((tensor) => !/q_proj|up_proj|lm_head/.test(tensor.name));
    for (const tensor of others)
      expect(edited.get(tensor.name), tensor.name).toEqual(Float64Array.from(tensor.values));
  });

  it("writes tables of another size, and says the size and format", async () => {
    const embeddings = { ...head, name: "base_model.model.model.embed_tokens.weight", shape: [31, 24] };
    const values = drawExact("larger", 744);
    await writeCheckpointFolder(at("sized"), buildModel("one", "BF16"));
    const config = { model_type: "llama", vocab_size: 30, dtype: "bfloat16" };
    writeFileSync(at("sized/config.json"), JSON.stringify(config));
    await writeAdapterFolder(at("larger"), {
      base: "../sized",
      modules,
      tensors: [
        { ...head, shape: [31, 24], values },
        { ...embeddings, values },
      ],
    });
    writeFileSync(at("larger/tokenizer.json"), "of the adapter");
    writeFileSync(at("sized/tokenizer.json"), "of the base");
    await restore("larger");
    const edited = await readAll(at("larger-edited"));
    expect(edited.get("lm_head.weight")).toEqual(Float64Array.from(values));
    expect(edited.get("model.embed_tokens.weight")).toEqual(Float64Array.from(values));
    // Of the bytes of this model, more are in 16-bit floats than in the tables.
    expect(JSON.parse(readFileSync(at("larger-edited/config.json"), "utf8"))).toEqual({
      ...config,
      vocab_size: 31,
    });
    expect(readFileSync(at("larger-edited/tokenizer.json"), "utf8")).toBe("of the adapter");
  });

  it("writes both tables where an adapter has parted them, and says that they are two", async () => {
    const tied = buildModel("one").filter(({ name }) => name !== "lm_head.weight");
    await writeCheckpointFolder(at("tied"), tied, { numShards: 2 });
    writeFileSync(at("tied/config.json"), JSON.stringify({ model_type: "llama", tie_word_embeddings: true }));
    await writeAdapterFolder(at("parted"), { base: "../tied", modules, tensors: [head] });
    await restore("parted");
    const edited = await readAll(at("parted-edited"));
    expect(edited.get("lm_head.weight")).toEqual(Float64Array.from(head.values));
    expect(edited.get("model.embed_tokens.weight")).toEqual(Float64Array.from(tied[0]!.values));
    expect(JSON.parse(readFileSync(at("parted-edited/config.json"), "utf8"))).toEqual({
      model_type: "llama",
      tie_word_embeddings: false,
    });
  });

  it("says that embeddings and head are two where the edit parts them, and leaves the rest of the configuration", async () => {
    const config = '{"model_type":"llama","tie_word_embeddings":true}';
    await writeCheckpointFolder(at("twice"), buildModel("one"));
    writeFileSync(at("twice/config.json"), config);
    await restore("twice");
    expect(readFileSync(at("twice-edited/config.json"), "utf8")).toBe(config);
    const rollback = { operation: "rollback", matrices: "embed_tokens", strength: 1 };
    const plan = { target: "twice", source: "source", operations: [rollback] };
    writeFileSync(at("plan.yaml"), JSON.stringify(plan));
    await readReport(["apply", "plan.yaml", "--out", "twice-parted"], folder);
    expect(JSON.parse(readFileSync(at("twice-parted/config.json"), "utf8")).tie_word_embeddings).toBe(false);
  });
});

describe("untwist restore --as lora refuses a target that no LoRA can say", () => {
  const refuse = async (into: string, ...words: readonly string[]): Promise<void> => {
    for (const more of [["--dry-run"], ["--out", "never"]]) {
      const flags = ["--top", "3", "--matrices", "q_proj", "--as", "lora", ...more];
      const { code, stderr } = await runUntwist(
        ["restore", "--into", into, "--from", "source", ...flags],
        folder,
      );
      expect(code).toBe(2);
      expect(stderr.trim().split("\n")).toHaveLength(1);
      for (const word of words) expect(stderr).toContain(word);
    }
  };

  it("that replaces a tensor as a whole", async () => {
    const head = { name: "base_model.model.lm_head.weight", shape: [30, 24], values: drawExact("head", 720) };
    await writeAdapterFolder(at("whole"), { base: "../base", modules, tensors: [head] });
    await refuse("whole", "lm_head.weight", "whole checkpoint");
  });

  it("whose base is an adapter, which is written whole all the same", async () => {
    await writeAdapterFolder(at("second"), { base: "../adapter", modules, seed: "second" });
    await refuse("second", "is an adapter itself");
    const flags = ["--top", "3", "--matrices", "up_proj"];
    await readReport(["restore", "--into", "second", "--from", "source", ...flags, "--out", "flat"], folder);
    const [flat, second] = [await readAll(at("flat")), await readAll(at("second"))];
    expect([...flat.keys()].sort()).toEqual([...second.keys()].sort());
    const name = "model.layers.0.self_attn.q_proj.weight";
    expect(flat.get(name)).toEqual(second.get(name));
  });

  it("in which tables of embeddings have factors", async () => {
    const [rows, columns] = [30, 24];
    const prefix = "base_model.model.model.embed_tokens.lora_embedding_";
    await writeAdapterFolder(at("tables"), {
      base: "../base",
      modules,
      tensors: [
        { name: `${prefix}A`, shape: [4, rows], values: drawExact("A", 4 * rows) },
        { name: `${prefix}B`, shape: [columns, 4], values: drawExact("B", 4 * columns) },
      ],
    });
    await refuse("tables", "embed_tokens", "linear layer");
  });
});
