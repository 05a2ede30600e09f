import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { type LineageEntry, parseRepairGrid, type RunFolder } from "../../run/index.ts";
import type { GridPoint } from "../edit/index.ts";
import { describePoints, pointKey } from "./describe-repairs.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const answerer = createMemoryAnswerer(fallenTasks, {
  solves: ({ id }, split, index) => solvesFallen(id, split, index),
});
const { folder } = await createFallenRun(join(place, "run"), answerer);
const lineage = await folder.readLineage();
const find = (id: string): LineageEntry => lineage.find((entry) => entry.id === id)!;
const ends = { target: find("sft-3"), source: find("sft-1") };
const plan = parseRepairGrid("name: few\ngrid: [{ operation: rollback }]\n", "few.yaml");

const edit: GridPoint = {
  name: "directions, top 2",
  role: "edit",
  operation: { operation: "restore", what: "directions", top: 2, tail: 0, strength: 1 },
  controls: ["whole matrices"],
};
const control: GridPoint = {
  name: "whole matrices",
  role: "rollback",
  operation: { operation: "rollback", strength: 1 },
};

/** Keeps what a repair answered: all ID tasks but some, and the first OOD tasks. */
async function keep(
  point: GridPoint,
  {
    moved,
    numOod,
    numIdMissed = 0,
  }: { readonly moved: number; readonly numOod: number; readonly numIdMissed?: number },
): Promise<void> {
  const solves = (_: unknown, split: string, index: number): boolean =>
    split === "id" ? index >= numIdMissed : index < numOod;
  const { items } = await createMemoryAnswerer(fallenTasks, { solves }).answer({
    kind: "checkpoint",
    id: point.name,
    path: "",
  });
  await folder.writeRepair("few", pointKey(point, ends), { moved, items });
}
await keep(edit, { moved: 0.123456789, numOod: 20, numIdMissed: 3 });
await keep(control, { moved: 2, numOod: 40 });

describe("pointKey()", () => {
  it("names the same file for the same repair, whatever it is called, and another for another one", () => {
    const key = pointKey(edit, ends);
    expect(key).toMatch(/^[0-9a-f]{16}$/);
    expect(pointKey({ ...edit, name: "by another name", role: "values" }, ends)).toBe(key);
    const others = [
      pointKey({ ...edit, operation: { ...edit.operation, layers: "0" } }, ends),
      pointKey(control, ends),
      pointKey(edit, { ...ends, source: find("sft-2") }),
      pointKey(edit, { ...ends, target: find("sft-2") }),
      pointKey(edit, { target: ends.source, source: ends.target }),
    ];
    expect(new Set([key, ...others]).size).toBe(6);
  });
});

describe("describePoints()", () => {
  it("counts both ends, and measures each repair against the target on what was held out", async () => {
    const record = await describePoints([edit, control], { plan, ends, folder });
    expect(record).toMatchObject({ name: "few", target: "sft-3", source: "sft-1" });
    const all = { correct: 40, total: 40 };
    expect(record.ends).toEqual({
      target: { id: all, ood: { correct: 8, total: 40 } },
      source: { id: all, ood: { correct: 36, total: 40 } },
    });
    // By the hashes of the tasks, 8 of the 12 that the edit brings back are held out, and 17 of the 32 of the control; the loss is 15 of 28.
    expect(record.repairs).toMatchObject([
      {
        ...edit,
        id: { correct: 37, total: 40 },
        ood: { correct: 20, total: 40 },
        gain: { estimate: 8 / 20, onlyFirst: 8, onlySecond: 0, numItems: 20 },
        idGain: { estimate: -2 / 20 },
        recovered: { estimate: 8 / 15 },
        moved: 0.123457,
      },
      {
        ...control,
        ood: { correct: 40, total: 40 },
        gain: { estimate: 17 / 20, onlyFirst: 17, onlySecond: 0, numItems: 20 },
        recovered: { estimate: 17 / 15 },
        moved: 2,
      },
    ]);
    // 2⁻⁸ and 2⁻¹⁷: the control is no part of the family, and the repair is alone in it.
    const [first = 0, second = 0] = record.repairs.map(({ gain }) => Math.log2(gain.pValue));
    expect(first).toBeGreaterThanOrEqual(-8);
    expect(first).toBeLessThan(-7);
    expect(second).toBeCloseTo(-17, 9);
  });

  it("chooses the best among edits alone, and says it in words", async () => {
    const { best, sentences } = await describePoints([edit, control], { plan, ends, folder });
    // At even positions: of 20 ID tasks all but 0 and 2, and of 20 OOD tasks 10.
    expect(best).toMatchObject({
      name: edit.name,
      selected: { correct: 28, total: 40 },
      gain: { estimate: 8 / 20 },
      idGain: { estimate: -2 / 20 },
    });
    expect(sentences[0]).toMatch(/^From sft-1 into sft-3, the best of 1 repair .* was "directions, top 2"/);
    expect(sentences[0]).toContain("changed OOD by +40.0 points");
    expect(sentences[1]).toMatch(/^Its controls .*whole matrices rolled back \+85\.0 points/);
    expect((await describePoints([control], { plan, ends, folder })).best).toBeNull();
  });

  it("says no share of a loss where there was none, and why", async () => {
    const same = { target: ends.source, source: ends.source };
    const point = { ...control, name: "nothing" };
    const answers = await folder.readRepair("few", pointKey(control, ends));
    await folder.writeRepair("few", pointKey(point, same), answers);
    const [repair] = (await describePoints([point], { plan, ends: same, folder })).repairs;
    expect([repair?.recovered, typeof repair?.reason]).toEqual([null, "string"]);
  });

  it("says where the checkpoints of another trainer lie, and of its own nothing", async () => {
    expect(await describePoints([edit], { plan, ends, folder })).not.toHaveProperty("paths");
    const followed = { ...folder, recipe: { follow: { trainings: [] } } } as unknown as RunFolder;
    const { paths } = await describePoints([edit], { plan, ends, folder: followed });
    expect(paths).toEqual({
      target: join(folder.path, "checkpoints/sft-3"),
      source: join(folder.path, "checkpoints/sft-1"),
    });
  });
});
