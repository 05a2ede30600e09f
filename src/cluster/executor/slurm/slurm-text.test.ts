import { describe, expect, it } from "vitest";
import { renderMessage } from "../../../base/core/index.ts";
import { readCause } from "../cause.ts";
import {
  explainSbatch,
  isUnreachable,
  listSbatchArguments,
  parseAccounting,
  parseCompletions,
  parseConfig,
  parseQueue,
  parseTimeLimit,
  writeBatchScript,
} from "./slurm-text.ts";

describe("parseQueue()", () => {
  it("reads elements, and the rest of an array that waits, which is one line", () => {
    // squeue of Slurm 22.05.8.
    const text = [
      "untwist-0c1-0.0|12|0|COMPLETED|None|n1",
      "untwist-0c1-0.0|12|3-5%2|PENDING|JobArrayTaskLimit|",
      "untwist-0c1-0.0|12|1|RUNNING|None|n1",
      "untwist-0c1-0.0|12|2|FAILED|NonZeroExitCode|n2",
      "other|13|N/A|RUNNING|None|n2",
      "untwist-0c1-1.0|14|0,7|PENDING|Priority|(null)",
      "",
    ].join("\n");
    expect(parseQueue(text).map(({ index, state }) => [index, state])).toEqual([
      [0, { kind: "ended", cause: "completed", node: "n1" }],
      ...[3, 4, 5].map((index) => [index, { kind: "waiting", reason: "JobArrayTaskLimit" }]),
      [1, { kind: "running", node: "n1" }],
      [2, { kind: "ended", cause: "failed", node: "n2" }],
      ...[0, 7].map((index) => [index, { kind: "waiting", reason: "Priority" }]),
    ]);
    expect(parseQueue(text)[0]).toMatchObject({ name: "untwist-0c1-0.0", id: "12" });
  });

  it("says what to do about what would wait forever", () => {
    const [entry] = parseQueue("untwist-0c1-0.0|12|0|PENDING|PartitionTimeLimit|");
    expect(entry?.state).toMatchObject({ kind: "waiting", advice: expect.stringContaining("time=") });
  });

  it.each([
    ["OUT_OF_MEMORY", "memory"],
    ["TIMEOUT", "time"],
    ["DEADLINE", "time"],
    ["NODE_FAIL", "node"],
    ["PREEMPTED", "node"],
    ["CANCELLED", "cancelled"],
    ["CANCELLED by 1000", "cancelled"],
    ["FAILED", "failed"],
    ["A_STATE_OF_TOMORROW", "failed"],
  ])("reads %s as %s", (state, cause) => {
    expect(parseQueue(`a|1|0|${state}|None|n1`)[0]?.state).toMatchObject({ kind: "ended", cause });
  });
});

describe("parseAccounting()", () => {
  it("reads elements, and leaves records of arrays that wait", () => {
    const text = "untwist-0c1-0.0|12_3|COMPLETED|n1\nuntwist-0c1-0.0|12_[4-9%2]|PENDING|None assigned\n";
    expect(parseAccounting(text)).toEqual([
      { name: "untwist-0c1-0.0", index: 3, state: { kind: "ended", cause: "completed", node: "n1" } },
    ]);
  });
});

describe("parseCompletions()", () => {
  it("reads lines of jobcomp/filetxt", () => {
    const line =
      "JobId=5 UserId=root(0) GroupId=root(0) Name=untwist-0c1-0.4 JobState=FAILED Partition=main TimeLimit=1 StartTime=2026-11-21T22:31:53 EndTime=2026-11-21T22:31:57 NodeList=n1 NodeCnt=1 ProcCnt=1 WorkDir=/tmp ReservationName= Tres=cpu=1 Account= QOS= ArrayJobId=1 ArrayTaskId=2 DerivedExitCode=0:0 ExitCode=7:0 ";
    expect(parseCompletions(`${line}\nJobId=6 Name=other JobState=COMPLETED NodeList=n1\n`)).toEqual([
      { name: "untwist-0c1-0.4", index: 2, state: { kind: "ended", cause: "failed", node: "n1" } },
    ]);
  });
});

