import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { measureCache, pruneCache } from "./cache-use.ts";
import { cacheVersion } from "./factor-cache.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

describe("pruneCache()", () => {
  it("leaves what another process is writing", async () => {
    const place = join(folder, `portable-${cacheVersion}`, "factors", "ab");
    mkdirSync(place, { recursive: true });
    const unfinished = join(place, ".untwist-00000000-00000000--1-000000000000.tmp");
    for (const path of [join(place, "entry"), unfinished]) writeFileSync(path, "12345");
    expect((await measureCache(folder)).kinds).toMatchObject({
      factors: { numFiles: 1, numBytes: 5 },
      "other files": { numFiles: 1, numBytes: 5 },
    });
    expect(await pruneCache(folder, Number.POSITIVE_INFINITY)).toEqual({ numFiles: 1, numBytes: 5 });
    expect([existsSync(join(place, "entry")), existsSync(unfinished)]).toEqual([false, true]);
  });
});
