import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { listFolders } from "../../base/file/index.ts";
import { findWeights } from "../../weights/checkpoint/index.ts";
import { unlessGone } from "./step-home.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

describe("unlessGone()", () => {
  it.each([
    ["its folders", listFolders],
    ["its weights", findWeights],
  ])("finds nothing in a folder that disappears while %s are looked for", async (_, look) => {
    const folder = join(place, "checkpoint-3.tmp");
    mkdirSync(folder);
    const found = await unlessGone(folder, async () => {
      rmSync(folder, { recursive: true });
      return await look(folder);
    });
    expect(found).toBeUndefined();
  });

  it("passes on what else goes wrong, and what was found", async () => {
    const fail = (): Promise<never> => Promise.reject(new RangeError("wrong"));
    await expect(unlessGone(place, fail)).rejects.toThrow(new RangeError("wrong"));
    expect(await unlessGone(place, async () => 1)).toBe(1);
  });
});
