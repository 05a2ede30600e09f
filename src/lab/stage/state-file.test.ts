import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import { loadState, saveState } from "./state-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-state-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Floats of every bit pattern, NaN payloads, infinities and subnormal numbers among them. */
function drawBits(length: number, name: string): Float32Array {
  const random = createRandom(1, name);
  const bits = Uint32Array.from({ length }, () => random.integer(0, 2 ** 32 - 1));
  bits.set([0x80000000, 0x7f800000, 0xff800000, 0x7fc00001, 0x00000001]);
  return new Float32Array(bits.buffer);
}

const bitsOf = (vector: Float32Array): Uint32Array => new Uint32Array(vector.slice().buffer);

describe("saveState() and loadState()", () => {
  it("keep every bit of parameters and optimizer, and both steps", async () => {
    const path = join(folder, "a/sft.safetensors");
    const state = {
      step: 21,
      parameters: drawBits(1000, "parameters"),
      slots: { "adam.m": drawBits(1000, "m"), "adam.v": drawBits(1000, "v") },
    };
    await saveState(path, { step: 7, state });
    const loaded = await loadState(path);
    expect(loaded?.step).toBe(7);
    expect(loaded?.state.step).toBe(21);
    expect(bitsOf(loaded?.state.parameters ?? new Float32Array())).toEqual(bitsOf(state.parameters));
    expect(Object.keys(loaded?.state.slots ?? {}).sort()).toEqual(["adam.m", "adam.v"]);
    for (const [name, vector] of Object.entries(state.slots))
      expect(bitsOf(loaded?.state.slots[name] ?? new Float32Array())).toEqual(bitsOf(vector));
  });

  it("replace an earlier state", async () => {
    const path = join(folder, "b.safetensors");
    for (const step of [1, 2])
      await saveState(path, { step, state: { step, parameters: Float32Array.of(step), slots: {} } });
    expect(await loadState(path)).toEqual({
      step: 2,
      state: { step: 2, parameters: Float32Array.of(2), slots: {} },
    });
  });

  it("give nothing where there is none", async () => {
    expect(await loadState(join(folder, "none.safetensors"))).toBeUndefined();
  });

  it("refuse a truncated state and a file of something else", async () => {
    const path = join(folder, "c.safetensors");
    await saveState(path, { step: 1, state: { step: 1, parameters: drawBits(100, "c"), slots: {} } });
    await truncate(path, 300);
    await expect(loadState(path)).rejects.toThrow(CheckpointError);
    await writeFile(path, "nonsense");
    await expect(loadState(path)).rejects.toThrow(CheckpointError);
  });

  it("refuse a file that does not say its step", async () => {
    const path = join(folder, "d.safetensors");
    // A valid safetensors file without metadata: taking it for step 0 would repeat steps on trained parameters.
    const header = '{"parameters":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
    const bytes = Buffer.alloc(8 + header.length + 4);
    bytes.writeBigUInt64LE(BigInt(header.length));
    bytes.write(header, 8);
    await writeFile(path, bytes);
    await expect(loadState(path)).rejects.toThrow(CheckpointError);
  });
});
