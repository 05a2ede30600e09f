import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { rankRunSignals } from "./signals.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const path = join(place, "run");
const answerer = createMemoryAnswerer(fallenTasks, {
  solves: ({ id }, split, index) => solvesFallen(id, split, index),
});
const { folder } = await createFallenRun(path, answerer);

describe("rankRunSignals()", () => {
  it("puts first what would have stopped at the peak, and says what was not measured", async () => {
    // The loss is lowest at the end, the norm of gradients at the peak.
    await folder.writeMetrics("sft", [
      { step: 1, loss: 3, gradientNorm: 1 },
      { step: 2, loss: 2, gradientNorm: 5 },
      { step: 3, loss: 1, gradientNorm: 9, klToStart: null },
    ]);
    const { peak, ranked, unmeasured } = await rankRunSignals(path);
    expect(peak).toEqual({ checkpoint: "sft-1", step: 1 });
    const found = new Map(
      ranked.map(({ name, checkpoint, regret }) => [name, [checkpoint, regret.estimate]]),
    );
    // Training metrics are averages over the steps before: 1, (1 + 5) / 2, (1 + 5 + 9) / 3.
    expect(found.get("gradient norm")).toEqual(["sft-1", 0]);
    // 18 of the 20 tasks at odd positions at the peak, 4 at the end.
    expect(found.get("training loss")).toEqual(["sft-3", 14 / 20]);
    expect(ranked.at(-1)?.name).toBe("training loss");
    expect(unmeasured).toEqual([
      "ID loss",
      "evaluation loss of the trainer",
      "KL to the start",
      "distance of the weights to the base",
      "rotation of the weights from the base",
      "shift of singular values from the base",
    ]);
  });

  it("refuses a run with fewer than three evaluated SFT checkpoints", async () => {
    const bare = join(place, "bare");
    const made = await createFallenRun(bare, answerer);
    const lineage = await made.folder.readLineage();
    await made.folder.writeLineage(lineage.filter(({ id }) => id === "base" || id === "sft-1"));
    await expect(rankRunSignals(bare)).rejects.toThrow(
      `Cannot rank signals of "${bare}": it has 1 evaluated SFT checkpoints, and takes 3; there are only 1, so keep more of them while training`,
    );
  });
});
