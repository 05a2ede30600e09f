/** `untwist spectra` given what it cannot compare: one sentence each, or listed beside what it can. */
import { existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "./support/adapter-folder.ts";
import {
  buildModel,
  drawExact,
  nameShard,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "./support/checkpoint-folder.ts";
import { expectRefusal, type Mistake } from "./support/refusal.ts";
import { readSpectra } from "./support/spectra.ts";
import { createTemporaryFolder, type Environment, removeFolder, runUntwist } from "./support/untwist.ts";

const folder = createTemporaryFolder();
/** A cache of one's own in the folder, so that a refusal that leaves something in the cache is seen. */
const cache = (name: string): Environment => ({ UNTWIST_CACHE: join(folder, `cache of ${name}`) });
const up = nameWeight(1, "mlp.up_proj");

async function write(name: string, tensors: readonly TensorSpec[], numShards?: number): Promise<string> {
  const layout = numShards === undefined ? {} : { numShards };
  return await writeCheckpointFolder(join(folder, name), tensors, layout);
}

/** The model with one value of one tensor replaced. */
function spoil(value: number, dtype: "F32" | "BF16"): readonly TensorSpec[] {
  return buildModel("two").map((tensor) => {
    if (tensor.name !== up) return tensor;
    const values = Float32Array.from(tensor.values);
    values[values.length - 1] = value;
    return { ...tensor, values, dtype };
  });
}

const draw = (name: string, ...shape: readonly number[]): TensorSpec => ({
  name,
  shape,
  values: drawExact(
    name,
    shape.reduce((product, size) => product * size, 1),
  ),
});

const libm = [
  "/usr/lib/x86_64-linux-gnu/libm.so.6",
  "/lib/x86_64-linux-gnu/libm.so.6",
  "/lib64/libm.so.6",
].find(existsSync);

beforeAll(async () => {
  await write("one", buildModel("one"));
  await write("two", buildModel("two"));
  for (const dtype of ["F32", "BF16"] as const) {
    await write(`nan-${dtype}`, spoil(Number.NaN, dtype));
    await write(`infinite-${dtype}`, spoil(Number.NEGATIVE_INFINITY, dtype));
  }
  await write("incomplete", buildModel("two"), 3);
  rmSync(join(folder, "incomplete", nameShard(1, 3)));
  await write("no-bytes", buildModel("two"));
  truncateSync(join(folder, "no-bytes/model.safetensors"), 0);
  const modules = { "model.layers.1.mlp.up_proj": [40, 24, 4] as const };
  await writeAdapterFolder(join(folder, "adapter"), { base: "", modules });
  await write("other", [draw("other.weight", 3, 3)]);
  mkdirSync(join(folder, "full"));
  writeFileSync(join(folder, "full/notes.txt"), "mine");
});

afterAll(() => removeFolder(folder));

const pair = (...more: readonly string[]): readonly string[] => ["spectra", "one", "two", ...more];
const to = (after: string): readonly string[] => ["spectra", "one", after, "--out", "new"];

describe("untwist spectra refuses", () => {
  const mistakes: Readonly<Record<string, Mistake>> = {
    "a missing shard": [to("incomplete"), `incomplete/${nameShard(1, 3)}`],
    "a file without bytes": [to("no-bytes"), "no-bytes/model.safetensors"],
    "a LoRA adapter without its base, saying what to do": [to("adapter"), '"adapter"', "LoRA", "merge"],
    "a folder that is not there": [to("nonsense"), '"nonsense"', "no such folder"],
    "a file in place of a folder": [to("one/config.json"), '"one/config.json"'],
    "one checkpoint alone": [["spectra", "one"], '"one"', "second"],
    "one path that is not there": [["spectra", "nonsense"], '"nonsense"'],
    "nothing at all": [["spectra"], "before"],
    "two checkpoints with nothing in common": [to("other"), '"one"', '"other"'],
    "rank 0": [pair("--rank", "0"), "--rank", '"0"'],
    "a rank that is a word": [pair("--rank", "abc"), "--rank", '"abc"'],
    "an empty rank": [pair("--rank", ""), "--rank", '""'],
    "layers that run backwards": [pair("--layers", "3-1"), "--layers", '"3-1"'],
    "an empty pattern": [pair("--matrices", ""), "--matrices", '""'],
    "a pattern that fits no tensor": [pair("--matrices", "nonsense"), "--matrices"],
    "a seed that is a word": [pair("--randomized", "one"), "--randomized", '"one"'],
    "a folder to write into that is not empty": [pair("--out", "full"), '"full"', "not empty"],
    "a file to write into": [pair("--out", "full/notes.txt"), '"full/notes.txt"'],
  };
  for (const [name, mistake] of Object.entries(mistakes))
    it(name, () => expectRefusal(mistake, folder, cache(name)));

  it("a LAPACK that is not there", () =>
    expectRefusal([pair(), '"/nonexistent"', "UNTWIST_LAPACK"], folder, {
      ...cache("no library"),
      UNTWIST_LAPACK: "/nonexistent",
    }));

  it("a library that is not LAPACK", ({ skip }) => {
    skip(libm === undefined, "there is no libm where Linux has it");
    return expectRefusal([pair(), `"${libm}"`, "UNTWIST_LAPACK"], folder, {
      ...cache("libm"),
      UNTWIST_LAPACK: libm,
    });
  });
});

describe("untwist spectra of values that are not finite", () => {
  for (const name of ["nan-F32", "nan-BF16", "infinite-F32", "infinite-BF16"])
    it(`leaves the tensor out, flagged, and compares the rest: ${name}`, async () => {
      const spectra = await readSpectra(["one", name], folder);
      expect(spectra.coverage).toMatchObject({ numMatched: 8, isComplete: false });
      expect(spectra.coverage.unmatched).toEqual([
        {
          name: up,
          reason: expect.stringMatching(/^its value 959 after is NaN, infinite/),
          flag: "not-finite",
        },
      ]);
      expect(spectra.flags["not-finite"]).toBe(1);
      expect(spectra.matrices.map((matrix: { readonly name: string }) => matrix.name)).not.toContain(up);
      const { stdout } = await runUntwist(["spectra", "one", name], folder);
      expect(stdout.split("\n")[0]).toMatch(/^Compared 6 of 7 matrices, \d\d % of the parameters/);
      expect(stdout).not.toMatch(/NaN [^,]|undefined/);
    });

  it("ends with code 2 where --strict is given, and with 0 where the tensor is left out by choice", async () => {
    expect((await runUntwist(["spectra", "one", "nan-F32", "--strict"], folder)).code).toBe(2);
    const chosen = ["spectra", "one", "nan-F32", "--strict", "--matrices", `!${up}`];
    const { code, stdout } = await runUntwist(chosen, folder);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Compared 6 of 7 matrices, .*\(1 not asked for\)/);
  });
});

describe("untwist spectra of checkpoints that fit in part", () => {
  const before = [
    draw("same", 6, 5),
    draw("only.before", 2, 2),
    draw("shape", 2, 3),
    { ...draw("integers", 2, 2), dtype: "I32" as const },
    draw("one-axis", 7),
    draw("three-axes", 2, 3, 4),
    draw("no-axes"),
    draw("row", 1, 9),
    draw("column", 9, 1),
    draw("zero", 4, 4),
    draw("empty", 0, 4),
  ];
  const replace: Readonly<Record<string, TensorSpec>> = {
    "only.before": draw("only.after", 2, 2),
    shape: draw("shape", 3, 2),
    zero: { ...draw("zero", 4, 4), values: new Float32Array(16) },
  };
  const after = before.map((tensor) => ({ ...tensor, ...replace[tensor.name] }));

  beforeAll(async () => {
    await write("part-before", before);
    await write("part-after", after);
  });

  it("compares what it can, and lists every other tensor with the reason", async () => {
    const spectra = await readSpectra(["part-before", "part-after"], folder);
    const namesOf = (list: readonly { readonly name: string }[]): readonly string[] =>
      list.map(({ name }) => name).sort();
    expect(namesOf(spectra.matrices)).toEqual(["column", "row", "same", "zero"]);
    expect(namesOf(spectra.vectors)).toEqual(["no-axes", "one-axis", "three-axes"]);
    const { unmatched, ...counts } = spectra.coverage;
    expect(counts).toMatchObject({ numMatched: 7, numLeftOut: 0, numMatrices: 8, isComplete: false });
    // Compared: same, row, column, zero, one-axis, three-axes, no-axes. Not: only.before, only.after and shape; integers do not count.
    const numCompared = 30 + 9 + 9 + 16 + 7 + 24 + 1;
    expect(counts.parameterFraction).toBeCloseTo(numCompared / (numCompared + 4 + 4 + 6), 12);
    expect(
      Object.fromEntries(
        unmatched.map(({ name, reason }: { name: string; reason: string }) => [name, reason]),
      ),
    ).toEqual({
      "only.before": expect.stringContaining("before"),
      "only.after": expect.stringContaining("after"),
      shape: expect.stringMatching(/\[2, 3\].*\[3, 2\]/),
      integers: expect.stringContaining("I32"),
      empty: expect.stringContaining("without elements"),
    });
  });

  it("says so in the text, with numbers in every cell", async () => {
    const { code, stdout } = await runUntwist(["spectra", "part-before", "part-after"], folder);
    expect(code).toBe(0);
    const [line] = stdout.split("\n").filter((text) => text.includes("not compared"));
    for (const name of ["only.before", "only.after", "shape", "integers", "empty"])
      expect(line).toContain(name);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity|e\+/);
  });

  it("does not say that tensors match which were not asked for and do not", async () => {
    const args = ["spectra", "part-before", "part-after", "--matrices", "same"];
    const { code, stdout } = await runUntwist(args, folder);
    expect(code).toBe(0);
    expect(stdout).toMatch(/1\d more were not asked for/);
    expect(stdout).not.toMatch(/every (other )?tensor of both checkpoints has its match/);
  });
});
