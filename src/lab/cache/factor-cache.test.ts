import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { drawNoise } from "../../../test/support/drawn-matrix.ts";
import { anyBackend } from "../../../test/support/every-backend.ts";
import { compareStored, storeMatrix } from "../../../test/support/stored-matrix.ts";
import { UsageError } from "../../base/core/index.ts";
import { createDenseSource, type Factors, factorize, factorizeRandomly } from "../../weights/linalg/index.ts";
import { compareVectors } from "../../weights/spectra/compare.ts";
import { type ComparisonKey, type FactorCache, openFactorCache } from "./factor-cache.ts";

const name = "ab".repeat(32);
const otherName = `${"ab".repeat(31)}cd`;
const key: ComparisonKey = {
  before: name,
  after: otherName,
  settings: { ranks: [1, 2] },
  isProduct: false,
};

let folder = "";
let damaged: string[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-factor-cache-"));
  damaged = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (backend: "lapack" | "portable" = "portable"): FactorCache =>
  openFactorCache(join(folder, "cache"), { backend, onDamage: (path) => damaged.push(path) });

/** Exact factors of some matrix with that many vectors. */
function makeFactors(numVectors: number, seed = 1): Factors {
  return factorize(createDenseSource(drawNoise(5, 4, seed)), { numVectors, tolerance: 1e-8 }, anyBackend);
}

async function listEntries(): Promise<readonly string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Every array bit by bit, so that -0 and the last digit count. */
function toBits({ left, right, values, ...rest }: Factors): unknown {
  const bitsOf = (numbers: Float64Array) => [...new BigUint64Array(Float64Array.from(numbers).buffer)];
  return {
    ...rest,
    values: bitsOf(values),
    left: { ...left, values: bitsOf(left.values) },
    right: { ...right, values: bitsOf(right.values) },
  };
}

describe("openFactorCache()", () => {
  it("is empty before anything was written, and makes no folder by reading", async () => {
    const cache = open();
    expect(await cache.hasFactors(name, { numVectors: 1 })).toBe(false);
    expect(await cache.readFactors(name, { numVectors: 1 })).toBeUndefined();
    expect(await cache.readComparison(key)).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
    expect(damaged).toEqual([]);
  });

  it("does not take an entry that was copied to another name for that name's", async () => {
    const cache = open();
    await cache.writeFactors(name, { numVectors: 3 }, makeFactors(3));
    await cache.writeFactors(otherName, { numVectors: 3 }, makeFactors(3, 2));
    const tensors = [1, 2].map((seed) => storeMatrix(drawNoise(3, 2, seed)));
    const compared = compareVectors({ before: tensors[0]!, after: tensors[1]!, isUnchanged: false });
    await cache.writeComparison(key, compared);
    await cache.writeComparison({ ...key, before: otherName }, { ...compared, flags: ["replaced"] });
    for (const kind of ["factors", "comparisons"]) {
      const [first, second] = (await listEntries()).filter((path) => path.includes(`/${kind}/`));
      await writeFile(second!, await readFile(first!));
    }
    const found = [
      await cache.readFactors(name, { numVectors: 3 }),
      await cache.readFactors(otherName, { numVectors: 3 }),
      await cache.readComparison(key),
      await cache.readComparison({ ...key, before: otherName }),
    ];
    expect(found.filter((entry) => entry !== undefined)).toHaveLength(2);
    expect(damaged).toHaveLength(2);
  });

  it("gives factors back bit by bit", async () => {
    const factors = makeFactors(3);
    const odd = { ...factors, values: factors.values.map((value, index) => (index === 3 ? 5e-324 : value)) };
    odd.left.values[0] = -0;
    for (const one of [odd, { ...odd, method: "gram" as const, valueError: 0.1 + 0.2, rounding: 1e-300 }]) {
      await open().writeFactors(name, { numVectors: 3 }, one);
      expect(toBits((await open().readFactors(name, { numVectors: 3 }))!)).toEqual(toBits(one));
    }
    expect(damaged).toEqual([]);
  });

  it("gives comparisons back, of matrices and of other tensors", async () => {
    const [before, after] = [storeMatrix(drawNoise(6, 4, 1)), storeMatrix(drawNoise(6, 4, 2))];
    const matrices = compareStored({ before, after }, [1, 2], anyBackend);
    const vectors = compareVectors({ before, after, isUnchanged: false });
    const cache = open();
    await cache.writeComparison(key, matrices);
    await cache.writeComparison({ ...key, before: otherName }, vectors);
    expect(await open().readComparison(key)).toEqual(matrices);
    expect(await open().readComparison({ ...key, before: otherName })).toEqual(vectors);
  });

  it("answers a smaller request from an entry that holds enough vectors, with as many as asked for", async () => {
    const cache = open();
    for (const numVectors of [4, 2]) await cache.writeFactors(name, { numVectors }, makeFactors(numVectors));
    for (const asked of [1, 2, 3, 4]) {
      expect(await cache.hasFactors(name, { numVectors: asked })).toBe(true);
      const found = await cache.readFactors(name, { numVectors: asked });
      expect([found?.left.columns, found?.right.columns]).toEqual([asked, asked]);
    }
    expect(await cache.hasFactors(name, { numVectors: 5 })).toBe(false);
    expect(await cache.readFactors(name, { numVectors: 5 })).toBeUndefined();
  });

  it("compares numbers of vectors as numbers", async () => {
    const cache = open();
    for (const numVectors of [16, 128])
      await cache.writeFactors(name, { numVectors }, makeFactors(1, numVectors));
    const [small, large] = [makeFactors(1, 16), makeFactors(1, 128)].map(toBits);
    expect(toBits((await cache.readFactors(name, { numVectors: 2 }))!)).toEqual(small);
    expect(toBits((await cache.readFactors(name, { numVectors: 17 }))!)).toEqual(large);
    expect(await cache.readFactors(name, { numVectors: 129 })).toBeUndefined();
  });

  it("keeps exact factors, each seed, each tensor and each backend apart", async () => {
    const requests = [undefined, 0, 1, 11, -1].map((randomizedSeed) => ({
      numVectors: 2,
      ...(randomizedSeed !== undefined && { randomizedSeed }),
    }));
    for (const [index, request] of requests.entries()) {
      for (const other of requests.slice(index)) expect(await open().hasFactors(name, other)).toBe(false);
      await open().writeFactors(name, request, makeFactors(2, index));
    }
    for (const [index, request] of requests.entries()) {
      expect(toBits((await open().readFactors(name, request))!)).toEqual(toBits(makeFactors(2, index)));
      expect(await open().readFactors(otherName, request)).toBeUndefined();
      expect(await open("lapack").readFactors(name, request)).toBeUndefined();
    }
    expect(damaged).toEqual([]);
  });

  it("keeps comparisons apart by tensors, their order, ranks, seed and backend", async () => {
    const tensor = storeMatrix(drawNoise(2, 2, 1));
    await open().writeComparison(key, compareVectors({ before: tensor, after: tensor, isUnchanged: true }));
    const others: readonly ComparisonKey[] = [
      { ...key, isProduct: true },
      { ...key, before: otherName, after: name },
      { ...key, after: name },
      { ...key, settings: { ranks: [1, 2, 3] } },
      { ...key, settings: { ranks: [12] } },
      { ...key, settings: { ranks: [1, 2], randomizedSeed: 0 } },
    ];
    for (const other of others) expect(await open().readComparison(other)).toBeUndefined();
    expect(await open("lapack").readComparison(key)).toBeUndefined();
    expect(await open().readComparison(key)).toBeDefined();
  });

  it("keeps randomized factors, which hold fewer values", async () => {
    const source = createDenseSource(drawNoise(30, 20, 1));
    const request = { numVectors: 3, seed: 7 };
    const factors = factorizeRandomly(source, request, anyBackend);
    await open().writeFactors(name, { numVectors: 3, randomizedSeed: 7 }, factors);
    const found = await open().readFactors(name, { numVectors: 3, randomizedSeed: 7 });
    expect(toBits(found!)).toEqual(toBits(factors));
  });

  it("passes over files that are not entries", async () => {
    await open().writeFactors(name, { numVectors: 2 }, makeFactors(2));
    const [path] = await listEntries();
    for (const stray of [
      "exact-3.safetensors.tmp",
      "exact-.safetensors",
      "exact-x3.safetensors",
      "notes.txt",
    ])
      await writeFile(join(path!, "..", stray), "stray");
    expect(await open().hasFactors(name, { numVectors: 3 })).toBe(false);
    expect((await open().readFactors(name, { numVectors: 1 }))?.left.columns).toBe(1);
    expect(damaged).toEqual([]);
  });

  it("says where the cache can be moved to when it cannot be written", async () => {
    await writeFile(join(folder, "cache"), "a file in the way");
    const tensor = storeMatrix(drawNoise(2, 2, 1));
    const comparison = compareVectors({ before: tensor, after: tensor, isUnchanged: true });
    for (const write of [
      () => open().writeFactors(name, { numVectors: 2 }, makeFactors(2)),
      () => open().writeComparison(key, comparison),
    ]) {
      const failure = await write().then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).toBeInstanceOf(UsageError);
      expect(String(failure)).toMatch(/it belongs to the cache, which UNTWIST_CACHE can put elsewhere$/);
    }
  });
});

