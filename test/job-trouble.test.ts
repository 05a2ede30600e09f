/** What clusters do to jobs beside failing: full disks, limits of time, processes that are taken off their nodes. */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../src/base/core/index.ts";
import { createLocalExecutor, createSlurmExecutor, type Executor } from "../src/cluster/executor/index.ts";
import { forgiveJob, type JobFolder } from "../src/cluster/job/index.ts";
import {
  createTestJob,
  listBegun,
  lookAfter,
  plainProfile,
  readResults,
  workCommand,
} from "./support/job.ts";
import { type Cluster, enterCluster, slurmAbsence, startCluster } from "./support/slurm.ts";
import { mountSmallDisk, type SmallDisk } from "./support/small-disk.ts";
import { createTemporaryFolder, removeFolder } from "./support/untwist.ts";

const home = createTemporaryFolder();
afterAll(() => removeFolder(home));

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, value) => value);

/** Fills a disk while a job runs on it, and makes room again: nothing that was done is done twice, and the job ends well. */
async function fillDisk(disk: string, executor: Executor): Promise<void> {
  const names = numbers(8).map((value) => `wait ${400 + value} ${value}`);
  const job = await createTestJob(disk, names);
  const filler = join(disk, "filler");
  const fill = (): void => {
    try {
      // Page by page, until there is none left.
      for (;;) writeFileSync(filler, Buffer.alloc(4096), { flag: "a" });
    } catch {}
  };
  const failure = await lookAfter(job, executor, {
    onLook: (numDone) => {
      if (numDone >= 2) fill();
    },
  }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(UsageError);
  expect(String(failure)).toContain("no space is left on the disk");
  const done = [...(await job.listResults())];
  expect(done.length).toBeGreaterThanOrEqual(2);
  expect(done.length).toBeLessThan(8);
  const begunBefore = listBegun(job);
  rmSync(filler);
  await forgiveJob(job);
  await lookAfter(job, executor);
  expect(await readResults(job)).toEqual(numbers(8));
  for (const piece of done)
    expect(listBegun(job).slice(begunBefore.length)).not.toContain(job.plan.pieces[piece]?.name);
}

describe("a disk that is full in the middle", () => {
  const disk = join(home, "disk");
  let small: SmallDisk;
  beforeAll(() => {
    small = mountSmallDisk(disk, 400);
  });
  afterAll(() => small.unmount());

  it("is named by an executor on this machine, and costs no result", async ({ skip }) => {
    skip(small.problem !== "", `no small disk can be mounted: ${small.problem}`);
    const executor = createLocalExecutor({ cores: 1, bytes: 2 ** 31, command: workCommand });
    try {
      await fillDisk(disk, executor);
    } finally {
      await executor.close();
    }
  });
});

describe.skipIf(slurmAbsence.isSkipped)(`Slurm${slurmAbsence.because}`, () => {
  let cluster: Cluster;
  let executor: Executor;
  let slow: { readonly job: JobFolder; readonly notices: string[]; readonly following: Promise<void> };
  let leave: () => void;
  beforeAll(async () => {
    cluster = await startCluster();
    leave = enterCluster(cluster);
    executor = createSlurmExecutor({
      profile: plainProfile,
      command: workCommand,
      environment: {},
      variables: process.env,
    });
    // The shortest limit is a minute, and is noticed half a minute later at the latest: the other tests need not wait for it.
    const job = await createTestJob(home, ["slow 0"]);
    const notices: string[] = [];
    slow = { job, notices, following: lookAfter(job, executor, { seconds: 60, notices }) };
    slow.following.catch(() => undefined);
  });
  afterAll(async () => {
    leave();
    await cluster.stop();
  });

  it("goes on after a process was put back into the queue", async () => {
    const names = ["wait 3000 0", "wait 3001 1", "wait 3002 2"];
    const job = await createTestJob(home, names, { seconds: 5 });
    let hasRequeued = false;
    await lookAfter(job, executor, {
      onLook: (numDone) => {
        if (numDone === 0 || hasRequeued) return;
        hasRequeued = true;
        const queue = execFileSync("squeue", ["--noheader", "--format=%j %i"], { encoding: "utf8" });
        const [, element = ""] = new RegExp(`^untwist-${job.id}\\S+ (\\S+)$`, "m").exec(queue) ?? [];
        execFileSync("scontrol", ["requeue", element]);
      },
    });
    expect(hasRequeued).toBe(true);
    expect(await readResults(job)).toEqual([0, 1, 2]);
    const begun = listBegun(job);
    expect(begun.filter((name) => name === names[0])).toHaveLength(1);
    // What was under way is begun again by the same pack.
    expect(begun).toHaveLength(4);
    expect(await job.readSubmissions()).toHaveLength(1);
  });

  it("names a disk that is full, and loses no result", async ({ skip }) => {
    const disk = join(home, "disk-slurm");
    const small = mountSmallDisk(disk, 400);
    skip(small.problem !== "", `no small disk can be mounted: ${small.problem}`);
    try {
      await fillDisk(disk, executor);
    } finally {
      small.unmount();
    }
  });

  it("is asked for more time where it was too little", async () => {
    await slow.following;
    expect(await readResults(slow.job)).toEqual([0]);
    expect(slow.notices).toEqual([expect.stringContaining("slow 0: ran out of time")]);
    const submissions = await slow.job.readSubmissions();
    expect(submissions.map(({ resources }) => resources.seconds)).toEqual([60, 120]);
  });
});
