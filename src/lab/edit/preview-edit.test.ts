import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, nameWeight, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { distance, readNumbers, sizeOf } from "../../../test/support/surgery.ts";
import { createTemporaryFolder, hashFiles, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import type { Operation } from "../../weights/surgery/index.ts";
import type { EditForm } from "./edit-checkpoint.ts";
import { type EditPreview, previewEdit } from "./preview-edit.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);
const [query, up, norm] = ["self_attn.q_proj", "mlp.up_proj", "input_layernorm"].map((part) =>
  nameWeight(1, part),
) as [string, string, string];

beforeAll(async () => {
  await writeCheckpointFolder(at("target"), buildModel("two"), { numShards: 3 });
  await writeCheckpointFolder(at("source"), buildModel("one", "BF16"));
});

const restore = {
  operation: "restore",
  what: "directions",
  top: 3,
  tail: 0,
  strength: 1,
  layers: "1",
} as const;

/** Looks at a plan; nothing may be written for it. */
async function preview(
  operations: readonly Operation[],
  given: Partial<Effects> & { readonly form?: EditForm } = {},
): Promise<EditPreview> {
  const { form = "checkpoint", ...effects } = given;
  const before = [hashFiles(folder), readdirSync(folder)];
  const plan = { target: at("target"), source: at("source"), operations };
  try {
    return await previewEdit(
      { plan, form },
      createTestEffects({ machine: createMachine(at("cache")), ...effects }),
    );
  } finally {
    expect([hashFiles(folder), readdirSync(folder)]).toEqual(before);
    expect(existsSync(at("cache"))).toBe(false);
  }
}

/** ‖target − source‖ / ‖target‖ of a tensor of both checkpoints. */
async function measureApart(name: string): Promise<number> {
  const [target, source] = [await readNumbers(at("target"), name), await readNumbers(at("source"), name)];
  return distance(target, source) / sizeOf(target);
}

/** A clock that goes on by as much at each look. */
function createClock(stepMs: number): () => number {
  let nowMs = 0;
  return () => {
    nowMs += stepMs;
    return nowMs;
  };
}

describe("previewEdit()", () => {
  it("names each tensor that would be edited, and how far apart the checkpoints are in it", async () => {
    const { tensors, numUntouched } = await preview([restore]);
    const edited = { operation: "directions, top 3, layer 1", numVectors: 3 };
    expect(tensors).toEqual([
      { ...edited, name: up, shape: [40, 24], apart: expect.closeTo(await measureApart(up), 12) },
      { ...edited, name: query, shape: [24, 24], apart: expect.closeTo(await measureApart(query), 12) },
    ]);
    expect(numUntouched).toBe(buildModel("two").length - 2);
  });

  it("says nothing of a source for what takes nothing from it", async () => {
    const { tensors } = await preview([
      { operation: "truncate", keep: 0.25, strength: 1, matrices: query },
      { operation: "rollback", strength: 1, matrices: norm },
    ]);
    expect(tensors.map(({ name, numVectors, apart }) => [name, numVectors, apart !== undefined])).toEqual(
      expect.arrayContaining([
        [query, 6, false],
        [norm, 0, true],
      ]),
    );
    expect(tensors).toHaveLength(2);
  });

  it("counts the bytes to write: all weights of a checkpoint, the thin factors of an adapter", async () => {
    const numElements = buildModel("two").reduce((sum, { values }) => sum + values.length, 0);
    expect((await preview([restore])).numBytes).toBe(4 * numElements);
    // Twice 3 directions, for what goes and what comes; each has a number for every row and every column.
    const numBytes = 4 * 6 * (24 + 24) + 4 * 6 * (40 + 24);
    expect((await preview([restore], { form: "lora" })).numBytes).toBe(numBytes);
  });

  it("estimates the time from the speed of this machine's products, and the memory of the largest step", async () => {
    const { seconds, memoryBytes, numBytes } = await preview([{ ...restore, matrices: query }], {
      now: createClock(2000),
    });
    // 128³ multiplications took 2 s. Factorizing takes 1e8 for a start, n³ + 2 n³, and n² for each of 24 vectors.
    const cost = 2 * (1e8 + 3 * 24 ** 3 + 24 ** 2 * 24);
    expect(seconds).toBeCloseTo((1.2 * 1.5 * cost) / (128 ** 3 / 2) + numBytes / 2e8, 9);
    // Vectors of 3 directions of both sides and the thin factors made of them, in doubles; and blocks of rows.
    expect(memoryBytes).toBe(8 * 2 * (24 + 24) * (3 + 3) + 3 * 2 ** 24);
  });

  it("refuses as an adapter what the edit itself would refuse", async () => {
    const refused = preview([{ ...restore, top: 12 }], { form: "lora" });
    await expect(refused).rejects.toThrow(UsageError);
    await expect(preview([{ ...restore, top: 12 }], { form: "lora" })).rejects.toThrow("full rank 24");
    expect((await preview([{ ...restore, top: 12 }])).tensors).toHaveLength(2);
  });

  it("tells of each tensor as it is read, and stops before the next when asked to", async () => {
    const effects = createTestEffects();
    await preview([restore], { report: effects.report });
    expect(effects.events).toEqual([
      { kind: "progress", work: "edit", what: `read ${up}`, doneFraction: 0.5 },
      { kind: "progress", work: "edit", what: `read ${query}`, doneFraction: 1 },
    ]);
    const stop = new AbortController();
    const told: string[] = [];
    const report: Effects["report"] = (event) => {
      told.push(event.kind === "progress" ? event.what : event.kind);
      stop.abort();
    };
    await expect(preview([restore], { report, signal: stop.signal })).rejects.toThrow(StoppedError);
    expect(told).toEqual([`read ${up}`]);
  });
});
