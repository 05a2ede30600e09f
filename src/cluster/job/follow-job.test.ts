import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import { type Executor, type PackState, UnreachableError } from "../executor/executor.ts";
import { DetachedError, followJob } from "./follow-job.ts";
import { forgiveJob, type JobFolder, obtainJob, renewJob } from "./job-folder.ts";
import { closeJob, settleLeftovers } from "./submit-missing.ts";

const home = mkdtempSync(join(tmpdir(), "untwist-job-"));
afterAll(() => rmSync(home, { recursive: true }));
afterEach(() => {
  vi.restoreAllMocks();
});

const createJob = async (input: string, numPieces = 1): Promise<JobFolder> => {
  const pieces = Array.from({ length: numPieces }, (_, index) => ({
    name: `p${index}`,
    seconds: 60,
    bytes: 0,
  }));
  const plan = { kind: "test", input, pieces };
  return await obtainJob(home, { plan, origin: { args: [], folder: home, at: "2026-01-01T00:00:00Z" } });
};

/** An executor that says of every pack what it is told to say. */
function createPuppet(say: (look: number) => PackState): Executor & { readonly cancelled: string[] } {
  let numLooks = 0;
  const cancelled: string[] = [];
  return {
    name: "slurm",
    cancelled,
    submit: async () => undefined,
    describe: async () => "",
    poll: async (submissions) => {
      const state = say(numLooks++);
      return submissions.map(({ packs }) => packs.map(() => state));
    },
    cancel: async (packs) => {
      cancelled.push(...packs.map(({ submission, pack }) => `${submission.number} ${pack}`));
    },
    logs: async () => "last words",
    close: async () => undefined,
  };
}

const follow = async (
  job: JobFolder,
  executor: Executor,
  notices: string[] = [],
  {
    signal = new AbortController().signal,
    ...rule
  }: { readonly signal?: AbortSignal; readonly bytes?: number; readonly leastSeconds?: number } = {},
): Promise<void> => {
  await settleLeftovers(job, { executor: executor.name });
  await followJob(job, {
    executor,
    rule: { leastSeconds: 30, cores: 1, ...rule },
    intervalMs: 1,
    signal,
    onProgress: () => undefined,
    onNotice: (text) => notices.push(text),
  });
};

