/**
 * When instructions run and where their results lie: stages of instructions that do not depend on each other, and one
 * arena in which results that are not needed at the same time share memory.
 */
import { requireValue } from "../../../../base/core/index.ts";
import type { Instruction, ResultStorage, Storage } from "./instruction.ts";

/** Instructions that may run at the same time. */
export type Stage = readonly Instruction[];

/** How many stages an instruction may come before the newest one. Results that are made much too early take memory. */
const reach = 6;
/** Chunks of a stage: it counts them in 16 bits. */
const mostChunks = 60_000;

/** Instructions in stages, each as early as what it reads allows, within reach. */
export function makeStages(instructions: readonly Instruction[]): readonly Stage[] {
  const stages: Instruction[][] = [];
  const numChunks: number[] = [];
  const lastWrite = new Map<Storage, number>();
  const lastRead = new Map<Storage, number>();
  const after = (found: ReadonlyMap<Storage, number>, storages: readonly Storage[]): number =>
    storages.reduce((most, storage) => Math.max(most, (found.get(storage) ?? -1) + 1), 0);
  for (const instruction of instructions) {
    const { reads, writes } = instruction;
    let index = Math.max(after(lastWrite, reads), after(lastRead, writes), stages.length - reach);
    while ((numChunks[index] ?? 0) + instruction.numChunks > mostChunks && index < stages.length) index++;
    stages[index] = [...(stages[index] ?? []), instruction];
    numChunks[index] = (numChunks[index] ?? 0) + instruction.numChunks;
    for (const storage of reads) lastRead.set(storage, Math.max(lastRead.get(storage) ?? 0, index));
    for (const storage of writes) lastWrite.set(storage, Math.max(lastWrite.get(storage) ?? 0, index));
  }
  return stages;
}

/** Where results lie: bytes from the arena's start. */
export interface Arena {
  readonly offsets: ReadonlyMap<ResultStorage, number>;
  readonly numBytes: number;
}

interface Life {
  readonly first: number;
  last: number;
}

/** Memory for all results; those of one stage, and those that are needed across it, never overlap. */
export function placeResults(stages: readonly Stage[]): Arena {
  const lives = findLives(stages);
  const [born, dying] = [groupBy(lives, ({ first }) => first), groupBy(lives, ({ last }) => last)];
  const offsets = new Map<ResultStorage, number>();
  const free = new FreeList();
  for (const stage of stages.keys()) {
    for (const storage of born.get(stage) ?? []) offsets.set(storage, free.take(sizeInArena(storage)));
    for (const storage of dying.get(stage) ?? [])
      if (!storage.isKept) free.give(requireValue(offsets, storage), sizeInArena(storage));
  }
  return { offsets, numBytes: free.end };
}

function findLives(stages: readonly Stage[]): ReadonlyMap<ResultStorage, Life> {
  const lives = new Map<ResultStorage, Life>();
  for (const [index, stage] of stages.entries())
    for (const { reads, writes } of stage)
      for (const storage of [...reads, ...writes]) {
        if (storage.kind !== "result") continue;
        const life = lives.get(storage);
        if (life === undefined) lives.set(storage, { first: index, last: index });
        else life.last = index;
      }
  return lives;
}

function groupBy(
  lives: ReadonlyMap<ResultStorage, Life>,
  key: (life: Life) => number,
): ReadonlyMap<number, readonly ResultStorage[]> {
  const groups = new Map<number, ResultStorage[]>();
  for (const [storage, life] of lives) {
    const group = groups.get(key(life)) ?? [];
    group.push(storage);
    groups.set(key(life), group);
  }
  return groups;
}

/** Whole lines of the cache, and room for vectors that are read beyond the last element. */
function sizeInArena({ numElements }: ResultStorage): number {
  return Math.ceil((numElements * Float32Array.BYTES_PER_ELEMENT + 16) / 64) * 64;
}

/** Spans of memory that are free, in order and never neighbors; what lies beyond `end` has never been used. */
class FreeList {
  end = 0;
  readonly #spans: { start: number; size: number }[] = [];

  /** The start of the smallest free span that has room. */
  take(size: number): number {
    let best: { start: number; size: number } | undefined;
    for (const span of this.#spans)
      if (span.size >= size && (best === undefined || span.size < best.size)) best = span;
    if (best === undefined) return this.#grow(size);
    const { start } = best;
    best.start += size;
    best.size -= size;
    if (best.size === 0) this.#spans.splice(this.#spans.indexOf(best), 1);
    return start;
  }

  /** Takes from the end, where the last span may have a part. */
  #grow(size: number): number {
    const last = this.#spans.at(-1);
    const start = last !== undefined && last.start + last.size === this.end ? last.start : this.end;
    if (start !== this.end) this.#spans.pop();
    this.end = start + size;
    return start;
  }

  give(start: number, size: number): void {
    const found = this.#spans.findIndex((span) => span.start > start);
    const index = found < 0 ? this.#spans.length : found;
    const [before, next] = [this.#spans[index - 1], this.#spans[index]];
    const span = { start, size };
    if (next !== undefined && start + size === next.start) {
      span.size += next.size;
      this.#spans.splice(index, 1);
    }
    if (before !== undefined && before.start + before.size === start) before.size += span.size;
    else this.#spans.splice(index, 0, span);
  }
}
