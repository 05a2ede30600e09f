/** Checkpoints that real torch and gguf write here and now. */
import { afterAll, beforeAll, describe, it } from "vitest";
import { findAbsence, runPeer } from "../support/peers.ts";
import { expectCase, listCases } from "../support/savers.ts";
import { createTemporaryFolder, removeFolder } from "../support/untwist.ts";

const { isSkipped, because } = findAbsence();

describe.skipIf(isSkipped)(`savers${because}`, () => {
  const folder = createTemporaryFolder();
  beforeAll(async () => {
    await runPeer("savers.py", [folder]);
  });
  afterAll(() => removeFolder(folder));

  it("writes nothing that is read otherwise", async () => {
    for (const one of listCases(folder)) await expectCase(folder, one);
  });
});
