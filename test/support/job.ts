/** Jobs whose pieces echo, wait and fail by what their names say (`job-worker.mjs`), to see what executors do with them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { JobOptions } from "../../src/cluster/dispatch/index.ts";
import { type Executor, type Profile, parseProfile } from "../../src/cluster/executor/index.ts";
import { followJob, type JobFolder, obtainJob } from "../../src/cluster/job/index.ts";
import { builtProgram } from "./build-programs.ts";

/** How packs of such jobs are carried out. */
export const workCommand: readonly string[] = [process.execPath, fileURLToPath(builtProgram("job-worker"))];

/** A profile that asks for nothing. */
export const plainProfile: Profile = parseProfile(undefined, []);

/** A job on this machine of which only is said what it would be. */
export const describeOnly: JobOptions = {
  executor: "local",
  profile: plainProfile,
  origin: { args: [], folder: "/", at: "2026-01-01T00:00:00Z" },
  mode: "describe",
  intervalMs: 1,
};

let numJobs = 0;
/** A job in `home`; every one of them new. `seconds` is what each piece is estimated to take. */
export async function createTestJob(
  home: string,
  names: readonly string[],
  { seconds = 60 }: { readonly seconds?: number } = {},
): Promise<JobFolder> {
  const plan = {
    kind: "test",
    input: numJobs++,
    pieces: names.map((name) => ({ name, seconds, bytes: 0 })),
  };
  return await obtainJob(home, { plan, origin: { args: [], folder: home, at: "2026-01-01T00:00:00Z" } });
}

/** Names of pieces as they were begun, in order. */
export const listBegun = ({ path }: JobFolder): readonly string[] =>
  existsSync(join(path, "begun.log"))
    ? readFileSync(join(path, "begun.log"), "utf8").trimEnd().split("\n")
    : [];

/** Results of all pieces; throws where one is missing. */
export const readResults = async (job: JobFolder): Promise<readonly unknown[]> =>
  await Promise.all([...job.plan.pieces.keys()].map((piece) => job.readResult(piece, z.unknown())));

/** How a job is looked after in a test. */
export interface Looking {
  readonly bytes?: number;
  readonly seconds?: number;
  readonly leastSeconds?: number;
  readonly signal?: AbortSignal;
  readonly notices?: string[];
  readonly onLook?: (numDone: number, numRunning: number) => void;
}

/** Follows a job, looking four times a second. */
export async function lookAfter(job: JobFolder, executor: Executor, options: Looking = {}): Promise<void> {
  const { bytes = 2 ** 30, leastSeconds = 30, signal = new AbortController().signal } = options;
  await followJob(job, {
    executor,
    rule: { leastSeconds, cores: 1, bytes, seconds: options.seconds },
    intervalMs: 250,
    signal,
    onProgress: ({ numDone, packs }) => options.onLook?.(numDone, packs.numRunning),
    onNotice: (text) => options.notices?.push(text),
  });
}
