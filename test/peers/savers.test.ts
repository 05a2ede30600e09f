/** Checkpoints that real torch and gguf write here and now. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { expectCase, listCases } from "../support/savers.ts";
import { createTemporaryFolder, removeFolder } from "../support/untwist.ts";

const python = process.env.UNTWIST_PEERS_PYTHON ?? "";

describe.skipIf(python === "")(
  "savers (skipped unless UNTWIST_PEERS_PYTHON names a Python with torch)",
  () => {
    const folder = createTemporaryFolder();
    beforeAll(() => {
      const { status, stderr } = spawnSync(python, [join(import.meta.dirname, "savers.py"), folder], {
        encoding: "utf8",
        env: { ...process.env, OMP_NUM_THREADS: "1" },
      });
      if (status !== 0) throw new Error(`savers.py failed: ${stderr.slice(-2000)}`);
    }, 300_000);
    afterAll(() => removeFolder(folder));

    it("writes nothing that is read otherwise", async () => {
      for (const one of listCases(folder)) await expectCase(folder, one);
    });
  },
);
