/** Texts that take their steps together, and their cache, which grows and shrinks with them. */
import { FullMemoryError } from "../../tensor/index.ts";
import { roundUpLength } from "../batch.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { copySlots, createEmptyCache } from "../generation/key-value-cache.ts";
import { countTokens, type Text } from "./text.ts";
import { forgetRead, type TextComputer } from "./text-programs.ts";

/** Whose texts they are, and where their caches lie. */
type CachePlace = Pick<TextComputer, "config" | "kernels" | "lastRead">;

/** A layer's keys [B, K, D, C] and values [B, K, C, D], by name. Arrays are replaced as texts come and go. */
export type TextCache = Record<string, Float32Array>;

/** Texts that are read and take their steps together. */
export interface TextBatch {
  /** Texts that every array of its cache has room for. */
  readonly B: number;
  readonly C: number;
  readonly texts: readonly Text[];
  readonly cache: TextCache;
}

const smallestCache = 64;

/** Slots of a cache for so many tokens: few sizes, so few programs, and never more than the model has positions. */
export function fitCache({ maxPositions }: ModelConfig, numTokens: number): number {
  let C = smallestCache;
  while (C < numTokens) C *= 2;
  return Math.min(C, roundUpLength(maxPositions));
}

/** The smallest power of 2 that holds so many texts. */
function fitBatch(numTexts: number): number {
  return numTexts <= 1 ? numTexts : 2 * fitBatch(Math.ceil(numTexts / 2));
}

/** An empty cache, for which what was read last makes room. Whoever creates it frees it. Throws `FullMemoryError` where the memory is full. */
export function createCache(place: CachePlace, size: { readonly B: number; readonly C: number }): TextCache {
  const { config, kernels } = place;
  return kernels.memory.attempt(() => createEmptyCache(config, size, (length) => allocate(place, length)));
}

function allocate(place: CachePlace, length: number): Float32Array {
  const { memory } = place.kernels;
  try {
    return memory.allocate("float32", length);
  } catch (error) {
    if (!(error instanceof FullMemoryError) || place.lastRead === undefined) throw error;
    forgetRead(place);
    return memory.allocate("float32", length);
  }
}

/** Gives the memory of a cache back. */
export function freeCache({ kernels }: CachePlace, cache: TextCache): void {
  for (const array of Object.values(cache)) kernels.memory.free(array);
}

/** A text that joins a batch, and where its cache is copied from. */
export interface NewRow {
  readonly text: Text;
  readonly from: {
    readonly C: number;
    readonly cache: TextCache;
    readonly row: number;
  };
}

/** The batch with one more text, in arrays twice as large where it does not fit. Throws `FullMemoryError` where the memory is full; the batch stays as it is then. */
export function addRow(place: CachePlace, batch: TextBatch, { text, from }: NewRow): TextBatch {
  const { config } = place;
  const texts = [...batch.texts, text];
  const B = fitBatch(texts.length);
  const { C } = batch;
  if (batch.B === 0) Object.assign(batch.cache, createCache(place, { B, C }));
  else resize(place, batch, B);
  const length = countTokens(text) - 1;
  for (const [name, cache] of Object.entries(batch.cache)) {
    const source = { cache: from.cache[name] ?? cache, row: from.row, C: from.C };
    copySlots(source, { cache, row: texts.length - 1, C }, { config, name, length });
  }
  return { ...batch, B, texts };
}

/** What of a batch takes a step: as many rows as its texts need, in pairs, which products compute together. */
export function chooseStep(
  { config }: CachePlace,
  { B: room, C, texts, cache }: TextBatch,
): Omit<TextBatch, "texts"> {
  const B = Math.min(room, texts.length === 1 ? 1 : 2 * Math.ceil(texts.length / 2));
  const length = B * config.numKeyValueHeads * C * config.headSize;
  const rows = Object.entries(cache).map(([name, values]) => [name, values.subarray(0, length)] as const);
  return { B, C, cache: Object.fromEntries(rows) };
}

/** The batch without one of its texts, in smaller arrays where the rest fits. The last one takes its place; without any, its cache is freed. */
export function removeRow(place: CachePlace, batch: TextBatch, row: number): TextBatch {
  const { config } = place;
  const last = batch.texts.length - 1;
  const [moved] = batch.texts.slice(last);
  const { C } = batch;
  if (moved !== undefined && row !== last)
    for (const [name, cache] of Object.entries(batch.cache))
      copySlots(
        { cache, row: last, C },
        { cache, row, C },
        { config, name, length: Math.min(C, countTokens(moved)) },
      );
  const texts = batch.texts.slice(0, last).map((text, index) => (index === row ? (moved ?? text) : text));
  const B = fitBatch(texts.length);
  if (B === 0) freeCache(place, batch.cache);
  else resize(place, batch, B);
  return { ...batch, B, texts };
}

/**
 * Makes room for B texts in each array, one after the other, so that no two caches are there at once. Where it throws, some
 * arrays are larger than they need to be, which harms nothing.
 */
function resize(place: CachePlace, { C, cache }: TextBatch, B: number): void {
  const { config, kernels } = place;
  const length = B * config.numKeyValueHeads * C * config.headSize;
  for (const [name, values] of Object.entries(cache)) {
    if (values.length > length) cache[name] = kernels.memory.shorten(values, length);
    if (values.length >= length) continue;
    const larger = allocate(place, length);
    larger.set(values);
    kernels.memory.free(values);
    cache[name] = larger;
  }
}
