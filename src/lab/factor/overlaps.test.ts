import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import {
  drawNormal,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../test/support/checkpoint-folder.ts";
import { createMachine } from "../../../test/support/effects.ts";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { listCache } from "../../../test/support/spectra.ts";
import { factorizeStored } from "../../../test/support/stored-matrix.ts";
import { createTemporaryFolder, identifyFiles, removeFolder } from "../../../test/support/untwist.ts";
import { openCheckpoint } from "../../weights/checkpoint/index.ts";
import { openLinearAlgebra } from "../../weights/linalg/index.ts";
import { fingerprint, openStored } from "../../weights/spectra/index.ts";
import { openFactorCache } from "../cache/index.ts";
import { readOverlaps } from "./overlaps.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));
const machine = createMachine(join(place, "cache"));
const algebra = await openLinearAlgebra("none");
const cache = openFactorCache(machine.cacheFolder, { backend: "portable", onDamage: () => undefined });
const { folder } = await createFallenRun(join(place, "run"));
const read = (before: string, after: string): ReturnType<typeof readOverlaps> =>
  readOverlaps(folder, { before, after }, machine);

/** diag(3, 2, 1), turned by that angle in the plane of the first two rows. */
function turn(degrees: number): readonly number[] {
  const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  return [3 * c, -2 * s, 0, 3 * s, 2 * c, 0, 0, 0, 1];
}

const build = (degrees: number, more: readonly TensorSpec[] = []): readonly TensorSpec[] => [
  { name: "turned", shape: [3, 3], values: turn(degrees) },
  { name: "vector", shape: [9], values: turn(degrees) },
  ...more,
];

/** Writes other tensors in the place of a checkpoint of the run. */
async function replace(id: string, tensors: readonly TensorSpec[]): Promise<void> {
  removeFolder(folder.locate(`checkpoints/${id}`));
  await writeCheckpointFolder(folder.locate(`checkpoints/${id}`), tensors);
}

/** Brings the factors of matrices of a checkpoint into the cache. */
async function factorize(id: string, ...names: readonly string[]): Promise<void> {
  const checkpoint = await openCheckpoint(folder.locate(`checkpoints/${id}`));
  for (const tensor of names.map((name) => openStored(checkpoint, name))) {
    const factors = factorizeStored(tensor, algebra);
    await cache.writeFactors(fingerprint(tensor), { numVectors: factors.left.columns }, factors);
  }
  await checkpoint.close();
}

beforeEach(async () => {
  removeFolder(machine.cacheFolder);
  await replace("base", build(0));
  await replace("sft-1", build(60));
});

describe("readOverlaps()", () => {
  it("says in percent how the singular vectors of two checkpoints lie to each other", async () => {
    for (const id of ["base", "sft-1"]) await factorize(id, "turned");
    // cos 60° and sin 60° on the left; on the right all stay as they are.
    expect(await read("base", "sft-1")).toEqual({
      turned: { size: 3, left: [50, 87, 0, 87, 50, 0, 0, 0, 100], right: [100, 0, 0, 0, 100, 0, 0, 0, 100] },
    });
  });

  it("has rows for the one before and columns for the one after", async () => {
    // The leading vector before is the last one after.
    await replace("sft-1", [{ name: "turned", shape: [3, 3], values: [1, 0, 0, 0, 3, 0, 0, 0, 2] }]);
    for (const id of ["base", "sft-1"]) await factorize(id, "turned");
    expect((await read("base", "sft-1")).turned?.left).toEqual([0, 0, 100, 100, 0, 0, 0, 100, 0]);
  });

  it("shows the leading 24 vectors of larger matrices", async () => {
    const values = drawNormal("large", 30 * 26);
    for (const id of ["base", "sft-1"]) {
      await replace(id, [{ name: "large", shape: [30, 26], values }]);
      await factorize(id, "large");
    }
    const { large } = await read("base", "sft-1");
    expect(large?.size).toBe(24);
    const identity = Array.from({ length: 24 * 24 }, (_, index) => (index % 25 === 0 ? 100 : 0));
    expect(large).toMatchObject({ left: identity, right: identity });
  });

  it("leaves out what is not in the cache on both sides, or damaged there, and computes nothing for it", async () => {
    const other = { name: "other", shape: [2, 2], values: [1, 0, 0, 2] };
    await replace("base", build(0, [other]));
    await replace("sft-1", build(60, [{ ...other, values: [1, 0, 0, 3] }]));
    await factorize("base", "turned", "other");
    await factorize("sft-1", "turned");
    const files = identifyFiles(machine.cacheFolder);
    expect(Object.keys(await read("base", "sft-1"))).toEqual(["turned"]);
    expect(await read("base", "sft-2")).toEqual({});
    expect(identifyFiles(machine.cacheFolder)).toEqual(files);
    for (const name of listCache(machine.cacheFolder).factors) {
      const path = join(machine.cacheFolder, name);
      const bytes = readFileSync(path);
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(path, bytes);
    }
    expect(await read("base", "sft-1")).toEqual({});
  });

  it("has nothing to say of checkpoints that the run does not have, or no longer", async () => {
    for (const id of ["base", "sft-1"]) await factorize(id, "turned");
    expect(await read("base", "rl-9")).toEqual({});
    expect(await read("none", "sft-1")).toEqual({});
    removeFolder(folder.locate("checkpoints/sft-1"));
    expect(await read("base", "sft-1")).toEqual({});
    expect(await read("sft-1", "base")).toEqual({});
  });
});
