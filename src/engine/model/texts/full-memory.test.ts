/** Texts while the kernels' memory is full, and what else goes on while they take their steps. */
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { readGoldenModel } from "../../../../test/golden-model.ts";
import { createRandom } from "../../../base/core/index.ts";
import { FullMemoryError, KernelMemory } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { greedy } from "../generation/sampling.ts";
import { initializeParameters, listParameters } from "../parameters.ts";
import type { Text } from "./text.ts";
import { createTextEngine } from "./text-engine.ts";
import { createTextPolicy } from "./text-policy.ts";

const { endToken: _, ...golden } = readGoldenModel("gqa-untied").config;
const config: ModelConfig = { ...golden, maxPositions: 300 };
const parameters = initializeParameters({ ...config, initializerRange: 0.4 }, createRandom(8, "full"));
const engine = createTextEngine(config, { numThreads: 1 });
const group = await engine.open(listParameters(config, parameters));
afterEach(() => {
  vi.restoreAllMocks();
  group.clear();
});
afterAll(() => engine.release());

const draw = (length: number): readonly number[] => {
  const random = createRandom(length, "prompt");
  return Array.from({ length }, () => random.integer(3, config.vocabularySize - 1));
};
const add = (length: number, maxNewTokens: number): Text =>
  group.add({ prompt: draw(length), maxNewTokens, sampling: greedy, random: createRandom(1) });

/** From now on there is no room for float arrays of a length that `isRefused`. */
function fillMemory(isRefused: (length: number) => boolean): void {
  const { allocate } = KernelMemory.prototype;
  vi.spyOn(KernelMemory.prototype, "allocate").mockImplementation(function (
    this: KernelMemory,
    ...[kind, length]: Parameters<KernelMemory["allocate"]>
  ) {
    if (kind === "float32" && isRefused(length)) throw new FullMemoryError("full");
    return allocate.call(this, kind, length);
  } as KernelMemory["allocate"]);
}

/** Numbers of a text's keys in a cache of so many slots. */
const sizeOfKeys = (C: number): number => config.numKeyValueHeads * config.headSize * C;

describe("where the memory is full", () => {
  it("fails the step of a text that grows, and can be cleared and used again", async () => {
    const [short, long] = [add(60, 5), add(60, 20)];
    for (let step = 0; step < 4; step++) await group.advance(1000);
    // In the next step one ends, and the other outgrows its cache.
    fillMemory((length) => length === sizeOfKeys(128));
    await expect(group.advance(1000)).rejects.toThrow(FullMemoryError);
    expect([short.end, long.end]).toEqual(["length", undefined]);
    vi.restoreAllMocks();
    group.clear();
    const again = add(60, 20);
    while (again.end === undefined) await group.advance(1000);
    expect(again.added.length).toBe(20);
  });

  it("goes on with arrays of which only some have grown", async () => {
    const lengths = [20, 21, 22];
    const texts = lengths.map((length) => add(length, 30));
    let numGrown = 0;
    // The third text needs room for four, of which two arrays get it. The next one tries twice: what was read last makes room.
    fillMemory((length) => length === 4 * sizeOfKeys(64) && ++numGrown > 2);
    await expect(group.advance(1000)).rejects.toThrow(FullMemoryError);
    expect(numGrown).toBe(4);
    vi.restoreAllMocks();
    group.drop(texts[1]!);
    const others = [add(23, 3), add(24, 30), add(25, 30)];
    const left = [texts[0]!, texts[2]!, ...others];
    while (left.some(({ end }) => end === undefined)) await group.advance(1000);
    group.clear();
    for (const text of left) {
      const { prompt, maxNewTokens } = text.request;
      const alone = add(prompt.length, maxNewTokens);
      while (alone.end === undefined) await group.advance(1000);
      expect(text.added).toEqual(alone.added);
    }
  });

  it("gives up what was read last for a text that needs its room", async () => {
    const first = add(100, 0);
    while (first.end === undefined) await group.advance(1000);
    let isFull = true;
    const { free } = KernelMemory.prototype;
    vi.spyOn(KernelMemory.prototype, "free").mockImplementation(function (this: KernelMemory, array) {
      isFull = false;
      free.call(this, array);
    });
    fillMemory((length) => isFull && length === sizeOfKeys(128));
    const second = add(101, 0);
    while (second.end === undefined) await group.advance(1000);
    expect([second.end, isFull]).toEqual(["length", false]);
  });
});

describe("while texts take their steps", () => {
  it("timers and signals have their turn", async () => {
    let numTicks = 0;
    const timer = setInterval(() => numTicks++, 0);
    const policy = createTextPolicy({ engine, group, batchSize: 4 });
    const requests = [20, 21, 22].map((length) => ({ prompt: draw(length), random: createRandom(1) }));
    await policy.generate(requests, { maxNewTokens: 200, sampling: greedy });
    clearInterval(timer);
    expect(numTicks).toBeGreaterThan(2);
  });
});
