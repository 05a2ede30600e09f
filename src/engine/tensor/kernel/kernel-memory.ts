/**
 * One shared memory of up to 4 GiB that kernels compute in: arrays are allocated and freed, and a workspace is shared by
 * all programs, of which one runs at a time.
 */
import { UsageError } from "../../../base/core/index.ts";
import type { ProgramMemory } from "../../../base/machine/index.ts";

/** Arrays that live in kernel memory, by the kind of their elements; bfloat16 is `uint16`. */
export interface KernelArrays {
  readonly float32: Float32Array;
  readonly int32: Int32Array;
  readonly uint16: Uint16Array;
}

/** There is no room for more in a memory. */
export class FullMemoryError extends UsageError {
  override readonly name = "FullMemoryError";
}

/** A block of memory by its first byte. */
interface Span {
  start: number;
  size: number;
}

const alignment = 64;
const pageBytes = 65_536;
/** What vectors may read beyond an array's end. */
const slackBytes = 32;

/** Memory for the arrays of one set of kernels. */
export class KernelMemory {
  /** Bytes that any memory has at most. */
  static readonly mostBytes = 2 ** 32;
  readonly #memory: ProgramMemory;
  /** Free spans in order, never neighbors. */
  readonly #free: Span[] = [];
  readonly #taken = new Map<number, number>();
  /** The buffer is another object some time after each growth, and arrays keep the one that they were made of. */
  readonly #buffers = new WeakSet<ArrayBufferLike>();
  #end: number;
  /** Beyond, nothing was ever written, and all is 0. */
  #untouched: number;
  #workspace: Span = { start: 0, size: 0 };
  #numWorkspaces = 0;

  /** `start` is the first byte that is not the program's own. */
  constructor(memory: ProgramMemory, start: number) {
    this.#memory = memory;
    this.#end = roundUp(start, alignment);
    this.#untouched = this.#end;
  }

