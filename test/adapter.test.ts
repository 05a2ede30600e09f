/** LoRA adapters in the place of checkpoints: compared, edited, and written again as adapters. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../src/checkpoint/index.ts";
import { writeAdapterFolder } from "./support/adapter-folder.ts";
import { buildModel, type TensorSpec, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { distance, readReport, sizeOf } from "./support/surgery.ts";
import { createTemporaryFolder, listFilesBelow, type parseJson, removeFolder } from "./support/untwist.ts";

type Json = ReturnType<typeof parseJson>;

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

beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("one"));
  await writeCheckpointFolder(at("source"), buildModel("two"));
  await writeAdapterFolder(at("adapter"), { base: "../base", modules });
  const merged = await readAll(at("adapter"));
  const tensors = buildModel("one").map(
    (tensor): TensorSpec => ({ ...tensor, values: merged.get(tensor.name)! }),
  );
  await writeCheckpointFolder(at("merged"), tensors);
});

describe("untwist spectra", () => {
  it("says of an adapter what it says of the merged model, and knows that its updates have its rank", async () => {
    const [ofAdapter, ofMerged] = [
      await readReport(["spectra", "base", "adapter", "--rank", "4"], folder),
      await readReport(["spectra", "base", "merged", "--rank", "4"], folder),
    ];
    expect({ ...ofAdapter, after: "merged" }).toEqual(ofMerged);
    const changed = ofAdapter.matrices.filter(({ flags }: Json) => !flags.includes("unchanged"));
    expect(changed.map(({ name }: Json) => name).sort()).toEqual([...adapted].sort());
    for (const { update } of changed) expect(update.numericalRank.rank).toBe(4);
  });
});

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