describe("a damaged entry", () => {
  const masks = [0x01, 0x02, 0x20, 0x80, 0xff];

  /** Calls `read` with each damaged form of the only entry, and expects to be told each time. */
  async function expectTold(
    read: () => Promise<unknown>,
    forms: (bytes: Buffer) => Iterable<Buffer>,
  ): Promise<void> {
    const [path, ...others] = await listEntries();
    expect(others).toEqual([]);
    for (const form of forms(await readFile(path!))) {
      await writeFile(path!, form);
      damaged = [];
      expect(await read()).toBeUndefined();
      expect(damaged).toEqual([path]);
    }
  }

  /** Every byte of the header, some of the rest; of every truncation, some. */
  function* flipBytes(bytes: Buffer, everyByteTo: number): Generator<Buffer, void, void> {
    for (let place = 0; place < bytes.length; place += place < everyByteTo ? 1 : 7)
      for (const mask of masks) {
        const flipped = Buffer.from(bytes);
        flipped[place]! ^= mask;
        yield flipped;
      }
  }

  function* resize(bytes: Buffer): Generator<Buffer, void, void> {
    for (let size = 0; size < bytes.length; size += 13) yield bytes.subarray(0, size);
    yield bytes.subarray(0, bytes.length - 1);
    yield Buffer.concat([bytes, Buffer.of(0)]);
  }

  it("of factors is missing, whichever byte was flipped", async () => {
    await open().writeFactors(name, { numVectors: 2 }, makeFactors(2));
    const read = () => open().readFactors(name, { numVectors: 2 });
    await expectTold(read, (bytes) => flipBytes(bytes, 8 + Number(bytes.readBigUInt64LE(0))));
  });

  it("of factors is missing when bytes are lost or added", async () => {
    await open().writeFactors(name, { numVectors: 2 }, makeFactors(2));
    await expectTold(() => open().readFactors(name, { numVectors: 2 }), resize);
  });

  it("of a comparison is missing, whichever byte was flipped, lost or added", async () => {
    const tensor = storeMatrix(drawNoise(3, 2, 1));
    await open().writeComparison(key, compareVectors({ before: tensor, after: tensor, isUnchanged: true }));
    await expectTold(
      () => open().readComparison(key),
      function* (bytes) {
        // The line's end says nothing.
        for (const flipped of flipBytes(bytes, 100)) if (flipped.at(-1) === bytes.at(-1)) yield flipped;
        yield* resize(bytes);
      },
    );
  });

  it("is replaced by the next write", async () => {
    const factors = makeFactors(2);
    await open().writeFactors(name, { numVectors: 2 }, factors);
    const [path] = await listEntries();
    await writeFile(path!, "damaged");
    expect(await open().hasFactors(name, { numVectors: 2 })).toBe(true);
    expect(await open().readFactors(name, { numVectors: 2 })).toBeUndefined();
    await open().writeFactors(name, { numVectors: 2 }, factors);
    expect(toBits((await open().readFactors(name, { numVectors: 2 }))!)).toEqual(toBits(factors));
    expect(damaged).toEqual([path]);
  });
});
