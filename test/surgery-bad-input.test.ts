/** `untwist restore` and `untwist apply` given what they cannot do: one sentence each, and nothing left behind. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "./support/adapter-folder.ts";
import {
  buildModel,
  drawExact,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "./support/checkpoint-folder.ts";
import { expectRefusal, type Mistake } from "./support/refusal.ts";
import { mountSmallDisk, type SmallDisk } from "./support/small-disk.ts";
import { readAllBytes, writePlaced, writePlan } from "./support/surgery.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  removeFolder,
  root,
  runUntwist,
  startUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
/** Mistakes that would destroy what lies around them are made in a folder of their own. */
const apart = createTemporaryFolder();
const up = nameWeight(1, "mlp.up_proj");
const norm = nameWeight(1, "input_layernorm");
const inFolder = (name: string): string => join(folder, name);

/** The model of step two with fields of one tensor replaced. */
function change(name: string, fields: Partial<TensorSpec>): readonly TensorSpec[] {
  return buildModel("two").map((tensor) => (tensor.name === name ? { ...tensor, ...fields } : tensor));
}

/** The same with the last number of one tensor replaced. */
function spoil(name: string, value: number): readonly TensorSpec[] {
  const { values = [] } = buildModel("two").find((tensor) => tensor.name === name) ?? {};
  const spoiled = Float32Array.from(values);
  spoiled[spoiled.length - 1] = value;
  return change(name, { values: spoiled });
}

const other = { name: "other.weight", shape: [3, 3], values: drawExact("other", 9) };
const checkpoints: Readonly<Record<string, readonly TensorSpec[]>> = {
  one: buildModel("one"),
  two: buildModel("two"),
  lacking: buildModel("two").filter(({ name }) => name !== up),
  turned: change(up, { shape: [24, 40] }),
  integers: change(up, { dtype: "I32" }),
  nan: spoil(up, Number.NaN),
  infinite: spoil(up, Number.POSITIVE_INFINITY),
  "nan-norm": spoil(norm, Number.NaN),
  other: [other],
};

beforeAll(async () => {
  for (const [name, tensors] of Object.entries(checkpoints))
    await writeCheckpointFolder(inFolder(name), tensors);
  await writeCheckpointFolder(inFolder("conv1d"), checkpoints.two!);
  writeFileSync(inFolder("conv1d/config.json"), '{"model_type":"gpt2"}');
  const modules = { "model.layers.1.mlp.up_proj": [40, 24, 4] as const };
  await writeAdapterFolder(inFolder("adapter"), { base: "", modules });
  mkdirSync(inFolder("full"));
  writeFileSync(inFolder("full/notes.txt"), "mine");
  symlinkSync("two", inFolder("link"));
});

// What one mistake leaves, against all promises, is none of the next one's business.
afterEach(() => {
  for (const name of ["new", "made", "two/deep"]) removeFolder(inFolder(name));
});

afterAll(() => {
  removeFolder(folder);
  removeFolder(apart);
});

const between = (into: string, from: string, ...more: readonly string[]): readonly string[] => [
  ...["restore", "--into", into, "--from", from],
  ...more,
];
const restore = (...more: readonly string[]): readonly string[] =>
  between("two", "one", "--out", "new", ...more);
const top = (...more: readonly string[]): readonly string[] => restore("--top", "3", ...more);
const pair = (into: string, from: string): readonly string[] =>
  between(into, from, "--top", "3", "--out", "new");
const to = (out: string): readonly string[] => between("two", "one", "--top", "3", "--out", out);

/** A test for every mistake. */
function refuseEach(mistakes: Readonly<Record<string, Mistake>>): void {
  for (const [name, mistake] of Object.entries(mistakes)) it(name, () => expectRefusal(mistake, folder));
}

