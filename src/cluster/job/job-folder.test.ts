import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { forgiveJob, listJobs, obtainJob } from "./job-folder.ts";
import type { JobPlan } from "./job-plan.ts";

const home = createTemporaryFolder();
afterAll(() => removeFolder(home));

const origin = { args: [], folder: home, at: "2026-01-01T00:00:00Z" };
const plan: JobPlan = { kind: "spectra", input: {}, pieces: [{ name: "one", seconds: 1, bytes: 0 }] };

describe("obtainJob()", () => {
  it("makes no job without pieces, and leaves no folder of one", async () => {
    await expect(obtainJob(home, { plan: { ...plan, pieces: [] }, origin })).rejects.toThrow(RangeError);
    expect(await listJobs(home, expect.unreachable)).toEqual([]);
  });
});

describe("forgiveJob()", () => {
  it("forgets the cancellation that was known, and none that came since", async () => {
    const job = await obtainJob(home, { plan: { ...plan, input: "cancelled" }, origin });
    await job.setCancelled(true);
    const cancellation = await job.readCancellation();
    await job.setCancelled(true);
    await forgiveJob(job, { cancellation });
    expect(await job.isCancelled()).toBe(true);
    // As of a job that was just made when somebody cancelled it.
    await forgiveJob(job, { cancellation: undefined });
    expect(await job.isCancelled()).toBe(true);
    await forgiveJob(job, { cancellation: await job.readCancellation() });
    expect(await job.isCancelled()).toBe(false);
    await job.setCancelled(true);
    await forgiveJob(job);
    expect(await job.isCancelled()).toBe(false);
  });
});

describe("listJobs()", () => {
  it("lists the others beside a job that cannot be read, and says which that is", async () => {
    const { id } = await obtainJob(home, { plan, origin });
    const broken = join(home, "0123456789ab");
    mkdirSync(broken);
    writeFileSync(join(broken, "job.json"), "{}");
    const problems: string[] = [];
    const jobs = await listJobs(home, (problem) => problems.push(problem));
    expect(jobs.map((job) => job.id)).toContain(id);
    expect(jobs.map((job) => job.id)).not.toContain("0123456789ab");
    expect(problems).toEqual([expect.stringContaining(join(broken, "job.json"))]);
  });
});
