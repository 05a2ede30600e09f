/** Adapters of the real PEFT read by us, and ours read by PEFT: see adapters.py, which says what each case is. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Checkpoint, openCheckpoint, openSafetensors } from "../../src/checkpoint/index.ts";
import { createTemporaryFolder, type Json, readOutput, removeFolder } from "../support/untwist.ts";

const python = process.env.UNTWIST_PEERS_PYTHON;
const script = join(import.meta.dirname, "adapters.py");
const folder = createTemporaryFolder();
const at = (...names: readonly string[]): string => join(folder, ...names);
afterAll(() => removeFolder(folder));

const run = (...args: readonly string[]): string =>
  execFileSync(python ?? "", [script, ...args], {
    env: { ...process.env, OMP_NUM_THREADS: "1" },
    encoding: "utf8",
  });

type Values = ReadonlyMap<string, Float32Array>;

async function readValues({
  tensors,
  readTensor,
}: Pick<Checkpoint, "tensors" | "readTensor">): Promise<Values> {
  const values = new Map<string, Float32Array>();
  for (const name of tensors.keys()) values.set(name, (await readTensor(name)).data);
  return values;
}

/** Of a file that Python wrote, with experts one by one, as the base holds them. */
async function readMerged(path: string): Promise<Values> {
  const file = await openSafetensors(path);
  const values = await readValues({
    tensors: new Map([...file.header.tensors].map(([name, one]) => [name, { ...one, file: path }])),
    readTensor: file.readTensor,
  });
  await file.close();
  return values;
}

async function readFolder(path: string): Promise<Values> {
  const checkpoint = await openCheckpoint(path);
  try {
    return await readValues(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** That two models agree to the last bits of 32-bit sums. */
function expectAlike(found: Values, expected: Values): void {
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected) {
    const own = found.get(name)!;
    expect(own.length, name).toBe(values.length);
    const worst = values.reduce((most, value, index) => Math.max(most, Math.abs(value - own[index]!)), 0);
    expect(worst, name).toBeLessThan(1e-6);
  }
}

if (python === undefined)
  it.skip("adapters of the real PEFT (UNTWIST_PEERS_PYTHON names no Python with it)", () => undefined);
else
  describe("adapters of the real PEFT", () => {
    run("write", folder);
    const cases = readdirSync(folder).filter((name) => !name.startsWith("base-"));
    const facts = (name: string): Json => JSON.parse(readFileSync(at(name, "expected.json"), "utf8"));

    it.each(cases)("%s: opened as what PEFT merges, or refused", async (name) => {
      const { expected } = facts(name);
      const adapter = at(name, "adapter");
      if (expected === "opened")
        expectAlike(await readFolder(adapter), await readMerged(at(name, "merged.safetensors")));
      else await expect(openCheckpoint(adapter)).rejects.toThrow(expected);
    });

    it.each(cases.filter((name) => facts(name).expected === "opened"))(
      "%s: edited and loaded by transformers as it was written",
      async (name) => {
        const { base } = facts(name);
        const flags = ["--top", "2", "--matrices", name.startsWith("conv1d") ? "c_attn" : "k_proj"];
        await readOutput(
          ["restore", "--into", at(name, "adapter"), "--from", base, ...flags, "--out", at(name, "edited")],
          folder,
        );
        run("load", at(name, "edited"), at(name, "loaded.safetensors"));
        const loaded = await readMerged(at(name, "loaded.safetensors"));
        expectAlike(loaded, await readFolder(at(name, "edited")));
      },
    );

    it.each(["plain", "all-linear", "rslora", "patterns"])(
      "%s: edited, written as a LoRA and merged by PEFT",
      async (name) => {
        const { base } = facts(name);
        const flags = ["--top", "2", "--matrices", "k_proj", "--as", "lora"];
        await readOutput(
          [
            "restore",
            "--into",
            at(name, "adapter"),
            "--from",
            at("all-linear", "adapter"),
            ...flags,
            "--out",
            at(name, "lora"),
          ],
          folder,
        );
        run("check", at(name, "lora"), base, at(name, "ours.safetensors"));
        expectAlike(await readFolder(at(name, "lora")), await readMerged(at(name, "ours.safetensors")));
      },
    );
  });