describe("untwist restore refuses flags:", () => {
  const amount = (flag: string, text: string): Mistake => [restore(flag, text), flag, `"${text}"`, "count"];
  refuseEach({
    "more ranks than a matrix has": [restore("--top", "25"), "25", ".weight", "24"],
    "more of the last ranks than a matrix has": [restore("--tail", "25"), "25", ".weight", "24"],
    "a fraction above 1": amount("--top", "1.5"),
    "1.0, which may be one of them or all": amount("--top", "1.0"),
    "a fraction above 1 of the last ranks": amount("--tail", "1.5"),
    "a percentage above 100": amount("--top", "101%"),
    "a negative count": amount("--tail", "-3"),
    "text for ranks": amount("--tail", "many"),
    "ranks that are empty": amount("--top", ""),
    "neither --top nor --tail": [restore(), "--top", "--tail"],
    "a strength above 1": [top("--strength", "1.5"), "--strength", '"1.5"', "0 to 1"],
    "a negative strength": [top("--strength", "-0.5"), "--strength", '"-0.5"', "0 to 1"],
    "a strength in words": [top("--strength", "much"), "--strength", '"much"', "0 to 1"],
    "an unknown part": [top("--what", "noise"), "--what", '"noise"', "directions", "values"],
    "an unknown form": [top("--as", "gguf"), "--as", '"gguf"', "lora"],
    "no source": [["restore", "--into", "two", "--top", "3", "--out", "new"], "--from"],
    "no target": [["restore", "--from", "one", "--top", "3", "--out", "new"], "--into"],
    "no place for the result": [between("two", "one", "--top", "3"), "--out", "--dry-run"],
  });
});

describe("untwist restore refuses choices:", () => {
  const where = (into: string, ...more: readonly string[]): readonly string[] =>
    between(into, into, "--top", "3", "--out", "new", ...more);
  refuseEach({
    "a layer that does not exist": [top("--layers", "9"), "layer 9", "layers 0 to 1"],
    "a range that ends beyond the last layer": [top("--layers", "0-5"), "layer 5", "layers 0 to 1"],
    "layers that are words": [top("--layers", "first"), "--layers", '"first"'],
    "layers that run backwards": [top("--layers", "1-0"), "--layers", '"1-0"', '"0-1"'],
    "layers that are empty": [top("--layers", ""), "--layers", '""'],
    "layers of a checkpoint without layers": [where("other", "--layers", "0"), "layer 0", "leave the layers"],
    "no choice where nothing lies in a layer": [where("other"), "--matrices"],
    "a pattern that matches nothing": [top("--matrices", "nonsense"), '"nonsense"', "q_proj", "up_proj"],
    "one pattern of two that matches nothing": [top("--matrices", "q_proj,nonsense"), '"nonsense"', "q_proj"],
    "a pattern that matches nothing in these layers": [
      top("--matrices", nameWeight(0, "self_attn.q_proj"), "--layers", "1"),
      `"${nameWeight(0, "self_attn.q_proj")}"`,
      "in layers 1",
    ],
    "a pattern that matches only vectors": [
      top("--matrices", "input_layernorm"),
      '"input_layernorm"',
      "not a matrix",
      "roll it back",
    ],
    "an empty pattern": [top("--matrices", ""), "--matrices", '""'],
    "a list that ends in a comma": [top("--matrices", "q_proj,"), "--matrices", "empty"],
  });
});