describe("readCause()", () => {
  it.each([
    ["slurmstepd-n2: error: Exceeded job memory limit", "memory"],
    ["slurmstepd: error: Detected 1 oom-kill event(s) in StepId=9.batch", "memory"],
    ["FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "memory"],
    ["slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-11-21T22:31:55 DUE TO TIME LIMIT ***", "time"],
    ["slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-11-21T22:31:55 DUE TO PREEMPTION ***", "node"],
    ["slurmstepd-gpu1: error: Exceeded job memory limit", "memory"],
    ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has", undefined],
    ["Error: anything else", undefined],
  ])("reads %j as %s", (log, cause) => {
    expect(readCause(log)).toBe(cause);
  });
});

describe("parseTimeLimit()", () => {
  const text = "short|30:00\nmain*|1-12:00:00\nlong|infinite\nodd|n/a\n";
  it.each([
    ["short", 1800],
    [undefined, 36 * 3600],
    ["main", 36 * 3600],
    ["long", Number.POSITIVE_INFINITY],
    ["odd", Number.POSITIVE_INFINITY],
    ["none", Number.POSITIVE_INFINITY],
  ])("of partition %s is %d seconds", (partition, seconds) => {
    expect(parseTimeLimit(text, partition)).toBe(seconds);
  });
});

describe("listSbatchArguments()", () => {
  it("asks for what the profile and the estimates say, in whole units, rounded up", () => {
    const request = {
      name: "untwist-0c1-0.0",
      numElements: 7,
      resources: { cores: 2, bytes: 1.5 * 2 ** 30 + 1, seconds: 61 },
      log: "/j/logs/0.0-%a.log",
      folder: "/home/me",
    };
    const profile = {
      partition: "gpu",
      gpus: "a100:1",
      atMost: 3,
      scratch: 1e9,
      sbatch: ["--constraint=avx512"],
      before: [],
      volumes: [],
    };
    expect(listSbatchArguments({ ...request, profile })).toEqual([
      "--parsable",
      "--job-name=untwist-0c1-0.0",
      "--array=0-6%3",
      "--ntasks=1",
      "--cpus-per-task=2",
      "--mem=1537M",
      "--tmp=954M",
      "--time=2",
      "--requeue",
      "--open-mode=append",
      "--output=/j/logs/0.0-%a.log",
      "--chdir=/home/me",
      "--partition=gpu",
      "--gpus=a100:1",
      "--constraint=avx512",
    ]);
  });
});

describe("writeBatchScript()", () => {
  it("quotes the command for a shell, and adds the position of the pack", () => {
    const command = ["/usr/bin/node", "untwist.js", "work", "/a folder/it's", "0"];
    expect(writeBatchScript(command, { first: 8, before: ["module load node"] })).toBe(
      `#!/bin/bash\nmodule load node\nexec /usr/bin/node untwist.js work '/a folder/it'\\''s' 0 $((8 + SLURM_ARRAY_TASK_ID))\n`,
    );
  });
});

describe("explainSbatch()", () => {
  it.each([
    [
      "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified\n",
      "sbatch refuses the job: invalid partition specified: nope; Invalid partition name specified; sinfo -s lists the partitions; choose one by profile partition=NAME",
    ],
    [
      "sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job submission failed: Requested node configuration is not available\n",
      "sbatch refuses the job: Memory specification can not be satisfied; Requested node configuration is not available; no node is that large; ask for less by profile memory=SIZE, cpus=NUMBER or gpus=NUMBER",
    ],
    [
      "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n",
      "sbatch refuses the job: Invalid account or account/partition combination specified; sacctmgr show associations user=$USER lists what you may use; choose profile account=NAME",
    ],
    [
      "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
      "sbatch refuses the job: AssocMaxSubmitJobLimit; Job violates accounting/QOS policy (job submit limit, user's size and/or time limits); wait until earlier jobs have ended, or ask for less; sacctmgr show associations user=$USER lists your limits",
    ],
    [
      "sbatch: error: Batch job submission failed: Invalid generic resource (gres) specification\n",
      "sbatch refuses the job: Invalid generic resource (gres) specification; sinfo --format='%P %G' lists what there is; choose by profile gpus=NUMBER, or leave it out",
    ],
    [
      "sbatch: error: Temporary disk specification can not be satisfied\nsbatch: error: Batch job submission failed: Requested node configuration is not available\n",
      "sbatch refuses the job: Temporary disk specification can not be satisfied; Requested node configuration is not available; no node has that much room; ask for less by profile scratch=SIZE",
    ],
    ["", "sbatch refuses the job: it does not say why"],
  ])("says %j in one sentence", (stderr, sentence) => {
    expect(renderMessage(explainSbatch(stderr))).toBe(sentence);
  });
});

it("isUnreachable() knows a controller that does not answer from a refusal", () => {
  expect(isUnreachable("squeue: error: Unable to contact slurm controller (connect failure)")).toBe(true);
  expect(
    isUnreachable("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"),
  ).toBe(true);
  expect(isUnreachable("sbatch: error: invalid partition specified: nope")).toBe(false);
});

it("parseConfig() reads settings", () => {
  expect([
    ...parseConfig("Configuration data as of now\nMaxArraySize            = 1001\nJobCompLoc  = /a b\n"),
  ]).toEqual([
    ["MaxArraySize", "1001"],
    ["JobCompLoc", "/a b"],
  ]);
});
