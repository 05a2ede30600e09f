import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckpointError } from "../checkpoint-error.ts";
import { decodeFloats, encodeFloats, type WritableDtype } from "../dtype.ts";
import { openSafetensors, type TensorData } from "./safetensors-read.ts";
import { type WritableTensor, writeSafetensors } from "./safetensors-write.ts";

interface ExpectedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: readonly number[];
  readonly floatBits?: readonly number[];
}
interface Expected {
  readonly files: readonly {
    readonly file: string;
    readonly metadata: Record<string, string>;
    readonly tensors: readonly ExpectedTensor[];
  }[];
}

const golden = fileURLToPath(new URL("../../../../test/golden/checkpoint/", import.meta.url));
const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.slice().buffer);
const floatsOf = (bits: Iterable<number>): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);
const readExpected = async (): Promise<Expected> =>
  JSON.parse(await readFile(join(golden, "expected.json"), "utf8"));

/** The float patterns of every tensor of a file. */
async function readAll(path: string): Promise<Map<string, TensorData>> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, TensorData>();
    for (const name of file.header.tensors.keys()) tensors.set(name, await file.readTensor(name));
    return tensors;
  } finally {
    await file.close();
  }
}

let folder = "";
let path = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-safetensors-"));
  path = join(folder, "model.safetensors");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const tensorOf = (
  name: string,
  values: readonly number[],
  shape: readonly number[] = [values.length],
): WritableTensor => ({
  name,
  dtype: "F32",
  shape,
  data: () => Float32Array.from(values),
});

describe("openSafetensors()", () => {
  it("reads the golden files as the independent writer described them", async () => {
    for (const { file, metadata, tensors } of (await readExpected()).files) {
      const opened = await openSafetensors(join(golden, file));
      expect(Object.fromEntries(opened.header.metadata)).toEqual(metadata);
      expect([...opened.header.tensors.keys()]).toEqual(tensors.map((tensor) => tensor.name));
      for (const { name, dtype, shape, bytes, floatBits } of tensors) {
        expect(opened.header.tensors.get(name)).toMatchObject({ dtype, shape });
        expect([...(await opened.readBytes(name))]).toEqual(bytes);
        if (floatBits === undefined) continue;
        const read = await opened.readTensor(name);
        expect(read).toMatchObject({ dtype, shape });
        expect([...bitsOf(read.data)]).toEqual(floatBits);
      }
      await opened.close();
    }
  });

  it("names file and tensor when a tensor is missing or no float", async () => {
    const mixed = join(golden, "mixed.safetensors");
    const file = await openSafetensors(mixed);
    await expect(file.readTensor("position_ids")).rejects.toThrow(
      new CheckpointError("I64 numbers cannot be read as floats; save it as F32, F16 or BF16", {
        path: mixed,
        tensor: "position_ids",
      }),
    );
    for (const read of [() => file.readTensor("nowhere"), () => file.readBytes("nowhere")])
      await expect(read()).rejects.toThrow(
        `Cannot read tensor "nowhere" of "${mixed}": there is no such tensor in it; check the name or use another checkpoint`,
      );
    await file.close();
  });

  it("throws CheckpointError for a file cut at any length, a missing file and a folder", async () => {
    const bytes = await readFile(join(golden, "f32.safetensors"));
    const cut = join(folder, "cut.safetensors");
    for (let length = 0; length < bytes.length; length++) {
      await writeFile(cut, bytes.subarray(0, length));
      await expect(openSafetensors(cut)).rejects.toThrow(CheckpointError);
    }
    await expect(openSafetensors(join(folder, "missing"))).rejects.toThrow(
      new CheckpointError("no such file or folder; check the path", { path: join(folder, "missing") }),
    );
    await expect(openSafetensors(folder)).rejects.toThrow(CheckpointError);
  });

  it("throws CheckpointError when the file becomes shorter while it is open", async () => {
    await writeSafetensors(path, [tensorOf("a", [1, 2, 3])]);
    const file = await openSafetensors(path);
    await truncate(path, 100);
    await expect(file.readTensor("a")).rejects.toThrow(`Cannot read tensor "a" of "${path}": its bytes`);
    await expect(file.readBytes("a")).rejects.toThrow(CheckpointError);
    await file.close();
  });

  it.runIf(process.platform === "linux")("closes the file when its header is malformed", async () => {
    await writeFile(path, "not a checkpoint");
    const numOpen = (await readdir("/proc/self/fd")).length;
    for (let attempt = 0; attempt < 5; attempt++)
      await expect(openSafetensors(path)).rejects.toThrow(CheckpointError);
    expect((await readdir("/proc/self/fd")).length).toBe(numOpen);
  });
});