describe("untwist restore refuses checkpoints:", () => {
  refuseEach({
    "a target that is not there": [pair("nonsense", "one"), '"nonsense"', "no such folder"],
    "a source that is not there": [pair("two", "nonsense"), '"nonsense"', "no such folder"],
    "a target that is a LoRA adapter without its base": [
      pair("adapter", "one"),
      '"adapter"',
      "LoRA",
      "merge",
    ],
    "a source that is a LoRA adapter without its base": [
      pair("two", "adapter"),
      '"adapter"',
      "LoRA",
      "merge",
    ],
    "a source without a tensor of the target": [pair("two", "lacking"), up, "source", "one model"],
    "a source with a tensor of another shape": [pair("two", "turned"), up, "[40, 24]", "[24, 40]"],
    "integers in the source": [pair("two", "integers"), up, "I32", "source"],
    "integers in the target": [pair("integers", "one"), up, "I32"],
    "a NaN in the target": [pair("nan", "one"), '"nan"', `"${up}"`, "NaN"],
    "a NaN in the source": [pair("two", "nan"), '"nan"', `"${up}"`, "NaN"],
    "an infinite value in the target": [pair("infinite", "one"), '"infinite"', `"${up}"`, "infinite"],
    "an infinite value in the source": [pair("two", "infinite"), '"infinite"', `"${up}"`, "infinite"],
  });

  it("but not for a NaN in a tensor that is not edited", async () => {
    const { code, stderr } = await runUntwist(pair("nan-norm", "one").with(-1, "kept"), folder);
    expect(code, stderr).toBe(0);
    const [kept, before] = [await readAllBytes(inFolder("kept")), await readAllBytes(inFolder("nan-norm"))];
    expect(kept[norm]).toEqual(before[norm]);
    removeFolder(inFolder("kept"));
  });
});

describe("untwist restore refuses places for the result:", () => {
  refuseEach({
    "inside the target": [to("two/new"), '"two/new"', 'inside the checkpoint "two"', "--out"],
    "inside the source": [to("one/new"), '"one/new"', 'inside the checkpoint "one"', "--out"],
    "inside the target, folders deep": [to("two/deep/new"), '"two/deep/new"', '"two"', "--out"],
    "inside the target through a link": [to("link/new"), '"link/new"', 'inside the checkpoint "two"'],
    "the target": [to("two"), '"two"', "--out"],
    "a folder that is not empty": [to("full"), '"full"', "not empty"],
    "a file": [to("full/notes.txt"), '"full/notes.txt"', "a file"],
    "below a file": [to("full/notes.txt/new"), "full/notes.txt", "a file"],
    "one whose parents are missing, for a plan that cannot be carried out": [
      between("two", "nonsense", "--top", "3", "--out", "made/new"),
      '"nonsense"',
    ],
  });

  it("no name at all, as of an unset shell variable", async () => {
    const place = join(apart, "work");
    for (const name of ["one", "two", "full"]) cpSync(inFolder(name), join(place, name), { recursive: true });
    await expectRefusal([to(""), "--out"], place);
  });
});

describe("untwist restore --as lora refuses", () => {
  const lora = (into: string, ...more: readonly string[]): readonly string[] =>
    between(into, "one", "--out", "new", "--as", "lora", ...more);
  const rollback = { target: "two", source: "one", operations: [{ operation: "rollback", layers: "0" }] };
  const huge = { target: "two", operations: [{ operation: "rescale", factor: 1e39, top: 2 }] };
  beforeAll(() => {
    writePlan(inFolder("rollback.yaml"), rollback);
    writePlan(inFolder("huge.yaml"), huge);
  });
  const apply = (plan: string): readonly string[] => ["apply", plan, "--out", "new", "--as", "lora"];
  refuseEach({
    "a rollback, which has full rank": [apply("rollback.yaml"), ".weight", "full rank 24", "--as"],
    "whole matrices of the source": [lora("two", "--what", "vectors", "--top", "all"), "full rank", "--as"],
    "ranks too many to be low": [lora("two", "--top", "12"), "full rank 24", "fewer ranks"],
    "the same before it is carried out": [
      lora("two", "--top", "12", "--dry-run"),
      "full rank 24",
      "less than half",
    ],
    embeddings: [lora("two", "--top", "3", "--matrices", "embed_tokens"), "embed_tokens", "embeddings"],
    "layers that are stored transposed": [lora("conv1d", "--top", "3"), "gpt2", "transposed"],
    "a plan that changes nothing": [lora("two", "--top", "0"), "changes nothing", "--as"],
    "numbers beyond 32-bit floats": [apply("huge.yaml"), ".weight"],
  });
});

