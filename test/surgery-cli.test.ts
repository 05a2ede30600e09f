/** What `untwist restore` and `untwist apply` leave: the folder, the tensors, the report, from outside. */
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { invertPlan } from "../src/weights/surgery/index.ts";
import {
  buildModel,
  drawNormal,
  nameShard,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "./support/checkpoint-folder.ts";
import {
  buildNormal,
  distance,
  readAdapter,
  readAllBytes,
  readHeaders,
  readNumbers,
  readReport,
  rounding,
  sizeOf,
  writePlaced,
  writePlan,
} from "./support/surgery.ts";
import {
  createTemporaryFolder,
  hashFiles,
  listFilesBelow,
  parseJson,
  removeFolder,
  root,
  runUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const at = (...names: readonly string[]): string => join(folder, ...names);
const query = nameWeight(0, "self_attn.q_proj");
const matrices = [0, 1].flatMap((layer) => [
  nameWeight(layer, "mlp.up_proj"),
  nameWeight(layer, "self_attn.q_proj"),
]);
const norms = [0, 1].map((layer) => nameWeight(layer, "input_layernorm"));

/** The model with matrices in BF16 and norms in F32. */
function buildMixed(step: string): readonly TensorSpec[] {
  return buildModel(step, "BF16").map((tensor) =>
    norms.includes(tensor.name) ? { ...tensor, dtype: "F32" as const } : tensor,
  );
}

/** What else lies in folders of checkpoints. */
function addFiles(target: string): void {
  writeFileSync(at("blob"), '{"linked":true}');
  symlinkSync(at("blob"), join(target, "tokenizer.json"));
  writeFileSync(join(target, "generation_config.json"), '{"temperature":1}');
  writeFileSync(join(target, "README.md"), "# A model\n");
  writeFileSync(join(target, "optimizer.pt"), "moments");
  mkdirSync(join(target, "notes"));
  writeFileSync(join(target, "notes/day.txt"), "mine");
}

beforeAll(async () => {
  await writeCheckpointFolder(at("target"), buildMixed("two"), { numShards: 3 });
  addFiles(at("target"));
  await writeCheckpointFolder(at("source"), buildMixed("one"), { numShards: 2 });
  for (const dtype of ["F32", "F16", "BF16", "F64"] as const)
    await writeCheckpointFolder(at(`two-${dtype}`), buildNormal("two", dtype));
  for (const dtype of ["F32", "BF16"] as const)
    await writeCheckpointFolder(at(`one-${dtype}`), buildNormal("one", dtype));
});

afterAll(() => removeFolder(folder));

const between = (into: string, from: string, ...more: readonly string[]): readonly string[] => [
  ...["restore", "--into", into, "--from", from],
  ...more,
];
const restore = (out: string, ...more: readonly string[]): readonly string[] =>
  between("target", "source", "--out", out, ...more);
const namesOf = (list: readonly { readonly name: string }[]): readonly string[] =>
  list.map(({ name }) => name).sort();

describe("an edited folder", () => {
  it("has the target's weight files and index, and the same tensors in the same places", async () => {
    const before = hashFiles(at("target"));
    await readReport(restore("edited", "--top", "3"), folder);
    const [edited, target] = [await readHeaders(at("edited")), await readHeaders(at("target"))];
    expect(Object.keys(edited).sort()).toEqual([0, 1, 2].map((index) => nameShard(index, 3)));
    for (const [file, { tensors, metadata }] of Object.entries(target)) {
      expect(edited[file]?.tensors).toEqual(tensors);
      const { "untwist.plan": plan = "", ...kept } = edited[file]?.metadata ?? {};
      expect(kept).toEqual(metadata);
      expect(parseJson(plan)).toMatchObject({ target: "target", source: "source" });
    }
    const index = "model.safetensors.index.json";
    expect(readFileSync(at("edited", index))).toEqual(readFileSync(at("target", index)));
    expect(hashFiles(at("target"))).toEqual(before);
  });

  it("has other bytes in the tensors that were chosen, and the target's in all others", async () => {
    const [edited, target] = [await readAllBytes(at("edited")), await readAllBytes(at("target"))];
    const changed = Object.keys(target).filter((name) => !Buffer.from(target[name]!).equals(edited[name]!));
    expect(changed.sort()).toEqual(matrices);
  });

  it("has copies of the other files, links followed, without what holds the old weights or lies deeper", () => {
    const others = listFilesBelow(at("edited")).filter((name) => !name.startsWith("model"));
    const copied = ["README.md", "config.json", "generation_config.json", "tokenizer.json"];
    expect(others).toEqual([...copied, "untwist-edit.json"]);
    for (const name of copied)
      expect(readFileSync(at("edited", name))).toEqual(readFileSync(at("target", name)));
    expect(lstatSync(at("edited/tokenizer.json")).isSymbolicLink()).toBe(false);
    expect(readdirSync(at("edited"))).not.toContain("notes");
  });

  it("holds the report that is printed, which says what was left out", async () => {
    const printed = await readReport(restore("reported", "--top", "3"), folder);
    expect(parseJson(readFileSync(at("reported/untwist-edit.json"), "utf8"))).toEqual(printed);
    expect(printed).toMatchObject({
      form: "checkpoint",
      numUntouched: 5,
      leftOut: ["optimizer.pt", "notes/"],
    });
    expect(namesOf(printed.tensors)).toEqual(matrices);
    const { code, stdout } = await runUntwist(restore("printed", "--top", "3"), folder);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Edited 4 tensors; 5 .*the target's, byte for byte/);
    expect(stdout).toMatch(/Not copied.*optimizer\.pt/);
    expect(stdout).toMatch(/^Written to printed$/m);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("keeps notes, and tensors whose bytes lie in another order than the header names them", async () => {
    const names = ["zeta", "alpha", "mid"].map((part) => nameWeight(0, part));
    const metadata = { format: "pt", origin: "by hand" };
    for (const step of ["placed-one", "placed-two"]) {
      await writeCheckpointFolder(at(step), []);
      const tensors = names.map((name, index) => ({
        name,
        shape: [6 + index, 5],
        dtype: index === 1 ? ("BF16" as const) : ("F32" as const),
        values: drawNormal(`${step} ${name}`, (6 + index) * 5),
      }));
      writePlaced(at(step, "model.safetensors"), tensors, {
        metadata,
        named: [2, 0, 1].map((i) => names[i]!),
      });
    }
    await readReport(between("placed-two", "placed-one", "--top", "1", "--out", "placed"), folder);
    const [edited, target] = [await readHeaders(at("placed")), await readHeaders(at("placed-two"))];
    const { tensors, metadata: notes } = edited["model.safetensors"]!;
    expect(tensors).toEqual(target["model.safetensors"]!.tensors);
    expect(namesOf(tensors as readonly { name: string }[])).toEqual([...names].sort());
    expect(notes).toEqual({ ...metadata, "untwist.plan": expect.any(String) });
  });
});

describe("restoring", () => {
  it("no ranks gives the target's tensors byte for byte", async () => {
    for (const what of ["directions", "left"])
      await readReport(restore(`none-${what}`, "--top", "0", "--what", what), folder);
    const target = await readAllBytes(at("target"));
    expect(await readAllBytes(at("none-directions"))).toEqual(target);
    expect(await readAllBytes(at("none-left"))).toEqual(target);
  });

  it("vectors of all ranks gives the source's matrices byte for byte, and leaves the others", async () => {
    await readReport(restore("all", "--what", "vectors", "--top", "all"), folder);
    const halves = ["--what", "vectors", "--top", "0.5", "--tail", "50%", "--layers", "1"];
    await readReport(restore("halves", ...halves), folder);
    const [target, source] = [await readAllBytes(at("target")), await readAllBytes(at("source"))];
    const expected = (chosen: readonly string[]): typeof target =>
      Object.fromEntries(
        Object.keys(target).map((name) => [name, (chosen.includes(name) ? source : target)[name]!]),
      );
    expect(await readAllBytes(at("all"))).toEqual(expected(matrices));
    expect(await readAllBytes(at("halves"))).toEqual(expected(matrices.slice(2)));
  });

  it("from a source in another format rounds it to the target's", async () => {
    // These numbers are exact in both formats.
    await writeCheckpointFolder(at("wide"), buildModel("one", "F32"));
    await readReport(
      between("target", "wide", "--what", "vectors", "--top", "all", "--out", "narrow"),
      folder,
    );
    expect(await readAllBytes(at("narrow"))).toEqual(await readAllBytes(at("all")));
  });

  it("with a strength of a half goes half the way", async () => {
    const flags = ["--what", "vectors", "--top", "all", "--strength", "0.5", "--out", "half"];
    await readReport(between("two-F32", "one-F32", ...flags), folder);
    const read = (name: string): Promise<Float64Array> => readNumbers(at(name), query);
    const [half, target, source] = [await read("half"), await read("two-F32"), await read("one-F32")];
    expect(half).toEqual(target.map((value, index) => Math.fround((value + source[index]!) / 2)));
  });

  it("leaves embeddings and head alone unless they are named", async () => {
    const named = ["--matrices", "embed_tokens, lm_head"];
    const report = await readReport(restore("named", "--top", "3", ...named), folder);
    expect(namesOf(report.tensors)).toEqual(["lm_head.weight", "model.embed_tokens.weight"]);
  });

  it("takes --layers and --matrices: those and no others", async () => {
    const choose = async (out: string, ...flags: readonly string[]): Promise<readonly string[]> =>
      namesOf((await readReport(restore(out, "--top", "3", ...flags), folder)).tensors);
    expect(await choose("layer", "--layers", "1")).toEqual(matrices.slice(2));
    expect(await choose("kind", "--matrices", "q_*,frozen")).toEqual([
      "model.frozen.weight",
      matrices[1],
      matrices[3],
    ]);
    expect(await choose("both", "--layers", "0", "--matrices", "q_proj")).toEqual([query]);
    // Twice 16 directions, of 24.
    const wide = await readReport(restore("rank", "--top", "16", "--layers", "1"), folder);
    expect(wide.tensors.map(({ rank }: { rank: number }) => rank)).toEqual([24, 24]);
  });

  it("reports distances that the tensors have, and values that are met", async () => {
    const flags = ["--what", "values", "--top", "all", "--out", "values"];
    const { tensors } = await readReport(between("two-F32", "one-F32", ...flags), folder);
    expect(namesOf(tensors)).toEqual(matrices);
    for (const { name, toTarget, toSource, before, missedValues, spectralShift } of tensors) {
      const [edited, target, source] = await Promise.all(
        ["values", "two-F32", "one-F32"].map((place) => readNumbers(at(place), name)),
      );
      const size = sizeOf(target!);
      expect(toTarget).toBeCloseTo(distance(edited!, target!) / size, 12);
      expect(toSource).toBeCloseTo(distance(edited!, source!) / size, 12);
      expect(before).toBeCloseTo(distance(target!, source!) / size, 12);
      // The target's own vectors stay: how far the values moved is how far the matrix moved.
      expect(spectralShift).toBeCloseTo(toTarget, 6);
      expect(missedValues).toBeLessThan(1e-6);
    }
  });

  it("gives the same on the portable backend", async () => {
    const args = (out: string): readonly string[] =>
      between("two-F32", "one-F32", "--top", "3", "--out", out);
    await readReport(args("found"), folder);
    await readReport(args("portable"), folder, { UNTWIST_LAPACK: "none" });
    for (const name of matrices) {
      const [found, portable] = [
        await readNumbers(at("found"), name),
        await readNumbers(at("portable"), name),
      ];
      expect(distance(found, portable) / sizeOf(found)).toBeLessThan(1e-6);
    }
  });
});

describe("a plan", () => {
  it("carries out each operation on its own tensors, in one checkpoint", async () => {
    const operations = [
      { operation: "restore", what: "directions", top: 0.25, layers: 0 },
      { operation: "rollback", layers: 1, matrices: "input_layernorm,up_proj" },
      { operation: "rescale", factor: 2, top: "all", matrices: "lm_head" },
    ];
    const plan = writePlan(at("plan.yaml"), { target: "target", source: "source", operations });
    const { tensors } = await readReport(["apply", plan, "--out", "planned"], folder);
    expect(namesOf(tensors)).toEqual(
      ["lm_head.weight", norms[1], matrices[2], ...matrices.slice(0, 2)].sort(),
    );
    const [planned, target, source] = await Promise.all(
      ["planned", "target", "source"].map((name) => readAllBytes(at(name))),
    );
    for (const name of [norms[1]!, matrices[2]!]) expect(planned![name]).toEqual(source![name]);
    for (const name of [norms[0]!, matrices[3]!]) expect(planned![name]).toEqual(target![name]);
    const [head, before] = await Promise.all(
      ["planned", "target"].map((name) => readNumbers(at(name), "lm_head.weight")),
    );
    expect(
      distance(
        head!,
        before!.map((value) => 2 * value),
      ),
    ).toBeLessThan(1e-9);
  });

  it("is undone byte for byte by its inverse", async () => {
    const plan = { target: "target", source: "source", operations: [] };
    const { tensors } = parseJson(readFileSync(at("planned/untwist-edit.json"), "utf8"));
    const inverse = writePlan(at("inverse.yaml"), invertPlan(plan, tensors, "planned"));
    await readReport(["apply", inverse, "--out", "undone"], folder);
    expect(await readAllBytes(at("undone"))).toEqual(await readAllBytes(at("target")));
    expect(await readAllBytes(at("planned"))).not.toEqual(await readAllBytes(at("target")));
  });

  for (const dtype of ["F64", "F32", "F16", "BF16"] as const)
    it(`that rebuilds changes nothing but rounding in ${dtype}`, async () => {
      const operations = [{ operation: "rebuild" }];
      const plan = writePlan(at(`rebuild-${dtype}.yaml`), { target: `two-${dtype}`, operations });
      const { tensors } = await readReport(["apply", plan, "--out", `rebuilt-${dtype}`], folder);
      expect(namesOf(tensors)).toEqual(matrices);
      for (const name of matrices) {
        const rebuilt = await readNumbers(at(`rebuilt-${dtype}`), name);
        const target = await readNumbers(at(`two-${dtype}`), name);
        const isRounded = (value: number, index: number): boolean =>
          Math.abs(value - target[index]!) <= 2 * rounding[dtype] * Math.abs(target[index]!) + 1e-12;
        expect(rebuilt.every(isRounded)).toBe(true);
      }
    });

  it("that truncates the shipped model leaves one that `untwist eval` takes", async () => {
    cpSync(join(root, "models/general-points-base"), at("shipped"), { recursive: true });
    const operations = [{ operation: "truncate", keep: 0.5, layers: "0-1", matrices: "*_proj" }];
    const plan = writePlan(at("truncate.yaml"), { target: "shipped", operations });
    const { tensors } = await readReport(["apply", plan, "--out", "truncated"], folder);
    expect(tensors).toHaveLength(14);
    const flags = ["--environment", "general-points", "--count", "4", "--splits", "id"];
    const evaluate = async (model: string): Promise<number> =>
      (await readReport(["eval", model, ...flags], folder)).results.id.loss;
    const [before, after] = [await evaluate("shipped"), await evaluate("truncated")];
    expect(after).toBeGreaterThan(0);
    expect(after).not.toBe(before);
  });
});

describe("--as lora", () => {
  for (const dtype of ["F32", "BF16"] as const)
    it(`adds to the target what the edit would, in ${dtype}`, async () => {
      const [into, from] = [`two-${dtype}`, `one-${dtype}`];
      const flags = ["--top", "3", "--matrices", "q_proj,up_proj,lm_head"];
      const [adapter, merged] = [`adapter-${dtype}`, `merged-${dtype}`];
      await readReport(between(into, from, ...flags, "--as", "lora", "--out", adapter), folder);
      await readReport(between(into, from, ...flags, "--out", merged), folder);
      const updates = await readAdapter(at(adapter));
      expect(Object.keys(updates).sort()).toEqual([...matrices, "lm_head.weight"].sort());
      for (const [name, { product, magnitude }] of Object.entries(updates)) {
        const [target, edited] = [await readNumbers(at(into), name), await readNumbers(at(merged), name)];
        // Both factors are rounded to F32, and the merged edit to the format of the checkpoint.
        const isRounded = (value: number, index: number): boolean =>
          Math.abs(target[index]! + product[index]! - value) <=
          1.01 * (rounding[dtype] * Math.abs(value) + 2 * rounding.F32 * magnitude[index]!) + 1e-12;
        expect(edited.every(isRounded)).toBe(true);
        expect(distance(edited, target)).toBeGreaterThan(1);
      }
    });

  it("writes what PEFT reads: a configuration, ranks of their own, and nothing of the target", async () => {
    // Ranks are fractions: 6 of 24 directions and 3 of 12, each twice, for what goes and what comes.
    const flags = ["--top", "0.25", "--matrices", "q_proj,frozen", "--as", "lora", "--out", "ranks"];
    await writeCheckpointFolder(at("thawed"), buildNormal("one", "F32"));
    const printed = await readReport(between("two-F32", "thawed", ...flags), folder);
    expect(listFilesBelow(at("ranks"))).toEqual([
      "adapter_config.json",
      "adapter_model.safetensors",
      "untwist-edit.json",
    ]);
    expect(parseJson(readFileSync(at("ranks/adapter_config.json"), "utf8"))).toMatchObject({
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      base_model_name_or_path: "two-F32",
      r: 12,
      lora_alpha: 12,
      rank_pattern: { "model.frozen": 6 },
      alpha_pattern: { "model.frozen": 6 },
      target_modules: expect.arrayContaining(["model.frozen", "model.layers.0.self_attn.q_proj"]),
      bias: "none",
      fan_in_fan_out: false,
      use_rslora: false,
      modules_to_save: null,
    });
    const ranks = Object.entries(await readAdapter(at("ranks"))).map(([name, { rank }]) => [name, rank]);
    expect(Object.fromEntries(ranks)).toEqual({
      "model.frozen.weight": 6,
      [matrices[1]!]: 12,
      [matrices[3]!]: 12,
    });
    expect(parseJson(readFileSync(at("ranks/untwist-edit.json"), "utf8"))).toEqual(printed);
    expect(printed).toMatchObject({ form: "lora", numUntouched: 6 });
  });
});