  /** Bytes that are allocated, of `mostBytes`. */
  get numBytes(): number {
    return [...this.#taken.values()].reduce((sum, size) => sum + size, 0);
  }

  /** An array of zeros. Throws `FullMemoryError` where 4 GiB do not hold it. */
  allocate<Kind extends keyof KernelArrays>(kind: Kind, length: number): KernelArrays[Kind] {
    const untouched = this.#untouched;
    const place = this.take(length * elementBytes[kind]);
    const array = this.view(kind, place, length);
    if (place < untouched) array.fill(0);
    return array;
  }

  /** Gives an array's memory back; the array must not be used any more. Throws `RangeError` where it was not allocated here. */
  free(array: KernelArrays[keyof KernelArrays]): void {
    if (!this.owns(array)) throw new RangeError("Cannot free an array of another memory");
    this.give(array.byteOffset);
  }

  /** The first numbers of an array, whose others' memory it gives back; the array must not be used any more. Throws as `free`. */
  shorten(array: Float32Array, length: number): Float32Array {
    if (!this.owns(array)) throw new RangeError("Cannot shorten an array of another memory");
    const address = array.byteOffset;
    const before = this.#sizeOf(address);
    const size = sizeOfBlock(length * elementBytes.float32);
    if (size > before) throw new RangeError(`Cannot shorten ${array.length} numbers to ${length}`);
    if (size < before) {
      this.#taken.set(address, size);
      this.#release({ start: address + size, size: before - size });
    }
    return this.view("float32", address, length);
  }

  /** Does work that allocates; where it throws, gives back what it has allocated. */
  attempt<Result>(work: () => Result): Result {
    const before = new Set(this.#taken.keys());
    try {
      return work();
    } catch (error) {
      for (const address of [...this.#taken.keys()]) if (!before.has(address)) this.give(address);
      throw error;
    }
  }

  /** Whether an array lies in this memory. */
  owns({ buffer }: { readonly buffer: ArrayBufferLike }): boolean {
    return this.#buffers.has(buffer);
  }

  /** Numbers at an address. */
  view<Kind extends keyof KernelArrays>(kind: Kind, address: number, length: number): KernelArrays[Kind] {
    const { buffer } = this.#memory;
    this.#buffers.add(buffer);
    return viewers[kind](buffer, address, length);
  }

  /** The address of so many bytes. Throws as `allocate`. */
  take(numBytes: number): number {
    const size = sizeOfBlock(numBytes);
    const span = this.#free.filter((free) => free.size >= size).sort((a, b) => a.size - b.size)[0];
    const start = span?.start ?? this.#extend(size);
    if (span !== undefined) {
      span.start += size;
      span.size -= size;
      if (span.size === 0) this.#free.splice(this.#free.indexOf(span), 1);
    }
    this.#taken.set(start, size);
    return start;
  }

  /** Gives back what `take` gave. */
  give(address: number): void {
    const size = this.#sizeOf(address);
    this.#taken.delete(address);
    this.#release({ start: address, size });
  }

  #sizeOf(address: number): number {
    const size = this.#taken.get(address);
    if (size === undefined) throw new RangeError("Cannot free memory that is not allocated");
    return size;
  }

  /** Makes a span free. */
  #release(freed: Span): void {
    this.#free.push(freed);
    this.#free.sort((a, b) => a.start - b.start);
    for (let index = this.#free.length - 1; index > 0; index--) {
      const [before, span] = [this.#free[index - 1], this.#free[index]];
      if (before === undefined || span === undefined || before.start + before.size !== span.start) continue;
      before.size += span.size;
      this.#free.splice(index, 1);
    }
    const last = this.#free.at(-1);
    if (last === undefined || last.start + last.size !== this.#end) return;
    this.#end = last.start;
    this.#free.pop();
  }

  #extend(size: number): number {
    const start = this.#end;
    const missing = start + size + slackBytes - this.#memory.buffer.byteLength;
    if (missing > 0) this.#grow(Math.ceil(missing / pageBytes), size);
    this.#end = start + size;
    this.#untouched = Math.max(this.#untouched, this.#end);
    return start;
  }

  #grow(numPages: number, size: number): void {
    try {
      this.#memory.grow(numPages);
    } catch (cause) {
      const [wanted, used] = [size, this.numBytes].map((bytes) => `${Math.ceil(bytes / 2 ** 20)} MiB`);
      throw new FullMemoryError(
        `Cannot hold ${wanted} more in the engine's memory, which has ${used} in use and at most 4 GiB: use a smaller model, or fewer or shorter texts at a time`,
        { cause },
      );
    }
  }

  /**
   * Memory that programs take turns in, of at least that size. Where it has to move, its number changes, and what lay
   * in it is lost.
   */
  reserveWorkspace(numBytes: number): { readonly start: number; readonly number: number } {
    if (numBytes > this.#workspace.size) {
      this.releaseWorkspace();
      this.#workspace = { start: this.take(numBytes), size: numBytes };
    }
    return { start: this.#workspace.start, number: this.#numWorkspaces };
  }

  /** Gives the workspace back until a program needs it. */
  releaseWorkspace(): void {
    if (this.#workspace.size > 0) this.give(this.#workspace.start);
    this.#workspace = { start: 0, size: 0 };
    this.#numWorkspaces++;
  }
}

const elementBytes = { float32: 4, int32: 4, uint16: 2 } as const;

const viewers: {
  readonly [Kind in keyof KernelArrays]: (
    buffer: SharedArrayBuffer,
    address: number,
    length: number,
  ) => KernelArrays[Kind];
} = {
  float32: (buffer, address, length) => new Float32Array(buffer, address, length),
  int32: (buffer, address, length) => new Int32Array(buffer, address, length),
  uint16: (buffer, address, length) => new Uint16Array(buffer, address, length),
};

/** Bytes that an allocation takes. */
function sizeOfBlock(numBytes: number): number {
  return roundUp(numBytes + slackBytes, alignment);
}

function roundUp(size: number, multiple: number): number {
  return Math.ceil(size / multiple) * multiple;
}