describe("untwist apply refuses", () => {
  const both = { target: "two", source: "one" };
  const one = (operation: object): object => ({ ...both, operations: [operation] });
  const plans: Readonly<Record<string, readonly [plan: object | string, ...named: string[]]>> = {
    "malformed YAML": ["target: two\noperations:\n  - {operation: rollback\n  - x: [", "line 4", "YAML"],
    "an empty plan": ["", "expected object"],
    "a plan that is a list": ["- target: two", "expected object"],
    "an unknown key": [{ ...one({ operation: "rollback" }), targets: "two" }, '"targets"', "spelling"],
    "an unknown key of an operation": [one({ operation: "rollback", layer: 0 }), '"layer"', "operations.0"],
    "an unknown operation": [one({ operation: "melt" }), '"operations.0.operation"', "'rollback'"],
    "no operations": [{ ...both, operations: [] }, '"operations"'],
    "operations left out": [both, '"operations"'],
    "no target": [{ source: "one", operations: [{ operation: "rollback" }] }, '"target"'],
    "a strength above 1": [one({ operation: "rollback", strength: 2 }), '"operations.0.strength"', "<=1"],
    "a fraction above 1": [one({ operation: "truncate", keep: 1.5 }), '"operations.0.keep"', "count"],
    "an unknown part": [
      one({ operation: "restore", what: "noise", top: 3 }),
      '"operations.0.what"',
      "directions",
    ],
    "more ranks than a matrix has": [one({ operation: "truncate", keep: 25 }), "25", ".weight", "24"],
    "two operations on one matrix": [
      { ...both, operations: [{ operation: "rollback", layers: 1 }, { operation: "rebuild" }] },
      nameWeight(1, "mlp.up_proj"),
      "two operations",
      "whole matrices",
    ],
    "no source where one is needed": [
      { target: "two", operations: [{ operation: "rollback" }] },
      ".weight",
      "no source",
    ],
    "a pattern that matches nothing": [one({ operation: "rollback", matrices: "nonsense" }), '"nonsense"'],
    "a NaN in a matrix that is rolled back": [
      { ...both, source: "nan", operations: [{ operation: "rollback", matrices: "up_proj" }] },
      '"nan"',
      `"${up}"`,
      "NaN",
    ],
    "a NaN in a norm that is rolled back": [
      { ...both, source: "nan-norm", operations: [{ operation: "rollback", matrices: "input_layernorm" }] },
      '"nan-norm"',
      norm,
      "NaN",
    ],
  };
  for (const [index, [name, [plan, ...named]]] of Object.entries(plans).entries())
    it(name, async () => {
      const file = `plan-${index}.yaml`;
      if (typeof plan === "string") writeFileSync(inFolder(file), plan);
      else writePlan(inFolder(file), plan);
      await expectRefusal([["apply", file, "--out", "new"], ...named], folder);
    });

  refuseEach({
    "a plan that is not there": [["apply", "nonsense.yaml", "--out", "new"], '"nonsense.yaml"'],
    "a folder for a plan": [["apply", "one", "--out", "new"], '"one"', "folder"],
    "no plan": [["apply", "--out", "new"], "plan"],
  });

  it("values that the number format cannot hold, naming the tensor and no temporary folder", async () => {
    writePlan(inFolder("overflow.yaml"), {
      target: "two",
      operations: [{ operation: "rescale", factor: 1e39, top: 2, matrices: "up_proj", layers: 1 }],
    });
    const args = ["apply", "overflow.yaml", "--out", "new"];
    await expectRefusal([args, up], folder);
    expect((await runUntwist(args, folder)).stderr).not.toContain(".untwist-");
  });
});

