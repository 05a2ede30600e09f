/** `untwist work`, as executors start it: whether a pack went well is told by its exit code. */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createSubmission, type JobFolder, obtainJob } from "../src/cluster/job/index.ts";
import { createTemporaryFolder, removeFolder, startUntwist } from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

/** A job of evaluations of a run that is not there, so that each piece fails; a pack for each. */
async function createFailing(changed: object = {}): Promise<JobFolder> {
  const names = ["first", "second"];
  const plan = {
    kind: "evaluation",
    input: {
      run: join(folder, "nowhere"),
      subjects: names.map((id) => ({ kind: "checkpoint", id, path: join(folder, id) })),
      source: { kind: "embedded" },
      ...changed,
    },
    pieces: names.map((name) => ({ name, seconds: 1, bytes: 0 })),
  };
  const job = await obtainJob(folder, { plan, origin: { args: [], folder, at: "2026-01-01T00:00:00Z" } });
  const resources = { cores: 1, bytes: 2 ** 30, seconds: 60 };
  await job.keepSubmission(
    createSubmission({ packs: [[0], [1]], resources }, { number: 0, executor: "local" }),
  );
  return job;
}

describe("untwist work", () => {
  it("says by its exit code that pieces of its pack failed, and nothing where all have results", async () => {
    const job = await createFailing();
    await job.keepResult(1, { ms: 0, items: [] });
    const [failed, done] = await Promise.all(
      ["0", "1"].map((pack) => startUntwist(["work", job.path, "0", pack], folder).outcome),
    );
    expect([failed?.code, failed?.stdout]).toEqual([1, expect.stringContaining("first failed: ")]);
    expect([done?.code, done?.stdout]).toEqual([0, expect.stringContaining("second has its result")]);
    expect(await job.readFailure(0)).toMatchObject({ isFinal: false });
  });

  it("refuses in a sentence what another version of untwist wrote", async () => {
    const job = await createFailing({ subjects: undefined, way: { way: "embedded" } });
    const { code, stdout, stderr } = await startUntwist(["work", job.path, "0", "0"], folder).outcome;
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^(error: )?Cannot carry out this job: .* use the version that made it\.?\n$/i);
  });
});
