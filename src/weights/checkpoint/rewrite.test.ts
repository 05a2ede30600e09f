import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import { drawExact, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { openCheckpoint } from "./checkpoint.ts";
import type { Checkpoint } from "./open-checkpoint.ts";
import { rewriteCheckpoint } from "./rewrite.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);

const tensors = [
  { name: "a.weight", shape: [3, 5], values: drawExact("a", 15), dtype: "BF16" },
  { name: "b.weight", shape: [3], values: drawExact("b", 3), dtype: "F32" },
  { name: "experts.down_proj", shape: [3, 16, 20], values: drawExact("stack", 960), dtype: "BF16" },
  { name: "empty.weight", shape: [24, 0], values: [], dtype: "BF16" },
] as const;

const stored = (place: string): Promise<readonly (readonly [string, string, readonly number[], string])[]> =>
  openCheckpoint(place).then(async (checkpoint) => {
    const all = [];
    for (const [name, { dtype, shape }] of checkpoint.tensors) {
      const bytes = Buffer.from(await checkpoint.readBytes(name)).toString("hex");
      all.push([name, dtype, shape, bytes] as const);
    }
    await checkpoint.close();
    return all.sort(([a], [b]) => (a < b ? -1 : 1));
  });

describe("rewriteCheckpoint()", () => {
  it("copies what does not change byte for byte, and leaves out what holds the weights in other forms", async () => {
    await writeCheckpointFolder(at("own"), tensors, { numShards: 2 });
    for (const name of ["pytorch_model.bin", "tokenizer.json"]) writeFileSync(at(`own/${name}`), name);
    mkdirSync(at("copy"));
    const checkpoint = await openCheckpoint(at("own"));
    const leftOut = await rewriteCheckpoint(checkpoint, at("copy"), { tensors: new Map(), metadata: {} });
    await checkpoint.close();
    expect(leftOut).toEqual(["pytorch_model.bin"]);
    const names = readdirSync(at("own")).filter((name) => name !== "pytorch_model.bin");
    expect(readdirSync(at("copy"))).toEqual(names);
    for (const name of names)
      expect(readFileSync(at(`copy/${name}`)).equals(readFileSync(at(`own/${name}`))), name).toBe(true);
  });

  it("writes tensors that lie in other forms as one new file, with a configuration in Python's JSON", async () => {
    await writeCheckpointFolder(at("other"), tensors, { numShards: 2 });
    mkdirSync(at("new"));
    const checkpoint = await openCheckpoint(at("other"));
    const config = { model_type: "llama", time_step_limit: [0, Number.POSITIVE_INFINITY], dtype: "float64" };
    const leftOut = await rewriteCheckpoint({ ...checkpoint, config, isConverted: true }, at("new"), {
      tensors: new Map([["b.weight", () => [new Uint8Array(12)]]]),
      metadata: { note: "x" },
    });
    await checkpoint.close();
    expect(leftOut).toHaveLength(3);
    expect(readdirSync(at("new"))).toEqual(["config.json", "model.safetensors"]);
    expect(readFileSync(at("new/config.json"), "utf8").replaceAll(/\s/g, "")).toBe(
      '{"model_type":"llama","time_step_limit":[0,Infinity],"dtype":"bfloat16"}',
    );
    writeFileSync(at("new/config.json"), "{}");
    const expected = (await stored(at("other"))).map((one) =>
      one[0] === "b.weight" ? [one[0], one[1], one[2], "0".repeat(24)] : one,
    );
    expect(await stored(at("new"))).toEqual(expected);
  });

  it("refuses bytes that are not as many as the tensor takes", async () => {
    await writeCheckpointFolder(at("short"), tensors);
    mkdirSync(at("never"));
    const checkpoint = await openCheckpoint(at("short"));
    const rewrite = { tensors: new Map([["b.weight", () => [new Uint8Array(11)]]]), metadata: {} };
    await expect(rewriteCheckpoint(checkpoint, at("never"), rewrite)).rejects.toThrow(
      "11 bytes in the place of 12",
    );
    await checkpoint.close();
  });

  /** Writes a checkpoint again as it is, with fields of it replaced. */
  async function copy(
    place: string,
    name: string,
    change: (checkpoint: Checkpoint) => Partial<Checkpoint> = () => ({}),
  ): Promise<void> {
    mkdirSync(at(name));
    const checkpoint = await openCheckpoint(at(place));
    try {
      const changed = { ...checkpoint, ...change(checkpoint) };
      await rewriteCheckpoint(changed, at(name), { tensors: new Map(), metadata: {} });
    } finally {
      await checkpoint.close();
    }
  }

  const readJson = (path: string) => JSON.parse(readFileSync(at(path), "utf8"));

  it("writes an index that says how much the files hold now", async () => {
    await writeCheckpointFolder(at("sized"), tensors, { numShards: 2 });
    const index = readJson("sized/model.safetensors.index.json");
    writeFileSync(
      at("sized/model.safetensors.index.json"),
      JSON.stringify({ ...index, metadata: { total_size: 7, note: "kept" } }),
    );
    await copy("sized", "resized");
    expect(readJson("resized/model.safetensors.index.json")).toEqual({
      ...index,
      metadata: { note: "kept", total_size: 30 + 12 + 1920 },
    });
  });

  it("refuses a stack whose matrices are of several formats, as a file has none", async () => {
    await writeCheckpointFolder(at("stack"), tensors);
    const widen = ({ tensors: all }: Checkpoint): Partial<Checkpoint> => ({
      tensors: new Map(
        [...all].map(([name, one]) => [name, name.endsWith("[1]") ? { ...one, dtype: "F32" } : one]),
      ),
    });
    const refused = "several formats, BF16 and F32";
    await expect(copy("stack", "mixed", widen)).rejects.toThrow(refused);
    const whole = (one: Checkpoint): Partial<Checkpoint> => ({ ...widen(one), isConverted: true });
    await expect(copy("stack", "mixed whole", whole)).rejects.toThrow(refused);
  });

  it("leaves a number format that some weights have, and names one that they have elsewhere", async () => {
    await writeCheckpointFolder(at("formats"), tensors);
    const say = (config: object) => (): Partial<Checkpoint> => ({ config: { ...config }, isConverted: true });
    await copy("formats", "kept", say({ torch_dtype: "float32" }));
    expect(readJson("kept/config.json")).toEqual({ torch_dtype: "float32" });
    await copy("formats", "named", say({ text_config: { dtype: "float16" } }));
    expect(readJson("named/config.json")).toEqual({ text_config: { dtype: "bfloat16" } });
  });

  it("takes the tokenizer of a single file from its folder", async () => {
    await writeCheckpointFolder(at("single"), tensors);
    writeFileSync(at("single/tokenizer.json"), "{}");
    await copy("single/model.safetensors", "from file");
    expect(readdirSync(at("from file"))).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
  });

  it("takes an adapter's own tokenizer and template whole, and not beside the base's", async () => {
    const name = "model.layers.0.self_attn.q_proj";
    await writeCheckpointFolder(at("base"), [
      { name: `${name}.weight`, shape: [4, 4], values: drawExact("q", 16), dtype: "F32" },
    ]);
    for (const file of ["tokenizer.json", "added_tokens.json", "chat_template.jinja"])
      writeFileSync(at(`base/${file}`), '{"of": "base"}');
    await writeAdapterFolder(at("adapter"), { base: at("base"), modules: { [name]: [4, 4, 2] }, seed: "a" });
    writeFileSync(at("adapter/tokenizer.json"), '{"of": "adapter"}');
    writeFileSync(at("adapter/tokenizer_config.json"), '{"chat_template": "own"}');
    mkdirSync(at("merged"));
    const checkpoint = await openCheckpoint(at("adapter"));
    await rewriteCheckpoint(checkpoint, at("merged"), { tensors: new Map(), metadata: {} });
    await checkpoint.close();
    const names = readdirSync(at("merged")).filter((one) => !/^(?:config\.json|.*\.safetensors)$/.test(one));
    expect(names).toEqual(["tokenizer.json", "tokenizer_config.json"]);
    expect(readFileSync(at("merged/tokenizer.json"), "utf8")).toContain("adapter");
  });
});