describe("on a disk that is full", () => {
  const disk = join(apart, "disk");
  let small: SmallDisk;
  beforeAll(() => {
    // 4 pages: less than the 20 kB of the model, and of an adapter of 22 ranks a matrix.
    small = mountSmallDisk(disk, 16);
  });
  afterAll(() => small.unmount());

  const forms = { "a checkpoint": ["--top", "3"], "an adapter": ["--top", "11", "--as", "lora"] } as const;
  for (const [name, flags] of Object.entries(forms))
    it(`${name} is refused, and nothing of it stays`, async ({ skip }) => {
      skip(small.problem !== "", `no small disk can be mounted: ${small.problem}`);
      const [into, from] = [inFolder("two"), inFolder("one")];
      const mistake: Mistake = [between(into, from, ...flags, "--out", "disk/new"), "no space", "disk"];
      await expectRefusal(mistake, apart);
      expect(readdirSync(disk)).toEqual([]);
      const { stderr } = await runUntwist(mistake[0], apart);
      expect(stderr).not.toContain(".untwist-");
    });
});

describe("Ctrl-C in the middle of a file of weights", () => {
  const place = join(folder, "stopped");

  beforeAll(async () => {
    for (const name of ["before", "after"]) {
      await writeCheckpointFolder(join(place, name), []);
      writePlaced(join(place, name, "model.safetensors"), [
        {
          name: nameWeight(0, "q_proj"),
          shape: [24, 24],
          dtype: "F32",
          values: drawExact(`${name} query`, 576),
        },
        // 384 MB of zeros that nothing edits: they take a while to copy.
        { name: "model.embed_tokens.weight", shape: [24, 4 * 2 ** 20], dtype: "F32" },
      ]);
    }
    writePlan(join(place, "plan.yaml"), {
      target: "after",
      source: "before",
      operations: [{ operation: "rollback", strength: 0.5 }],
    });
  });

  afterAll(() => removeFolder(place));

  /** The bytes that lie in unfinished folders. */
  function countUnfinished(): number {
    const folders = readdirSync(place, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name.startsWith(".untwist-"))
      .map(({ name }) => name);
    const paths = folders.flatMap((name) => readdirSync(join(place, name)).map((file) => join(name, file)));
    const sizes = paths.map((path) => statSync(join(place, path), { throwIfNoEntry: false })?.size ?? 0);
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  it("exits with code 130 and the command that goes on, which then does", async () => {
    const inputs = identifyFiles(place);
    const { child, outcome } = startUntwist(["apply", "plan.yaml", "--out", "new"], place);
    while (child.exitCode === null && countUnfinished() < 2 ** 20)
      await new Promise((resume) => setTimeout(resume, 2));
    child.kill("SIGINT");
    const { code, stdout, stderr } = await outcome;
    expect({ code, stdout }, stderr).toEqual({ code: 130, stdout: "" });
    expect(stderr).toMatch(/^\S.*\S\n$/);
    expect(stderr).toMatch(/continue with: untwist apply plan\.yaml --out new$/m);
    expect(identifyFiles(place)).toEqual(inputs);
    expect(readdirSync(place).sort()).toEqual(["after", "before", "plan.yaml"]);
    expectShellToContinue(/continue with: untwist (.*)$/m.exec(stderr)?.[1] ?? "");
    expect(readdirSync(place).sort()).toEqual(["after", "before", "new", "plan.yaml"]);
    const size = (name: string): number => statSync(join(place, name, "model.safetensors")).size;
    expect(size("new")).toBeGreaterThan(size("after"));
  });

  /** Types the command into a shell, as the user will. */
  function expectShellToContinue(command: string): void {
    const script = `untwist() { "${process.execPath}" "${join(root, "bin/untwist.js")}" "$@"; }; untwist ${command}`;
    const env = { ...process.env, UNTWIST_CACHE: join(apart, "cache") };
    const { status, stderr } = spawnSync("sh", ["-c", script], { cwd: place, encoding: "utf8", env });
    expect(status, stderr).toBe(0);
    expect(existsSync(join(place, "new/untwist-edit.json"))).toBe(true);
  }
});

it("a mistake leaves the checkpoints byte for byte as they were", async () => {
  const before = hashFiles(folder);
  for (const args of [to("two/new"), pair("two", "nan"), pair("nan", "one"), top("--as", "gguf")])
    expect((await runUntwist(args, folder)).code).toBe(2);
  expect(hashFiles(folder)).toEqual(before);
});
