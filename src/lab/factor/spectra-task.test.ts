import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { drawFirst, drawSecond, writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import {
  drawExact,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../test/support/checkpoint-folder.ts";
import { listCache } from "../../../test/support/spectra.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  removeFolder,
} from "../../../test/support/untwist.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import { numExaminedForIntruders } from "../../weights/spectra/index.ts";
import { openFactorCache } from "../cache/index.ts";
import {
  createSpectraHandler,
  type KnownTensor,
  keyOf,
  requestFactors,
  type SpectraAnswer,
  type SpectraTask,
  type TensorLocation,
} from "./spectra-task.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);
beforeEach(() => removeFolder(at("cache")));

const settings = { ranks: [1] };
const machine = { cacheFolder: at("cache"), lapack: "none", pythonFolders: [] };
const cache = openFactorCache(at("cache"), { backend: "portable", onDamage: () => undefined });

/** One for all tests: it holds open what it has read. */
const handle = createSpectraHandler(machine);
const perform = (task: SpectraTask): Promise<SpectraAnswer> => handle(task, { numThreads: 1 });
const close = (value: number): number => expect.closeTo(value, 12);

/** A tensor under a made-up fingerprint: 64 times the same letter. */
const know = (letter: string, place: TensorLocation, shape: readonly number[]): KnownTensor => ({
  ...place,
  shape,
  fingerprint: letter.repeat(64),
});

const draw = (name: string, shape: readonly number[], values: readonly number[]): TensorSpec => ({
  name,
  shape,
  values,
});

beforeAll(async () => {
  // The stack's second matrix is `matrix`.
  await writeCheckpointFolder(at("before"), [
    draw("matrix", [2, 2], [3, 0, 0, 1]),
    draw("stack", [2, 2, 2], [9, 9, 9, Number.NaN, 3, 0, 0, 1]),
    draw("vector", [2], [3, 4]),
    draw("empty", [0, 2], []),
    { ...draw("integers", [2], [1, 2]), dtype: "I32" },
  ]);
  await writeCheckpointFolder(at("after"), [
    draw("matrix", [2, 2], [3, 0, 0, 2]),
    draw("vector", [2], [3, 0]),
    draw("late", [2, 3], [1, 2, 3, 4, Number.POSITIVE_INFINITY, Number.NaN]),
  ]);
});

describe("keyOf()", () => {
  it("is one for all ways to write a folder, and another for each name and part", () => {
    const [name, part] = ["w", { start: 4, shape: [2, 2] }];
    expect(keyOf({ folder: `${folder}/a/../b/`, name })).toBe(keyOf({ folder: at("b"), name }));
    const places = [
      { folder: at("b"), name },
      { folder: at("c"), name },
      { folder: at("b"), name: "v" },
      { folder: at("b"), name, part },
      { folder: at("b"), name, part: { ...part, start: 8 } },
      { folder: at("b"), name, part: { ...part, shape: [4, 1] } },
    ];
    expect(new Set(places.map(keyOf)).size).toBe(places.length);
  });
});

describe("requestFactors()", () => {
  it("asks for the vectors that are compared, one more of a randomized factorization, which says its seed", () => {
    const shape = [700, 600];
    expect(requestFactors(shape, { ranks: [8, 32] })).toEqual({ numVectors: 32 });
    expect(requestFactors(shape, { ranks: [1] })).toEqual({ numVectors: numExaminedForIntruders });
    expect(requestFactors(shape, { ranks: [8, 32], randomizedSeed: 0 })).toEqual({
      numVectors: 33,
      randomizedSeed: 0,
    });
  });
});

describe("a task of kind fingerprint", () => {
  const identify = (tensor: TensorLocation): Promise<SpectraAnswer> =>
    perform({ kind: "fingerprint", tensor });

  it("hashes format, shape and bytes, alike for a tensor and for a part of another that holds the same", async () => {
    const bytes = new Uint8Array(Float32Array.of(3, 0, 0, 1).buffer);
    const fingerprint = createHash("sha256").update("F32 2x2\n").update(bytes).digest("hex");
    expect(await identify({ folder: at("before"), name: "matrix" })).toEqual({ fingerprint, damaged: [] });
    const part = { start: 4, shape: [2, 2] };
    expect(await identify({ folder: at("before"), name: "stack", part })).toEqual({
      fingerprint,
      damaged: [],
    });
    const { fingerprint: other } = await identify({ folder: at("after"), name: "matrix" });
    expect(other).not.toBe(fingerprint);
  });

  it("says where the first value that is not finite lies, counted from the beginning of a part", async () => {
    expect((await identify({ folder: at("after"), name: "late" })).nonFinite).toBe(4);
    const part = { start: 2, shape: [2] };
    expect((await identify({ folder: at("before"), name: "stack", part })).nonFinite).toBe(1);
  });

  it.each([
    ["integers", "I32 numbers are not floats"],
    ["empty", "it has no elements"],
    ["nonsense", "nonsense"],
  ])("refuses %s, naming tensor and folder", async (name, words) => {
    const refused = identify({ folder: at("before"), name });
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(identify({ folder: at("before"), name })).rejects.toThrow(words);
    await expect(identify({ folder: at("before"), name })).rejects.toMatchObject({ tensor: name });
  });
});

describe("a task of kind factorize", () => {
  const request = { numVectors: 2 };
  const factorize = (tensor: KnownTensor, seed?: number): Promise<SpectraAnswer> =>
    perform({
      kind: "factorize",
      tensor,
      request: { ...request, ...(seed !== undefined && { randomizedSeed: seed }) },
    });
  const matrix = know("a", { folder: at("before"), name: "matrix" }, [2, 2]);

  it("keeps the factors, and neither reads nor writes anything where they are kept", async () => {
    expect(await factorize(matrix)).toEqual({ damaged: [] });
    const kept = await cache.readFactors(matrix.fingerprint, request);
    expect([...(kept?.values ?? [])]).toEqual([close(3), close(1)]);
    expect(kept?.left.columns).toBe(2);
    const files = identifyFiles(at("cache"));
    expect(await factorize({ ...matrix, folder: at("gone") })).toEqual({ damaged: [] });
    expect(identifyFiles(at("cache"))).toEqual(files);
  });

  it("keeps randomized factors apart from exact ones and from those of other seeds", async () => {
    for (const seed of [undefined, 1, 2]) await factorize(matrix, seed);
    expect(listCache(at("cache")).factors).toHaveLength(3);
    const kept = await cache.readFactors(matrix.fingerprint, { ...request, randomizedSeed: 2 });
    expect(kept?.method).toBe("randomized");
  });

  it("makes a damaged entry again, and says which", async () => {
    await factorize(matrix);
    const hashes = hashFiles(at("cache"));
    const [path = ""] = listCache(at("cache")).factors.map((name) => join(at("cache"), name));
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    expect(await factorize(matrix)).toEqual({ damaged: [path] });
    expect(hashFiles(at("cache"))).toEqual(hashes);
  });
});

describe("a task of kind compare", () => {
  const shape = [2, 2];
  const before = know("a", { folder: at("before"), name: "matrix" }, shape);
  const after = know("b", { folder: at("after"), name: "matrix" }, shape);
  const compare = (
    pair: { readonly before: KnownTensor; readonly after: KnownTensor },
    isProduct = false,
  ): Promise<SpectraAnswer> => perform({ kind: "compare", ...pair, settings, isProduct });
  const keyOfPair = { before: before.fingerprint, after: after.fingerprint, settings, isProduct: false };

  it("compares matrices by their values, factorizing what is not kept, and keeps what it found", async () => {
    const { comparison } = await compare({ before, after });
    // diag(3, 1) became diag(3, 2).
    expect(comparison).toMatchObject({
      shape,
      singularValues: { before: [close(3), close(1)], after: [close(3), close(2)] },
      update: { frobenius: 1, relative: close(1 / Math.sqrt(10)) },
      spectralShift: close(1 / Math.sqrt(10)),
    });
    expect(await cache.readComparison(keyOfPair)).toEqual(comparison);
    for (const { fingerprint } of [before, after])
      expect(await cache.hasFactors(fingerprint, { numVectors: 2 })).toBe(true);
  });

  it("takes a tensor of the same fingerprint for unchanged, without opening the other folder", async () => {
    const same = { ...before, folder: at("gone") };
    const { comparison } = await compare({ before, after: same });
    expect(comparison).toMatchObject({ flags: ["unchanged"], update: { frobenius: 0 }, spectralShift: 0 });
    expect(listCache(at("cache")).factors).toHaveLength(1);
  });

  it("compares what is not a matrix by its elements, without factors", async () => {
    const [first, second] = (["before", "after"] as const).map((side) =>
      know(side.slice(0, 1), { folder: at(side), name: "vector" }, [2]),
    ) as [KnownTensor, KnownTensor];
    const { comparison } = await compare({ before: first, after: second });
    expect(comparison).toMatchObject({ shape: [2], update: { frobenius: 4, relative: 4 / 5 } });
    expect(listCache(at("cache"))).toEqual({ factors: [], comparisons: [expect.any(String)] });
  });
});

describe("a comparison of adapters of one base", () => {
  const [module, size, rank] = ["model.layers.0.self_attn.q_proj", 8, 2];
  const layout = [size, size, rank] as const;
  const name = `${module}.weight`;
  /** Far below the last bit of the sums in 32-bit floats. */
  const scale = 2 ** -40;

  beforeAll(async () => {
    await writeCheckpointFolder(at("base"), [
      { name, shape: [size, size], values: drawExact("base", size ** 2) },
    ]);
    for (const seed of ["one", "two"])
      await writeAdapterFolder(at(seed), {
        base: at("base"),
        modules: { [module]: layout },
        fields: { r: rank, lora_alpha: rank * scale },
        seed,
      });
  });

  /** What an adapter adds. */
  function multiply(seed: string): readonly number[] {
    const [a, b] = [drawFirst(seed, module, layout), drawSecond(seed, module, layout)];
    return Array.from({ length: size ** 2 }, (_, index) => {
      const [row, column] = [Math.floor(index / size), index % size];
      return scale * [0, 1].reduce((sum, one) => sum + b[row * rank + one]! * a[one * size + column]!, 0);
    });
  }

  /** ‖Δ‖² by its singular values. */
  async function measureUpdate(from: string, to: string, isProduct: boolean): Promise<number> {
    const [before, after] = [
      know("c", { folder: at(from), name }, [size, size]),
      know("d", { folder: at(to), name }, [size, size]),
    ];
    const { comparison } = await perform({ kind: "compare", before, after, settings, isProduct });
    removeFolder(at("cache"));
    if (comparison === undefined || !("singularValues" in comparison)) throw new Error("It was not compared");
    return comparison.update.singularValues.reduce((sum, value) => sum + value ** 2, 0);
  }

  const sumSquares = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value ** 2, 0);

  it("knows an update that the sums have lost", async () => {
    const expected = sumSquares(multiply("one"));
    expect((await measureUpdate("base", "one", true)) / expected).toBeCloseTo(1, 9);
    expect((await measureUpdate("one", "base", true)) / expected).toBeCloseTo(1, 9);
    expect((await measureUpdate("base", "one", false)) / expected).toBeLessThan(0.5);
  });

  it("takes away what the one before adds", async () => {
    const [one, two] = [multiply("one"), multiply("two")];
    const expected = sumSquares(two.map((value, index) => value - one[index]!));
    expect((await measureUpdate("one", "two", true)) / expected).toBeCloseTo(1, 9);
  });
});
