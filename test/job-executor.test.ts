/** Jobs on every executor, by one contract; and what only a real Slurm can do to them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../src/base/core/index.ts";
import {
  createExecExecutor,
  createLocalExecutor,
  createSlurmExecutor,
  type Executor,
  isDetached,
  listPlacedPacks,
  type Profile,
} from "../src/cluster/executor/index.ts";
import { DetachedError, forgiveJob, type JobFolder, placeSubmission } from "../src/cluster/job/index.ts";
import {
  createTestJob,
  listBegun,
  lookAfter,
  plainProfile,
  readResults,
  workCommand,
} from "./support/job.ts";
import { type Cluster, enterCluster, slurmAbsence, startCluster } from "./support/slurm.ts";
import { createTemporaryFolder, removeFolder } from "./support/untwist.ts";

const home = createTemporaryFolder();
afterAll(() => removeFolder(home));

const opened: Executor[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((executor) => executor.close()));
});
function open(executor: Executor): Executor {
  opened.push(executor);
  return executor;
}

const createJob = (
  names: readonly string[],
  options: { readonly seconds?: number } = {},
): Promise<JobFolder> => createTestJob(home, names, options);

const echoes = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, value) => `echo ${value}`);
const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, value) => value);

function describeContract(openExecutor: () => Executor): void {
  it("gives every piece its result, and carries out each once", async () => {
    const job = await createJob(echoes(5));
    await lookAfter(job, open(openExecutor()));
    expect(await readResults(job)).toEqual(numbers(5));
    expect([...listBegun(job)].sort()).toEqual([...echoes(5)].sort());
  });

  it("puts small pieces together, and carries out only those without a result", async () => {
    const job = await createJob(echoes(9), { seconds: 10 });
    await job.keepResult(4, 4);
    await lookAfter(job, open(openExecutor()));
    expect((await job.readSubmissions()).map(({ packs }) => packs.map((pack) => pack.length))).toEqual([
      [3, 3, 2],
    ]);
    expect(await readResults(job)).toEqual(numbers(9));
    expect(listBegun(job)).not.toContain("echo 4");
  });

  it("says why a piece always fails, with its log and node, when all others are done; retry does only what is missing", async () => {
    const job = await createJob(["echo 0", "fail", "echo 2", "refuse"]);
    const executor = open(openExecutor());
    const error = await lookAfter(job, executor).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).toMatch(
      /2 of 4 pieces of job [0-9a-f]{12} have no result. fail on \S+: Cannot go on: odd; its log ends: .*retrying job [0-9a-f]{12}/s,
    );
    const begun = listBegun(job);
    expect(begun.filter((name) => name === "fail")).toHaveLength(2);
    // What a person has to put right is not tried a second time.
    expect(begun.filter((name) => name === "refuse")).toHaveLength(1);
    expect([...(await job.listResults())].sort()).toEqual([0, 2]);
    await forgiveJob(job);
    await expect(lookAfter(job, executor)).rejects.toThrow("have no result");
    expect(listBegun(job).slice(begun.length).sort()).toEqual(["fail", "fail", "refuse"]);
  });

  it("tries again what fails once", async () => {
    const job = await createJob(["once 0", "echo 1"]);
    const notices: string[] = [];
    await lookAfter(job, open(openExecutor()), { notices });
    expect(await readResults(job)).toEqual([0, 1]);
    expect([...listBegun(job)].sort()).toEqual(["echo 1", "once 0", "once 0"]);
    expect(notices).toEqual([expect.stringContaining("once 0: its process failed")]);
  });

  it("asks for more memory where it was too little", async () => {
    const job = await createJob(["hog 0", "echo 1"]);
    const notices: string[] = [];
    await lookAfter(job, open(openExecutor()), { bytes: 3e8, notices });
    expect(await readResults(job)).toEqual([0, 1]);
    expect(notices).toEqual([expect.stringContaining("hog 0: ran out of memory")]);
    expect((await job.readSubmissions()).map(({ resources }) => resources.bytes)).toEqual([3e8, 6e8]);
    expect(listBegun(job).filter((name) => name === "echo 1")).toHaveLength(1);
  });

  it("ends what is cancelled, for whoever follows it", async () => {
    const job = await createJob(["wait 60000 0", "wait 60001 1", "wait 60002 2"]);
    const executor = open(openExecutor());
    let isCancelled = false;
    const following = lookAfter(job, executor, {
      onLook: (_, numRunning) => {
        if (numRunning === 0 || isCancelled) return;
        isCancelled = true;
        void job.setCancelled(true);
      },
    });
    await expect(following).rejects.toThrow(/was cancelled.*retrying job/);
    const open_ = (await job.readSubmissions()).map((one) => placeSubmission(job, one));
    await executor.cancel(listPlacedPacks(open_));
    for (;;) {
      const states = (await executor.poll(open_)).flat();
      if (states.every(({ kind }) => kind === "ended")) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect((await job.listResults()).size).toBe(0);
  });

  it("leaves off when asked to, and goes on later without doing anything twice", async () => {
    const names = ["wait 1500 0", "wait 1501 1", "wait 1502 2", "echo 3"];
    const job = await createJob(names);
    const executor = open(openExecutor());
    const stop = new AbortController();
    await expect(
      lookAfter(job, executor, {
        signal: stop.signal,
        onLook: (_, numRunning) => {
          if (numRunning > 0) stop.abort();
        },
      }),
    ).rejects.toThrow(DetachedError);
    const done = [...(await job.listResults())].map((piece) => names[piece]);
    await executor.close();
    await lookAfter(job, open(openExecutor()));
    expect(await readResults(job)).toEqual([0, 1, 2, 3]);
    const begun = listBegun(job);
    if (isDetached(executor.name)) expect([...begun].sort()).toEqual([...names].sort());
    for (const name of done) expect(begun.filter((one) => one === name)).toHaveLength(1);
  });
}

describe("createLocalExecutor()", () => {
  const openLocal = (): Executor =>
    createLocalExecutor({ cores: 2, bytes: 2 * 2 ** 30, command: workCommand });
  describeContract(openLocal);

  it("never starts what does not fit", async () => {
    const job = await createJob(["meet 0", "meet 1", "meet 2"]);
    let most = 0;
    await lookAfter(job, open(createLocalExecutor({ cores: 8, bytes: 2.5e9, command: workCommand })), {
      bytes: 1.2e9,
      onLook: (_, numRunning) => {
        most = Math.max(most, numRunning);
      },
    });
    expect(most).toBeLessThanOrEqual(2);
    // Two of them have met.
    expect(await readResults(job)).toEqual([0, 1, 2]);
    const large = await createJob(["echo 0"]);
    const small = open(createLocalExecutor({ cores: 2, bytes: 1e9, command: workCommand }));
    await expect(lookAfter(large, small, { bytes: 3e9 })).rejects.toThrow(
      /takes 3\.0 GB, and 1\.0 GB are allowed.*memory 3GB/,
    );
  });
});

describe("createExecExecutor()", () => {
  const openExec = (): Executor =>
    createExecExecutor({ line: "sleep 0.1; {command}", atMost: 2, command: workCommand });
  describeContract(openExec);

  it("fills in what stands for the command, the position and the number", async () => {
    const job = await createJob(echoes(2));
    const line = 'echo "pack {index} of {count}"; {command}';
    await lookAfter(job, open(createExecExecutor({ line, atMost: 2, command: workCommand })));
    const log = (pack: number): string => readFileSync(join(job.path, `logs/0.0-${pack}.log`), "utf8");
    expect([log(0).split("\n")[0], log(1).split("\n")[0]]).toEqual(["pack 0 of 2", "pack 1 of 2"]);
    expect(() => createExecExecutor({ line: "true", atMost: 1, command: workCommand })).toThrow("{command}");
  });
});

describe.skipIf(slurmAbsence.isSkipped)(`createSlurmExecutor()${slurmAbsence.because}`, () => {
  let cluster: Cluster;
  let leave: () => void;
  beforeAll(async () => {
    cluster = await startCluster({ maxArraySize: 4 });
    leave = enterCluster(cluster);
  });
  afterAll(async () => {
    leave();
    await cluster.stop();
  });
  const openSlurm = (more: Partial<Profile> = {}): Executor =>
    createSlurmExecutor({
      profile: { ...plainProfile, ...more },
      command: workCommand,
      environment: {},
      variables: process.env,
    });
  describeContract(openSlurm);

  it("splits what is larger than MaxArraySize, and asks for the queue once a look at the most", async () => {
    const job = await createJob(echoes(11));
    const numCalls = cluster.listQueueCalls().length;
    let numLooks = 0;
    await lookAfter(job, open(openSlurm()), {
      onLook: () => {
        numLooks += 1;
      },
    });
    expect(await readResults(job)).toEqual(numbers(11));
    expect([...listBegun(job)].sort()).toEqual([...echoes(11)].sort());
    expect(cluster.listQueueCalls().length - numCalls).toBeLessThanOrEqual(numLooks + 1);
  });

  it("loses nothing when the controller is killed and started again", async () => {
    const names = ["wait 14000 0", "wait 14001 1", "wait 14002 2", "wait 14003 3", "echo 4"];
    const job = await createJob(names);
    let runningSince = Number.POSITIVE_INFINITY;
    let hasKilled = false;
    await lookAfter(job, open(openSlurm()), {
      onLook: (_, numRunning) => {
        if (numRunning === 4) runningSince = Math.min(runningSince, performance.now());
        // The controller saves its state every five seconds: what it forgets is not ours to find out about.
        if (hasKilled || performance.now() - runningSince < 5500) return;
        hasKilled = true;
        void cluster.killController().then(() => setTimeout(() => cluster.startController(), 1000));
      },
    });
    expect(hasKilled).toBe(true);
    expect(await readResults(job)).toEqual(numbers(5));
    expect([...listBegun(job)].sort()).toEqual([...names].sort());
  });

  it("loses nothing when a node dies", async () => {
    const names = Array.from({ length: 12 }, (_, value) => `wait ${1500 + value} ${value}`);
    const job = await createJob(names);
    const doneBefore: string[] = [];
    await lookAfter(job, open(openSlurm()), {
      onLook: (numDone) => {
        if (numDone < 2 || doneBefore.length > 0) return;
        for (const [piece, name] of names.entries())
          if (existsSync(join(job.path, `results/${piece}.json`))) doneBefore.push(name);
        cluster.killNode("n1");
      },
    });
    cluster.startNode("n1");
    expect(doneBefore).not.toEqual([]);
    expect(await readResults(job)).toEqual(numbers(12));
    const begun = listBegun(job);
    // Only what was under way on the dead node is begun twice.
    expect(begun.length).toBeLessThanOrEqual(12 + 2);
    for (const name of doneBefore) expect(begun.filter((one) => one === name)).toHaveLength(1);
  });

  it("works over ssh, whose other end reads a line of shell", async () => {
    const bin = join(home, "bin");
    mkdirSync(bin);
    const script =
      '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\necho "$2" >> hosts.log\nshift 2\nexec sh -c "$*"\n';
    writeFileSync(join(bin, "ssh"), script.replace("hosts.log", join(home, "hosts.log")), { mode: 0o755 });
    const path = process.env.PATH ?? "";
    process.env.PATH = `${bin}:${path}`;
    try {
      const job = await createTestJob(join(home, "a folder, it's"), echoes(3));
      await lookAfter(job, open(openSlurm({ host: "login.example.org" })));
      expect(await readResults(job)).toEqual(numbers(3));
      const hosts = readFileSync(join(home, "hosts.log"), "utf8").trim().split("\n");
      expect(new Set(hosts)).toEqual(new Set(["login.example.org"]));
    } finally {
      process.env.PATH = path;
    }
  });

  it("passes on what sbatch refuses, with what to do", async () => {
    const job = await createJob(["echo 0"]);
    await expect(lookAfter(job, open(openSlurm({ partition: "nope" })))).rejects.toThrow(
      /sbatch refuses the job: .*nope.*sinfo -s/,
    );
    await expect(lookAfter(job, open(openSlurm()), { bytes: 1e12 })).rejects.toThrow(
      /sbatch refuses the job: .*no node is that large/,
    );
    await expect(lookAfter(job, open(openSlurm({ time: 7200 })), { seconds: 7200 })).rejects.toThrow(
      /would wait forever, says slurm: Partition(?:TimeLimit|Config); .*time/,
    );
    // A refusal is not a failure of the pieces.
    await lookAfter(job, open(openSlurm()));
    expect(await readResults(job)).toEqual([0]);
  });
});
