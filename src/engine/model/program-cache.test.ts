import { expect, it } from "vitest";
import { createProgramCache } from "./program-cache.ts";

it("createProgramCache() builds each size once, and frees the one that was not used for longest", async () => {
  const log: string[] = [];
  const cache = createProgramCache(
    async ({ B, T }) => {
      log.push(`build ${B} ${T}`);
      return { B, T, release: async () => void log.push(`release ${B} ${T}`) };
    },
    { most: 2 },
  );
  for (const [B, T] of [
    [1, 8],
    [2, 8],
    [1, 8],
    [1, 16],
    [2, 8],
  ] as const)
    expect(await cache.find({ B, T })).toMatchObject({ B, T });
  const expected = ["build 1 8", "build 2 8", "build 1 16", "release 2 8", "build 2 8", "release 1 8"];
  expect(log).toEqual(expected);
  await cache.release();
  expect(log.slice(expected.length)).toEqual(["release 1 16", "release 2 8"]);
});

it("createProgramCache() tells sizes apart by their names, in whatever order these come", async () => {
  let numBuilt = 0;
  const cache = createProgramCache(async (size: { readonly B: number; readonly T: number }) => {
    numBuilt += 1;
    return { ...size, release: async () => undefined };
  });
  const first = await cache.find({ B: 1, T: 8 });
  expect(await cache.find({ T: 8, B: 1 })).toBe(first);
  expect(await cache.find({ T: 1, B: 8 })).toMatchObject({ B: 8, T: 1 });
  expect(numBuilt).toBe(2);
});

it("createProgramCache() builds again what could not be built, and frees the others", async () => {
  const log: string[] = [];
  let isFull = true;
  const cache = createProgramCache(async ({ B }: { readonly B: number }) => {
    if (B === 2 && isFull) throw new Error("no memory");
    return { B, release: async () => void log.push(`release ${B}`) };
  });
  await cache.find({ B: 1 });
  await expect(cache.find({ B: 2 })).rejects.toThrow("no memory");
  isFull = false;
  expect(await cache.find({ B: 2 })).toMatchObject({ B: 2 });
  isFull = true;
  await cache.release();
  expect(log).toEqual(["release 1", "release 2"]);
  const failing = expect(cache.find({ B: 2 })).rejects.toThrow("no memory");
  await cache.release();
  await failing;
});
