/** Where jobs are carried out and kept. */
import { join } from "node:path";
import type { Machine } from "../../base/machine/index.ts";
import type { ExecutorName, Profile } from "../executor/index.ts";
import type { JobOrigin, PlainRule } from "../job/index.ts";

/** Where a job is carried out, and how it is looked after. */
export interface JobOptions {
  readonly executor: ExecutorName;
  readonly profile: Profile;
  /** Of a local executor: memory of all its processes together. Default: half of what is free. */
  readonly bytes?: number | undefined;
  readonly origin: JobOrigin;
  /** Followed to its end, only handed over, or only described. */
  readonly mode: "follow" | "detach" | "describe";
  readonly intervalMs: number;
  /** The job that this is to be, where somebody attaches to one. */
  readonly expected?: string | undefined;
}

/** Where jobs are kept: the cache folder, which all nodes of a cluster must see under the same path. */
export function locateJobs({ cacheFolder }: Pick<Machine, "cacheFolder">): string {
  return join(cacheFolder, "jobs");
}

/** Packs that take less are put together. */
const leastSeconds = 30;

/** How packs are made there. */
export function createRule({ profile }: JobOptions): PlainRule {
  const { cpus = 1, memory, time } = profile;
  return {
    leastSeconds,
    cores: cpus,
    bytes: memory,
    seconds: time,
  };
}
