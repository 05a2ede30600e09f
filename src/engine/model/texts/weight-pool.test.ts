import { createHash } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import { KernelMemory, openKernels } from "../../tensor/index.ts";
import { createWeightPool } from "./weight-pool.ts";

const kernels = openKernels({ numThreads: 1 });
afterAll(() => kernels.close());

/** Numbers that bfloat16 holds. */
const halves = Float32Array.from({ length: 5000 }, (_, index) => (index - 2500) * 2 ** -7).map((value) => {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  return new Float32Array(Uint32Array.of((bits[0] ?? 0) & 0xffff0000).buffer)[0] ?? 0;
});

describe("createWeightPool()", () => {
  it("tells weights by their numbers, however they are stored, and says whether all are finite", async () => {
    const pool = createWeightPool(kernels.memory);
    const bits = Uint16Array.from(
      halves,
      (value) => new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16,
    );
    const hash = createHash("sha256").update(new Uint8Array(halves.buffer)).digest("hex");
    const forms = [
      { halves: bits },
      { halves },
      { first: bits.slice(0, 10), rest: halves.subarray(10) },
    ] as const;
    for (const form of forms) {
      const weights = await pool.take(Object.entries(form));
      expect([weights.fingerprint(), weights.areFinite()]).toEqual([hash, true]);
      weights.release();
    }
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const numbers of [halves.with(4999, broken), Float32Array.of(1 / 3, broken)]) {
        const weights = await pool.take([["broken", numbers]]);
        expect(weights.areFinite()).toBe(false);
        weights.release();
      }
    }
    expect(pool.numBytes).toBe(0);
  });

  it("keeps weights as bfloat16 where that loses nothing, and the others as they are", async () => {
    const exact = halves.slice();
    exact[17] = 1 / 3;
    const pool = createWeightPool(kernels.memory);
    const small = halves.slice(0, 10);
    const weights = await pool.take(Object.entries({ halves, exact, small }));
    expect([...weights.halves]).toEqual(["halves"]);
    const widened = Uint32Array.from(weights.arrays.halves!, (half) => half << 16);
    expect(new Float32Array(widened.buffer)).toEqual(halves);
    expect([...weights.arrays.exact!]).toEqual([...exact]);
    expect([...weights.arrays.small!]).toEqual([...small]);
    weights.release();
  });

  it("keeps what several models share once, until the last of them gives it back", async () => {
    const pool = createWeightPool(kernels.memory);
    const before = kernels.memory.numBytes;
    const own = halves.map((value) => value / 3);
    const base = await pool.take(Object.entries({ halves }));
    const adapter = await pool.take(Object.entries({ halves: halves.slice(), own }), {
      base,
      mostOwnBytes: 20_000,
    });
    expect(adapter.arrays.halves).toBe(base.arrays.halves);
    expect([base.numOwnBytes, adapter.numOwnBytes]).toEqual([10_000, 20_000]);
    base.release();
    expect(kernels.memory.owns(adapter.arrays.halves!)).toBe(true);
    expect(kernels.memory.numBytes).toBeGreaterThan(before);
    adapter.release();
    expect(kernels.memory.numBytes).toBe(before);
  });

  it("keeps nothing of weights that do not fit", async () => {
    const { memory } = kernels;
    const pool = createWeightPool(memory);
    const base = await pool.take(Object.entries({ halves }));
    const before = memory.numBytes;
    const rest = KernelMemory.mostBytes - memory.numBytes;
    const filler = memory.allocate("uint16", (rest - 2 ** 20) / 2);
    const large = new Float32Array(2 ** 19).fill(1 / 3);
    const weights = Object.entries({ halves, small: large.subarray(0, 100), large });
    await expect(pool.take(weights, { base, mostOwnBytes: 2 ** 32 })).rejects.toThrow(
      "Cannot hold 3 MiB more",
    );
    memory.free(filler);
    expect(memory.numBytes).toBe(before);
    base.release();
    expect(pool.numBytes).toBe(0);
    const again = await pool.take(Object.entries({ large }));
    expect(pool.numBytes).toBe(large.byteLength);
    again.release();
  });
});
