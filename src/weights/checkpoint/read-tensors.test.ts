import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import { problemOf } from "../../../test/support/checkpoint-folder.ts";
import { createWorkplace } from "../../../test/support/untwist.ts";
import { writeCheckpoint } from "./checkpoint.ts";
import { type ExpectedTensors, readTensors, type StoredNumbers } from "./read-tensors.ts";
import type { WritableTensor } from "./safetensors/safetensors-write.ts";

interface Expected {
  readonly checkpoint: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly floatBits: readonly number[];
  }[];
}

const golden = fileURLToPath(new URL("../../../test/golden/checkpoint/", import.meta.url));
const readExpected = async (): Promise<Expected> =>
  JSON.parse(await readFile(join(golden, "expected.json"), "utf8"));
/** Bits of 32-bit floats, whose upper halves are those of bfloat16. */
const bitsOf = (numbers: StoredNumbers): number[] =>
  numbers instanceof Uint16Array
    ? Array.from(numbers, (half) => half * 2 ** 16)
    : [...new Uint32Array(numbers.slice().buffer)];
const folder = createWorkplace().at("step-10");

const tensorOf = (name: string, shape: readonly number[]): WritableTensor => ({
  name,
  dtype: "F32",
  shape,
  data: () => new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.5),
});

async function readAll(
  from: string,
  expected: ExpectedTensors,
): Promise<readonly (readonly [string, StoredNumbers])[]> {
  const all: (readonly [string, StoredNumbers])[] = [];
  for await (const tensor of readTensors(from, expected)) all.push(tensor);
  return all;
}

describe("readTensors()", () => {
  const shapes = new Map<string, readonly number[]>([
    ["b", [2]],
    ["a", [2, 3]],
  ]);
  beforeEach(() =>
    writeCheckpoint(folder, {
      config: {},
      tensors: [...shapes].map(([name, shape]) => tensorOf(name, shape)),
    }),
  );

  it("gives all tensors in the expected order", async () => {
    expect(await readAll(folder, { shapes })).toEqual([
      ["b", new Float32Array(2).fill(0.5)],
      ["a", new Float32Array(6).fill(0.5)],
    ]);
    const sharded = await readAll(join(golden, "sharded"), {
      shapes: new Map((await readExpected()).checkpoint.map(({ name, shape }) => [name, shape])),
    });
    expect(sharded.map(([, data]) => bitsOf(data))).toEqual(
      (await readExpected()).checkpoint.map(({ floatBits }) => floatBits),
    );
    // Of each number format there is one.
    expect(new Set(sharded.map(([, data]) => data.constructor))).toEqual(
      new Set([Float32Array, Uint16Array]),
    );
  });

  it.each<[string, [string, readonly number[]][], string, string]>([
    ["missing", [...shapes, ["c", []]], "c", "it is missing"],
    ["extra", [["a", [2, 3]]], "b", "the model has no such tensor"],
    [
      "turned",
      [
        ["a", [3, 2]],
        ["b", [2]],
      ],
      "a",
      "its shape is [2, 3], the model needs [3, 2]",
    ],
    [
      "of another rank",
      [
        ["a", [2, 3]],
        ["b", [2, 1]],
      ],
      "b",
      "its shape is [2], the model needs [2, 1]",
    ],
  ])("refuses a tensor that is %s, naming file and tensor", async (_, expected, tensor, problem) => {
    const error = await problemOf(readAll(folder, { shapes: new Map(expected) }));
    expect(error.message).toBe(
      `Cannot read tensor "${tensor}" of "${folder}/model.safetensors": ${problem}; use a checkpoint of this model and size`,
    );
    expect(error).toMatchObject({ path: `${folder}/model.safetensors`, tensor });
  });

  it("takes tensors by other names, and leaves out what is not needed", async () => {
    const rename = (name: string): string | undefined => (name === "b" ? undefined : `model.${name}`);
    expect(await readAll(folder, { shapes: new Map([["model.a", [2, 3]]]), rename })).toEqual([
      ["model.a", new Float32Array(6).fill(0.5)],
    ]);
  });

  it("refuses two tensors of one name", async () => {
    const error = await problemOf(readAll(folder, { shapes, rename: () => "a" }));
    expect(error.message).toContain('it is there twice, also as "a"');
  });
});
