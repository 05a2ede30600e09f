/** Memory of kernels: allocated, freed, grown and full; and kernels of which a thread has failed. */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../base/core/index.ts";
import * as op from "../operations.ts";
import { openKernels } from "./host.ts";
import { KernelMemory } from "./kernel-memory.ts";
import { planProgram } from "./program.ts";

/** A memory of `mostPages`, of which one is there at first. */
function createMemory(mostPages: number): KernelMemory {
  let buffer = new SharedArrayBuffer(65_536);
  return new KernelMemory(
    {
      get buffer() {
        return buffer;
      },
      grow: (numPages) => {
        const size = buffer.byteLength + numPages * 65_536;
        if (size > mostPages * 65_536) throw new RangeError("full");
        buffer = new SharedArrayBuffer(size);
        return numPages;
      },
    },
    1000,
  );
}

describe("KernelMemory", () => {
  it("gives arrays that do not overlap, and takes freed ones again", () => {
    const memory = createMemory(100);
    const [first, second] = [memory.allocate("float32", 1000), memory.allocate("uint16", 777)];
    const third = memory.allocate("int32", 5);
    expect([first.length, second.length, third.length]).toEqual([1000, 777, 5]);
    expect(second.byteOffset).toBeGreaterThanOrEqual(first.byteOffset + first.byteLength);
    expect(third.byteOffset).toBeGreaterThanOrEqual(second.byteOffset + second.byteLength);
    first.fill(7);
    memory.free(first);
    const again = memory.allocate("float32", 900);
    expect(again.byteOffset).toBe(first.byteOffset);
    expect(again.every((value) => value === 0)).toBe(true);
  });

  it("gives back what an array is shortened by, and keeps its first numbers", () => {
    const memory = createMemory(100);
    const array = memory.allocate("float32", 1000).fill(3);
    const after = memory.allocate("float32", 10);
    const shorter = memory.shorten(array, 250);
    expect([...shorter]).toEqual(new Array(250).fill(3));
    const between = memory.allocate("float32", 700);
    expect(between.byteOffset).toBeGreaterThanOrEqual(shorter.byteOffset + shorter.byteLength);
    expect(between.byteOffset + between.byteLength).toBeLessThanOrEqual(after.byteOffset);
    expect(between.every((value) => value === 0)).toBe(true);
    expect(memory.shorten(shorter, 250)).toEqual(shorter);
    expect(() => memory.shorten(shorter, 400)).toThrow("Cannot shorten 250 numbers to 400");
    for (const taken of [between, after, shorter]) memory.free(taken);
    expect(memory.numBytes).toBe(0);
    expect(() => memory.shorten(shorter, 1)).toThrow("not allocated");
    expect(() => memory.shorten(new Float32Array(8), 1)).toThrow("another memory");
  });

  it("is empty when all is freed, in any order", () => {
    const memory = createMemory(100);
    const arrays = [300, 20, 4000, 1, 77].map((length) => memory.allocate("float32", length));
    for (const index of [3, 1, 4, 0, 2]) memory.free(arrays[index]!);
    expect(memory.numBytes).toBe(0);
    expect(memory.allocate("float32", 5000).byteOffset).toBe(arrays[0]!.byteOffset);
  });

  it("grows until it is full, and says so", () => {
    const memory = createMemory(32);
    memory.allocate("float32", 2 ** 18);
    expect(() => memory.allocate("float32", 2 ** 18)).toThrow(UsageError);
    expect(() => memory.allocate("float32", 2 ** 18)).toThrow("Cannot hold 2 MiB more");
    expect(memory.allocate("float32", 1000).length).toBe(1000);
  });

  it("gives back what work had allocated that failed", () => {
    const memory = createMemory(32);
    const kept = memory.attempt(() => memory.allocate("float32", 1000));
    const before = memory.numBytes;
    const work = (): unknown => [1000, 2000, 2 ** 20].map((length) => memory.allocate("float32", length));
    expect(() => memory.attempt(work)).toThrow("Cannot hold 5 MiB more");
    expect(memory.numBytes).toBe(before);
    memory.free(kept);
    expect(memory.numBytes).toBe(0);
  });

  it("refuses to free what it did not give", () => {
    const memory = createMemory(2);
    const array = memory.allocate("float32", 10);
    expect(() => memory.free(new Float32Array(10))).toThrow("another memory");
    expect(() => memory.free(array.subarray(1))).toThrow("not allocated");
    memory.free(array);
    expect(() => memory.free(array)).toThrow("not allocated");
  });
});

describe("Kernels", () => {
  it("hold arrays of more than 2 GiB, wherever they lie", () => {
    const kernels = openKernels({ numThreads: 2 });
    const large = kernels.memory.allocate("uint16", 1.2 * 2 ** 30);
    const x = kernels.memory.allocate("float32", 1000);
    expect(x.byteOffset).toBeGreaterThan(2 ** 31);
    const program = planProgram({ y: op.add(op.input("x", [1000]), 1) }, kernels);
    expect(program.run({ x: x.fill(2) }).y.every((value) => value === 3)).toBe(true);
    expect(() => kernels.memory.allocate("float32", 2 ** 29)).toThrow("at most 4 GiB");
    kernels.memory.free(large);
    kernels.close();
  });

  it("run nothing any more once a thread has failed", () => {
    const kernels = openKernels({ numThreads: 2 });
    const program = planProgram({ y: op.exp(op.input("x", [4])) }, kernels);
    expect(program.run({ x: new Float32Array(4) }).y[0]).toBe(1);
    // A tape that names a kernel that there is not.
    const tape = kernels.memory.allocate("int32", 7);
    tape.set([1, 64, 99, 3, 64, 0, 0]);
    expect(() => kernels.run(tape.byteOffset, 0)).toThrow();
    expect(() => program.run({})).toThrow("a thread of the kernels has failed");
    kernels.close();
  });

  it("name the input that is missing, too short or of another kind", () => {
    const kernels = openKernels({ numThreads: 1 });
    const program = planProgram(
      { y: op.gatherRows(op.input("x", [2, 2]), op.input("ids", [1], "int32")) },
      kernels,
    );
    const [x, ids] = [Float32Array.of(1, 2, 3, 4), Int32Array.of(1)];
    expect(() => program.run({ x })).toThrow('input "ids" is not fed');
    expect(() => program.run({ x: x.subarray(1), ids })).toThrow(
      'Cannot feed 3 values to "x", which takes 4',
    );
    expect(() => program.run({ x, ids: Float32Array.of(1) })).toThrow('Cannot feed "ids" with Float32Array');
    expect(() => program.run({ x, ids: Int32Array.of(2) })).toThrow("outside its table");
    expect([...program.run({ x, ids }).y]).toEqual([3, 4]);
    program.release();
    kernels.close();
  });
});
