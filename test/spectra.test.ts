/** `untwist spectra` on two checkpoint folders: its numbers, and how little it computes twice. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openLinearAlgebra } from "../src/weights/linalg/index.ts";
import {
  buildModel,
  drawDecaying,
  drawNormal,
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "./support/checkpoint-folder.ts";
import { expectClose, findMatrix, listCache, omitFields, readSpectra } from "./support/spectra.ts";
import {
  createTemporaryFolder,
  hashFiles,
  identifyFiles,
  removeFolder,
  runUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const cache = (name: string): { readonly UNTWIST_CACHE: string } => ({
  UNTWIST_CACHE: join(folder, `cache-${name}`),
});
const listCacheOf = (name: string): ReturnType<typeof listCache> => listCache(cache(name).UNTWIST_CACHE);

const query = nameWeight(0, "self_attn.q_proj");

/** Before: diag(3, 2, 1). After: one element beside the diagonal, and a larger last value. */
const [beside, last] = [Math.fround(0.3), Math.fround(1.2)];
const toys = {
  "toy-before": [
    { name: query, shape: [3, 3], values: [3, 0, 0, 0, 2, 0, 0, 0, 1] },
    { name: "model.norm.weight", shape: [4], values: [1, 2, 3, 0] },
  ],
  "toy-after": [
    { name: query, shape: [3, 3], values: [3, beside, 0, 0, 2, 0, 0, 0, last] },
    // Changed by 1e-6 or so, by more than 1e-4 but less than 1e-3 of the value, and in its sign only.
    { name: "model.norm.weight", shape: [4], values: [1 + 2 ** -20, 2 + 2 ** -10, 3, -0] },
  ],
} as const satisfies Readonly<Record<string, readonly TensorSpec[]>>;

/** Different matrices of a model; one more, which training leaves alone, is the same at all steps. */
const numMatrices = 5;

beforeAll(async () => {
  for (const [name, tensors] of Object.entries(toys))
    await writeCheckpointFolder(join(folder, name), tensors);
  for (const step of ["one", "two", "three"])
    await writeCheckpointFolder(join(folder, step), buildModel(step));
});

afterAll(() => removeFolder(folder));

const numbers = { before: expect.any(Array), after: expect.any(Array) };

