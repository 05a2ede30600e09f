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