describe("writeSafetensors()", () => {
  it("reads back any F32 bits in any shapes, and F16 and BF16 rounded", async () => {
    const tensor = fc
      .tuple(fc.constantFrom<WritableDtype[]>("F32", "F16", "BF16"), fc.array(fc.nat(4), { maxLength: 4 }))
      .chain(([dtype, shape]) => {
        const length = shape.reduce((product, size) => product * size, 1);
        const bits = fc.uint32Array({ minLength: length, maxLength: length });
        return fc.record({ dtype: fc.constant(dtype), shape: fc.constant(shape), bits });
      });
    const names = fc.constantFrom("__proto__", "toString", "größe").chain((odd) =>
      fc
        .string({ unit: "binary", maxLength: 5 })
        .filter((name) => name !== "__metadata__")
        .map((name) => name || odd),
    );
    const tensors = fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(tensors, async (list) => {
        const writable = list.map(([name, { dtype, shape, bits }]) => ({
          name,
          dtype,
          shape,
          data: () => floatsOf(bits),
        }));
        await writeSafetensors(path, writable);
        const read = await readAll(path);
        expect(read.size).toBe(list.length);
        for (const [name, { dtype, shape, bits }] of list) {
          expect(read.get(name)).toMatchObject({ dtype, shape });
          const rounded = decodeFloats(encodeFloats(floatsOf(bits), dtype), dtype);
          expect(bitsOf(read.get(name)!.data)).toEqual(dtype === "F32" ? bits : bitsOf(rounded));
        }
      }),
      { numRuns: 100 },
    );
  });

  it("writes the bytes of the independent writer, in whatever order the tensors come", async () => {
    const written = (await readExpected()).files.find(({ file }) => file === "written.safetensors")!;
    const tensors = written.tensors.map(
      ({ name, dtype, shape, floatBits }): WritableTensor => ({
        name,
        dtype: dtype === "F32" || dtype === "F16" ? dtype : "BF16",
        shape,
        data: async () => floatsOf(floatBits!),
      }),
    );
    const reference = await readFile(join(golden, "written.safetensors"));
    for (const ordered of [tensors, tensors.toReversed()]) {
      await writeSafetensors(path, new Set(ordered));
      expect(await readFile(path)).toEqual(reference);
    }
  });

  it("starts the tensors at a multiple of 8 bytes", async () => {
    for (let length = 0; length < 9; length++) {
      await writeSafetensors(path, [tensorOf("n".repeat(length), [1])], {});
      const file = await openSafetensors(path);
      expect(file.header.tensors.get("n".repeat(length))!.start % 8).toBe(0);
      expect(file.header.metadata.size).toBe(0);
      await file.close();
    }
  });

  it("converts tensors beyond one chunk without a seam", async () => {
    const length = 9 * 2 ** 20 + 1;
    const values = Float32Array.from({ length }, (_, index) => index % 256);
    await writeSafetensors(path, [
      { name: "wide", dtype: "F32", shape: [length], data: () => values },
      { name: "narrow", dtype: "BF16", shape: [length], data: () => values },
    ]);
    for (const { data } of (await readAll(path)).values())
      expect(Buffer.compare(Buffer.from(data.buffer), Buffer.from(values.buffer))).toBe(0);
  });

  it("refuses names and shapes that are none, and leaves no file", async () => {
    const target = join(folder, "refused", "model.safetensors");
    const refused: [WritableTensor[], string][] = [
      [[tensorOf("a", [1]), tensorOf("a", [2])], 'Cannot write tensor "a": the name is taken'],
      [[tensorOf("__metadata__", [1])], 'Cannot write tensor "__metadata__": the name is taken'],
      [[tensorOf("a", [1], [-1])], 'Cannot write tensor "a": [-1] is not a shape'],
      [[tensorOf("a", [1], [2 ** 50, 8])], "is not a shape"],
    ];
    for (const [tensors, message] of refused) {
      await expect(writeSafetensors(target, tensors)).rejects.toThrow(RangeError);
      await expect(writeSafetensors(target, tensors)).rejects.toThrow(message);
    }
    const unfilled = writeSafetensors(target, [tensorOf("a", [1, 2]), tensorOf("b", [1, 2], [3])]);
    await expect(unfilled).rejects.toThrow(
      new TypeError('Cannot write tensor "b": 2 values do not fill [3]'),
    );
    expect(await readdir(join(folder, "refused"))).toEqual([]);
  });
});
