import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { computeSpectra } from "./compute-spectra.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

describe("computeSpectra()", () => {
  it("refuses to take two tensors of which nothing is known for the same one", async () => {
    const place = async (name: string): Promise<{ readonly name: string; readonly folder: string }> => ({
      name,
      folder: await writeCheckpointFolder(join(folder, name), buildModel(name)),
    });
    const request = {
      pairs: [{ before: await place("one"), after: await place("two") }],
      isWanted: () => true,
      settings: { ranks: [1] },
      known: { fingerprints: new Map<string, string>(), nonFinite: new Map(), backend: "portable" as const },
    };
    const effects = createTestEffects({ machine: createMachine(join(folder, "cache")) });
    await expect(computeSpectra(request, effects)).rejects.toThrow(UsageError);
    await expect(computeSpectra(request, effects)).rejects.toThrow("its bytes were not read with the others");
  });
});
