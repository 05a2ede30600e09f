/** Mixtures of experts whose matrices are stacked in one tensor: compared and repaired expert by expert. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint, openSafetensors } from "../src/weights/checkpoint/index.ts";
import { drawExact, type TensorSpec, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { distance, readReport } from "./support/surgery.ts";
import { createTemporaryFolder, type Json, removeFolder } from "./support/untwist.ts";

const folder = createTemporaryFolder();
const at = (name: string): string => join(folder, name);
afterAll(() => removeFolder(folder));

const numExperts = 3;
const [gate, down] = ["gate_up_proj", "down_proj"].map((part) => `model.layers.0.mlp.experts.${part}`) as [
  string,
  string,
];
/** Only the second expert of `down_proj` differs between the steps. */
const build = (step: string): readonly TensorSpec[] => {
  const values = drawExact("down", numExperts * 24 * 16);
  values.set(drawExact(step, 24 * 16), 24 * 16);
  return [
    { name: gate, shape: [numExperts, 16, 48], values: drawExact("gate", numExperts * 16 * 48) },
    { name: down, shape: [numExperts, 24, 16], values },
    { name: "model.norm.weight", shape: [16], values: drawExact("norm", 16) },
  ];
};
const readAll = async (path: string): Promise<ReadonlyMap<string, Float64Array>> => {
  const checkpoint = await openCheckpoint(path);
  const read = new Map<string, Float64Array>();
  for (const name of checkpoint.tensors.keys())
    read.set(name, Float64Array.from((await checkpoint.readTensor(name)).data));
  await checkpoint.close();
  return read;
};

beforeAll(async () => {
  for (const step of ["one", "two"]) await writeCheckpointFolder(at(step), build(step));
});

describe("stacked experts", () => {
  it("are compared one by one, of the kind of their stack", async () => {
    const { matrices } = await readReport(["spectra", "one", "two", "--rank", "4"], folder);
    expect(matrices.map(({ name }: Json) => name).sort()).toEqual(
      [gate, down].flatMap((stack) => [0, 1, 2].map((index) => `${stack}[${index}]`)).sort(),
    );
    expect(new Set(matrices.map(({ kind }: Json) => kind))).toEqual(
      new Set(["experts.gate_up_proj", "experts.down_proj"]),
    );
    const changed = matrices.filter(({ flags }: Json) => !flags.includes("unchanged"));
    expect(changed.map(({ name, layer }: Json) => [name, layer])).toEqual([[`${down}[1]`, 0]]);
  });

  it("are repaired one by one, in the stack that they came in", async () => {
    const flags = [
      "--into",
      "two",
      "--from",
      "one",
      "--what",
      "vectors",
      "--top",
      "all",
      "--matrices",
      "experts.down_proj",
      "--out",
      "back",
    ];
    const { tensors } = await readReport(["restore", ...flags], folder);
    expect(tensors).toHaveLength(numExperts);
    const [back, one] = [await readAll(at("back")), await readAll(at("one"))];
    for (const [name, values] of one) expect(distance(back.get(name)!, values), name).toBeLessThan(1e-5);
    const file = await openSafetensors(join(at("back"), "model.safetensors"));
    expect(file.header.tensors.get(down)?.shape).toEqual([numExperts, 24, 16]);
    await file.close();
  });
});