describe("followJob()", () => {
  it("bears a scheduler that does not answer for a while, and says so once", async () => {
    const job = await createJob("silent");
    const notices: string[] = [];
    const executor = createPuppet((look) => {
      if (look < 3) throw new UnreachableError("Cannot reach Slurm: it sleeps");
      void job.keepResult(0, 1);
      return look < 6 ? { kind: "running" } : { kind: "ended", cause: "completed" };
    });
    await follow(job, executor, notices);
    expect(notices).toEqual(["Cannot reach Slurm: it sleeps; looking again"]);
  });

  it("asks no scheduler about a job that is done, whoever was to do the rest", async () => {
    const job = await createJob("done");
    await job.keepSubmission({
      number: 0,
      executor: "slurm",
      packs: [[0]],
      resources: { cores: 1, bytes: 1, seconds: 1 },
      ended: {},
      isForgiven: false,
    });
    await job.keepResult(0, 1);
    const asleep = createPuppet(() => {
      throw new UnreachableError("Cannot reach Slurm: it sleeps");
    });
    await follow(job, asleep);
    await follow(job, { ...asleep, name: "local" });
  });

  it("ends where the scheduler does not answer to begin with; packs stay together later", async () => {
    const job = await createJob("asleep", 4);
    const puppet = createPuppet(() => ({ kind: "ended", cause: "node" }));
    const asleep = {
      ...puppet,
      submit: async () => {
        throw new UnreachableError("Cannot reach Slurm: it sleeps");
      },
    };
    await expect(follow(job, asleep, [], { leastSeconds: 1000 })).rejects.toThrow(UnreachableError);
    await expect(follow(job, puppet, [], { leastSeconds: 1000 })).rejects.toThrow("have no result");
    const submissions = await job.readSubmissions();
    expect(submissions.map(({ packs }) => packs)).toEqual(submissions.map(() => [[0, 1, 2, 3]]));
    expect(submissions).toHaveLength(6);
  });

  it("submits nothing more while somebody cancels", async () => {
    const job = await createJob("cancelled meanwhile");
    const puppet = createPuppet(() => ({ kind: "running" }));
    const slow: Executor = {
      ...puppet,
      poll: async (submissions) => {
        await job.setCancelled(true);
        await closeJob(job);
        return await puppet.poll(submissions);
      },
    };
    await expect(follow(job, slow)).rejects.toThrow("was cancelled");
    expect(await job.readSubmissions()).toHaveLength(1);
  });

  it("takes back what it submits while somebody cancels", async () => {
    const job = await createJob("cancelled at once");
    const puppet = createPuppet(() => ({ kind: "running" }));
    await expect(
      follow(job, { ...puppet, submit: async () => await job.setCancelled(true) }),
    ).rejects.toThrow("was cancelled");
    expect(puppet.cancelled).toEqual(["0 0"]);
  });

  it("asks for what the user names, whatever was too little before", async () => {
    const job = await createJob("named");
    const puppet = createPuppet(() => ({ kind: "ended", cause: "memory" }));
    await expect(follow(job, puppet)).rejects.toThrow("ran out of memory");
    await forgiveJob(job);
    await expect(follow(job, puppet, [], { bytes: 7e9 })).rejects.toThrow("ran out of memory");
    const asked = (await job.readSubmissions()).map(({ resources }) => resources.bytes);
    expect(asked.slice(4)).toEqual([7e9, 14e9, 28e9, 56e9]);
  });

  it("does not ask again for a time that was too short and is all there is", async () => {
    const job = await createJob("long");
    const puppet = createPuppet(() => ({ kind: "ended", cause: "time", node: "n7" }));
    const short: Executor = { ...puppet, fit: async (resources) => ({ ...resources, seconds: 60 }) };
    await expect(follow(job, short)).rejects.toThrow(
      /p0 on n7: it takes longer than the partition allows; .*profile partition=NAME/,
    );
    expect((await job.readSubmissions()).map(({ resources }) => resources.seconds)).toEqual([60]);
  });

  it("gives up what is refused more than before, and goes on with the others", async () => {
    const job = await createJob("refused", 2);
    const puppet = createPuppet((look) => {
      if (look > 3) void job.keepResult(1, 1);
      return { kind: "ended", cause: "memory" };
    });
    const full: Executor = {
      ...puppet,
      submit: async ({ number }) => {
        if (number > 0) throw new UsageError("sbatch refuses the job: too large");
      },
    };
    await expect(follow(job, full)).rejects.toThrow(
      /^2 of 2 pieces .* p0: sbatch refuses the job: too large/,
    );
    await forgiveJob(job);
    // Refused again, it is still these pieces' end and no reason to stop the others.
    await expect(follow(job, full)).rejects.toThrow(
      /^2 of 2 pieces .* p0: sbatch refuses the job: too large/,
    );
  });

  it("refuses to ask on one host for what another has", async () => {
    const job = await createJob("hosts", 2);
    const stop = new AbortController();
    const executor = createPuppet(() => {
      stop.abort();
      return { kind: "running" };
    });
    await expect(follow(job, executor, [], { signal: stop.signal })).rejects.toThrow(DetachedError);
    await expect(settleLeftovers(job, { executor: "slurm", host: "login" })).rejects.toThrow(
      "attaching to job",
    );
    const renewed = await renewJob(job, { ...job, origin: { ...job.origin, host: "login" } });
    await settleLeftovers(renewed, { executor: "slurm", host: "login" });
    await expect(settleLeftovers(renewed, { executor: "slurm" })).rejects.toThrow("by slurm at login;");
  });

  it("refuses to begin elsewhere what a scheduler has", async () => {
    const job = await createJob("elsewhere", 2);
    const stop = new AbortController();
    const executor = createPuppet(() => {
      stop.abort();
      return { kind: "running" };
    });
    await expect(follow(job, executor, [], { signal: stop.signal })).rejects.toThrow(DetachedError);
    await expect(follow(job, { ...executor, name: "local" })).rejects.toThrow(
      /is carried out by slurm; .*attaching to job .*canceling job/,
    );
  });

  it("cancels what has its results and is said to run all the same", async () => {
    vi.spyOn(performance, "now").mockImplementation(
      (
        (ms) => () =>
          (ms += 6000)
      )(0),
    );
    const ghost = await createJob("ghost", 2);
    await ghost.keepResult(0, 1);
    await ghost.keepSubmission({
      number: 0,
      executor: "slurm",
      packs: [[0], [1]],
      resources: { cores: 1, bytes: 1, seconds: 1 },
      ended: {},
      isForgiven: false,
    });
    const puppet = createPuppet((look) => {
      if (look > 4) void ghost.keepResult(1, 2);
      return look > 5 ? { kind: "ended", cause: "completed" } : { kind: "running" };
    });
    await follow(ghost, puppet);
    expect(new Set(puppet.cancelled)).toEqual(new Set(["0 0"]));
  });

  it.each([
    ["failed", 2],
    ["memory", 4],
    ["time", 4],
    ["node", 6],
    ["cancelled", 1],
  ] as const)("gives a piece up that ends as %s %i times", async (cause, numTimes) => {
    const job = await createJob(cause);
    await expect(
      follow(
        job,
        createPuppet(() => ({ kind: "ended", cause, node: "n7" })),
      ),
    ).rejects.toThrow(
      /^1 of 1 pieces of job [0-9a-f]{12} have no result. p0 on n7: .*its log ends: last words.*retrying job/,
    );
    const submissions = await job.readSubmissions();
    expect(submissions).toHaveLength(numTimes);
    const raised = submissions.map(({ resources }) => [
      resources.bytes / submissions[0]!.resources.bytes,
      resources.seconds / submissions[0]!.resources.seconds,
    ]);
    const doubling = Array.from({ length: numTimes }, (_, turn) => 2 ** turn);
    expect(raised).toEqual(
      doubling.map((factor) => [cause === "memory" ? factor : 1, cause === "time" ? factor : 1]),
    );
  });
});