describe("untwist spectra BEFORE AFTER --json", () => {
  it("has for every matrix the fields that programs rely on", async () => {
    const spectra = await readSpectra(["one", "two", "--rank", "4,8"], folder, cache("shape"));
    expect(spectra).toMatchObject({
      before: "one",
      after: "two",
      numMatrices: 7,
      coverage: { numMatched: 9, numLeftOut: 0, unmatched: [] },
      settings: { ranks: [4, 8] },
      reading: expect.stringMatching(/\d %.*\d°/),
    });
    expect(spectra.vectors.map(({ name }: { name: string }) => name).sort()).toEqual(
      [0, 1].map((number) => nameWeight(number, "input_layernorm")),
    );
    for (const matrix of spectra.matrices) {
      const isOutside = !/layers/.test(matrix.name);
      expect(matrix).toMatchObject({
        shape: [expect.any(Number), expect.any(Number)],
        kind: expect.stringMatching(/^(embed_tokens|lm_head|q_proj|up_proj|frozen)$/),
        ...(isOutside ? {} : { layer: Number(matrix.name.split(".")[2]) }),
        singularValues: numbers,
        spectralShift: expect.any(Number),
        principalAngles: {
          left: { 4: expect.any(Array), 8: expect.any(Array) },
          right: { 4: expect.any(Array), 8: expect.any(Array) },
        },
        update: { frobenius: expect.any(Number), spectral: expect.any(Number) },
        sparsity: { bitwise: expect.any(Number), relative: expect.any(Number) },
        nulls: { randomSubspaces: expect.any(Object), bf16Rounding: expect.any(Object) },
        flags: expect.any(Array),
      });
      expect("layer" in matrix).toBe(!isOutside);
      expect(Object.keys(matrix.sparsity.byTolerance)).toEqual(["1e-8", "1e-7", "1e-6", "1e-5", "1e-4"]);
      if (matrix.name === "model.frozen.weight") continue;
      const { energy, stableRank, entropyRank } = matrix.update;
      expect(energy.stretch + energy.rotation + energy.outside).toBeCloseTo(1, 10);
      expect([stableRank, entropyRank]).toEqual([expect.any(Number), expect.any(Number)]);
      for (const side of ["left", "right"]) {
        expect(Object.keys(matrix.nulls.randomUpdate[side])).toEqual(["4", "8"]);
        for (const angles of Object.values<readonly number[]>(matrix.principalAngles[side])) {
          expect([...angles].sort((a, b) => a - b)).toEqual(angles);
          expect(angles[0]).toBeGreaterThanOrEqual(0);
          expect(angles.at(-1)).toBeLessThanOrEqual(Math.PI / 2);
        }
      }
    }
  });

  it("agrees with a diagonal example worked out by hand", async () => {
    const spectra = await readSpectra(["toy-before", "toy-after", "--rank", "1,2,3"], folder, cache("toy"));
    const found = findMatrix(spectra, query);
    // The upper left block is [[p, a], [0, q]]: σ₁ ± σ₂ = √((p ± q)² + a²), and its vectors rotate in one plane.
    const [p, q, a, c] = [3, 2, beside, last];
    const [sum, difference] = [Math.hypot(p + q, a), Math.hypot(p - q, a)];
    const after = [(sum + difference) / 2, (sum - difference) / 2, c];
    const left = Math.atan2(2 * a * q, p * p + a * a - q * q) / 2;
    const right = Math.atan2(2 * a * p, p * p - a * a - q * q) / 2;
    const energy = a * a + (c - 1) ** 2;
    const shares = [a, c - 1].map((value) => value / (a + c - 1));
    const expected = {
      singularValues: { before: [3, 2, 1], after },
      spectralShift: Math.hypot(after[0]! - 3, after[1]! - 2, c - 1) / Math.sqrt(14),
      principalAngles: {
        left: { 1: [left], 2: [0, 0], 3: [0, 0, 0] },
        right: { 1: [right], 2: [0, 0], 3: [0, 0, 0] },
      },
    };
    for (const [key, value] of Object.entries(expected))
      expectClose(omitFields(found[key], ["method", "error"]), value, 1e-12, key);
    const { update } = found;
    expectClose(update.frobenius, Math.sqrt(energy), 1e-12);
    expectClose(update.spectral, a, 1e-12);
    expectClose(update.stableRank, energy / (a * a), 1e-12);
    expectClose(
      update.entropyRank,
      Math.exp(-shares.reduce((total, share) => total + share * Math.log(share), 0)),
      1e-12,
    );
    const [rotation, stretch] = [(a * a) / energy, (c - 1) ** 2 / energy];
    const outside = { stretch: 0, rotation: 0, outside: 1 };
    expectClose(omitFields(update.energy, ["insideChance"]), { rank: 1, ...outside }, 1e-12);
    expectClose(
      update.energyByRank.map(({ insideChance }: { insideChance: number }) => insideChance),
      [1 / 9, 4 / 9, 1],
      1e-12,
    );
    expectClose(
      update.energyByRank.map((one: object) => omitFields(one, ["insideChance"])),
      [
        { rank: 1, ...outside },
        { rank: 2, stretch: 0, rotation, outside: stretch },
        { rank: 3, stretch, rotation, outside: 0 },
      ],
      1e-12,
    );
    // Two random directions of three dimensions: the mean of sin² is 2/3.
    expectClose(found.nulls.randomSubspaces.left[1].chordal, Math.sqrt(2 / 3), 1e-12);
    expect(found.sparsity).toMatchObject({ bitwise: 7 / 9, relative: 7 / 9 });
    expect(found.flags).toEqual([]);
    const [{ sparsity, update: change }] = spectra.vectors;
    expectClose(change.frobenius, Math.hypot(2 ** -20, 2 ** -10), 1e-12);
    expect(sparsity).toMatchObject({ bitwise: 0.5, relative: 1, bitwiseInBf16: 1 });
    expect(sparsity.byTolerance).toEqual({
      "1e-8": 0.5,
      "1e-7": 0.5,
      "1e-6": 0.75,
      "1e-5": 0.75,
      "1e-4": 0.75,
    });
    expect(spectra.sparsity.model).toMatchObject({
      numElements: 13,
      weighted: { bitwise: 9 / 13 },
      unweighted: { bitwise: (7 / 9 + 1 / 2) / 2 },
    });
  });

  it("gives the same for BF16 in shards and for F16 as for one F32 file, whose numbers both hold", async () => {
    const forms = [
      ["bf16-sharded", { numShards: 3 }, "BF16"],
      ["f16", {}, "F16"],
    ] as const;
    const plain = omitFields(await readSpectra(["one", "two"], folder, cache("forms")), ["dtype"]);
    for (const [form, layout, dtype] of forms) {
      const paths = ["one", "two"].map((step) => `${step}-${form}`);
      for (const step of ["one", "two"])
        await writeCheckpointFolder(join(folder, `${step}-${form}`), buildModel(step, dtype), layout);
      const found = await readSpectra(paths, folder, cache(form));
      expect(findMatrix(found, query).dtype).toEqual({ before: dtype, after: dtype });
      const sorted = (list: readonly { readonly name: string }[]): unknown =>
        [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
      const same = omitFields(found, ["dtype"]);
      expect(sorted(same.matrices)).toEqual(sorted(plain.matrices));
      expect(sorted(same.vectors)).toEqual(sorted(plain.vectors));
    }
  });

  it("gives the same with LAPACK as with the portable backend", async ({ skip }) => {
    skip((await openLinearAlgebra()).name !== "lapack", "there is no LAPACK on this machine");
    const args = ["one", "two", "--rank", "2,8,12"];
    const [fast, portable] = await Promise.all([
      readSpectra(args, folder, cache("lapack")),
      readSpectra(args, folder, { ...cache("portable"), UNTWIST_LAPACK: "none" }),
    ]);
    // Bounds of rounding are the backend's own.
    const strip = (value: unknown): unknown => omitFields(value, ["error", "tolerance"]);
    expectClose(strip(portable), strip(fast), 1e-9);
  });

  it("says that a checkpoint does not differ from itself", async () => {
    const spectra = await readSpectra(["one", "one"], folder, cache("self"));
    expect(spectra.reading).toMatch(/no matrix changed/i);
    for (const matrix of spectra.matrices) {
      expect(matrix.flags).toEqual(["unchanged"]);
      expect(matrix.singularValues.after).toEqual(matrix.singularValues.before);
      expect(matrix.spectralShift).toBe(0);
      for (const angles of Object.values(matrix.principalAngles).flatMap((side) =>
        Object.values(side as object),
      ))
        expect(angles.every((angle: number) => angle === 0)).toBe(true);
      expect(matrix.update).toMatchObject({ frobenius: 0, spectral: 0 });
      expect(matrix.sparsity).toMatchObject({ bitwise: 1, relative: 1, byTolerance: { "1e-8": 1 } });
    }
    expect(listCacheOf("self").factors).toHaveLength(numMatrices + 1);
  });

  it("flags a matrix that became noise, and no matrix with the decaying values of training", async () => {
    const shape = [256, 1024] as const;
    const noise = drawNormal("noise", shape[0] * shape[1]).map((value) => 0.02 * value);
    const trained = drawDecaying("trained", shape);
    const drift = trained.map((value, index) => value + 0.05 * noise[index]!);
    for (const [name, values] of Object.entries({ trained, noise, drift }))
      await writeCheckpointFolder(join(folder, name), [{ name: query, shape, values }]);
    const flagsOf = async (after: string): Promise<readonly string[]> =>
      findMatrix(await readSpectra(["trained", after], folder), query).flags;
    expect(await flagsOf("noise")).toEqual(["random-after", "replaced"]);
    expect(await flagsOf("drift")).toEqual([]);
  });
});

describe("the cache of untwist spectra", () => {
  /** Changes one bit; of a digit in text, into another digit. */
  const flip = (path: string, position: number): void => {
    const bytes = readFileSync(path);
    bytes[position]! ^= 1;
    writeFileSync(path, bytes);
  };

  it("factorizes once what is tied, unchanged, or in several pairs, and reads all of it a second time", async () => {
    const place = cache("trail");
    const first = await runUntwist(["spectra", "one", "two", "--json"], folder, place);
    expect(listCacheOf("trail").factors).toHaveLength(2 * numMatrices + 1);
    // One comparison for each different matrix and norm, not one for each name.
    expect(listCacheOf("trail").comparisons).toHaveLength(numMatrices + 1 + 2);
    const files = identifyFiles(place.UNTWIST_CACHE);
    expect(await runUntwist(["spectra", "one", "two", "--json"], folder, place)).toEqual(first);
    expect(identifyFiles(place.UNTWIST_CACHE)).toEqual(files);
    // A trail of three: each further checkpoint costs its own matrices once, however many pairs it is in.
    await readSpectra(["two", "three"], folder, place);
    expect(listCacheOf("trail").factors).toHaveLength(3 * numMatrices + 1);
    await readSpectra(["one", "three"], folder, place);
    expect(listCacheOf("trail").factors).toHaveLength(3 * numMatrices + 1);
    expect(identifyFiles(place.UNTWIST_CACHE)).toMatchObject(files);
  });

  it("makes a damaged entry again, says so, and ends with the same", async () => {
    const place = cache("damaged");
    const args = ["spectra", "one", "two", "--json"];
    const { stdout } = await runUntwist(args, folder, place);
    const hashes = hashFiles(place.UNTWIST_CACHE);
    const { factors, comparisons } = listCacheOf("damaged");
    const [factorsPath, comparisonPath] = [factors[0]!, comparisons[0]!].map((path) =>
      join(place.UNTWIST_CACHE, path),
    ) as [string, string];
    flip(comparisonPath, 100);
    const second = await runUntwist(args, folder, place);
    expect(second).toMatchObject({ code: 0, stdout });
    expect(second.stderr).toMatch(/^.*damaged.*\n$/i);
    expect(second.stderr).toContain(comparisonPath);
    expect(hashFiles(place.UNTWIST_CACHE)).toEqual(hashes);
    // Factors are read only where a comparison is missing.
    flip(factorsPath, readFileSync(factorsPath).length - 3);
    for (const path of comparisons) removeFolder(join(place.UNTWIST_CACHE, path));
    const third = await runUntwist(args, folder, place);
    expect(third).toMatchObject({ code: 0, stdout });
    expect(third.stderr).toMatch(/^.*damaged.*\n$/i);
    expect(third.stderr).toContain(factorsPath);
    expect(hashFiles(place.UNTWIST_CACHE)).toEqual(hashes);
  });

  it("notices damage to what stands beside the vectors: here the bound of the values' error", async () => {
    const place = cache("metadata");
    const args = ["spectra", "toy-before", "toy-after", "--json"];
    const { stdout } = await runUntwist(args, folder, place);
    const hashes = hashFiles(place.UNTWIST_CACHE);
    const { factors, comparisons } = listCacheOf("metadata");
    for (const path of comparisons) removeFolder(join(place.UNTWIST_CACHE, path));
    const mark = '"valueError":"';
    for (const path of factors.map((name) => join(place.UNTWIST_CACHE, name)))
      flip(path, readFileSync(path).indexOf(mark) + mark.length);
    expect(await runUntwist(args, folder, place)).toMatchObject({ code: 0, stdout });
    expect(hashFiles(place.UNTWIST_CACHE)).toEqual(hashes);
  });
});
