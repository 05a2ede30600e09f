/** Adapters of the real PEFT read by us, and ours read by PEFT: see adapters.py, which says what each case is. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Checkpoint, openCheckpoint, openSafetensors } from "../../src/weights/checkpoint/index.ts";
import { findAbsence, runPeer } from "../support/peers.ts";
import { createTemporaryFolder, type Json, parseJson, readOutput, removeFolder } from "../support/untwist.ts";

const { isSkipped, because } = findAbsence();
const folder = createTemporaryFolder();
const at = (...names: readonly string[]): string => join(folder, ...names);
afterAll(() => removeFolder(folder));

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

// Written before the tests are listed, since each case is one.
if (!isSkipped) await runPeer("adapters.py", ["write", folder]);
const cases = isSkipped ? [] : readdirSync(folder).filter((name) => !name.startsWith("base-"));
const facts = (name: string): Json => parseJson(readFileSync(at(name, "expected.json"), "utf8"));
const opened = cases.filter((name) => facts(name).expected === "opened");
const written = ["plain", "all-linear", "rslora", "patterns"];

/** Puts directions of another checkpoint into an adapter. */
async function restore(name: string, out: string, more: readonly string[]): Promise<void> {
  const into = ["restore", "--into", at(name, "adapter"), "--top", "2", "--out", at(name, out)];
  await readOutput([...into, ...more], folder);
}

describe.skipIf(isSkipped)(`adapters of the real PEFT${because}`, () => {
  it("are of many kinds", () => {
    expect(cases.length).toBeGreaterThan(50);
    expect(opened.length).toBeGreaterThan(30);
  });

  it.each(cases)("%s: opened as what PEFT merges, or refused", async (name) => {
    const { expected } = facts(name);
    const adapter = at(name, "adapter");
    if (expected === "opened")
      expectAlike(await readFolder(adapter), await readMerged(at(name, "merged.safetensors")));
    else await expect(openCheckpoint(adapter)).rejects.toThrow(expected);
  });

  describe("edited", () => {
    beforeAll(async () => {
      for (const name of opened) {
        const matrices = name.startsWith("conv1d") ? "c_attn" : "k_proj";
        await restore(name, "edited", ["--from", facts(name).base, "--matrices", matrices]);
      }
      const pairs = opened.flatMap((name) => [at(name, "edited"), at(name, "loaded.safetensors")]);
      await runPeer("adapters.py", ["load", ...pairs]);
    });

    it.each(opened)("%s: loaded by transformers as it was written", async (name) => {
      const loaded = await readMerged(at(name, "loaded.safetensors"));
      expectAlike(loaded, await readFolder(at(name, "edited")));
    });
  });

  describe("edited and written as a LoRA", () => {
    beforeAll(async () => {
      const more = ["--from", at("all-linear", "adapter"), "--matrices", "k_proj", "--as", "lora"];
      for (const name of written) await restore(name, "lora", more);
      const places = written.flatMap((name) => [
        at(name, "lora"),
        facts(name).base,
        at(name, "ours.safetensors"),
      ]);
      await runPeer("adapters.py", ["check", ...places]);
    });

    it.each(isSkipped ? [] : written)("%s: merged by PEFT", async (name) => {
      expectAlike(await readFolder(at(name, "lora")), await readMerged(at(name, "ours.safetensors")));
    });
  });
});
