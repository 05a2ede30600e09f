/** What `untwist restore --dry-run` says, and that it writes nothing. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, nameWeight, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { buildNormal, distance, readAllBytes, readNumbers, readReport, sizeOf } from "./support/surgery.ts";
import { createTemporaryFolder, listFilesBelow, removeFolder, runUntwist } from "./support/untwist.ts";

const folder = createTemporaryFolder();
const at = (...names: readonly string[]): string => join(folder, ...names);
const query = nameWeight(0, "self_attn.q_proj");
const matrices = [0, 1].flatMap((layer) => [
  nameWeight(layer, "mlp.up_proj"),
  nameWeight(layer, "self_attn.q_proj"),
]);

beforeAll(async () => {
  await writeCheckpointFolder(at("target"), buildModel("two", "BF16"), { numShards: 3 });
  await writeCheckpointFolder(at("source"), buildModel("one", "BF16"), { numShards: 2 });
  for (const step of ["one", "two"]) await writeCheckpointFolder(at(`${step}-F32`), buildNormal(step, "F32"));
});

afterAll(() => removeFolder(folder));

const between = (into: string, from: string, ...more: readonly string[]): readonly string[] => [
  ...["restore", "--into", into, "--from", from],
  ...more,
];
const namesOf = (list: readonly { readonly name: string }[]): readonly string[] =>
  list.map(({ name }) => name).sort();

describe("--dry-run", () => {
  it("writes nothing, not even into the cache, and names tensors, memory and time", async () => {
    const before = listFilesBelow(folder);
    const environment = { UNTWIST_CACHE: at("cache of nothing") };
    const { code, stdout } = await runUntwist(
      between("target", "source", "--out", "dry", "--top", "3", "--dry-run"),
      folder,
      environment,
    );
    expect(code).toBe(0);
    for (const name of matrices) expect(stdout).toContain(name);
    expect(stdout).toMatch(/Would edit 4 tensors of target and copy 5/);
    expect(stdout).toMatch(/3 of 24/);
    expect(stdout).toMatch(/Writes \d+ kB, needs about [\d.]+ [MG]B of memory and \S*\d+ ?(s|min|h)/);
    expect(listFilesBelow(folder)).toEqual(before);
    expect(readdirSync(folder)).not.toContain("dry");
  });

  it("says as JSON how far apart the checkpoints are, without --out", async () => {
    const args = between("two-F32", "one-F32", "--top", "3", "--dry-run");
    const { tensors, ...preview } = await readReport(args, folder);
    expect(namesOf(tensors)).toEqual(matrices);
    const [target, source] = [
      await readNumbers(at("two-F32"), query),
      await readNumbers(at("one-F32"), query),
    ];
    const { apart } = tensors.find(({ name }: { name: string }) => name === query);
    expect(apart).toBeCloseTo(distance(target, source) / sizeOf(target), 12);
    const sizes = Object.values(await readAllBytes(at("two-F32"))).map(({ length }) => length);
    const numBytes = sizes.reduce((sum, size) => sum + size, 0);
    expect(preview).toMatchObject({ numUntouched: 5, numBytes });
    expect(preview.memoryBytes).toBeGreaterThan(0);
    expect(preview.seconds).toBeGreaterThan(0);
  });

  it("says how large an adapter would be", async () => {
    const args = (name: string): readonly string[] =>
      between("two-F32", "one-F32", "--top", "0.25", "--as", "lora", "--out", name);
    const { numBytes } = await readReport([...args("not written"), "--dry-run"], folder);
    await readReport(args("adapter"), folder);
    const bytes = readFileSync(at("adapter/adapter_model.safetensors"));
    expect(numBytes).toBe(bytes.length - 8 - Number(bytes.readBigUInt64LE(0)));
    expect(readdirSync(folder)).not.toContain("not written");
  });
});
