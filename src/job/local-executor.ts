/** This machine as an executor: packs in processes of their own, as many at a time as memory and cores allow. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../base/index.ts";
import { fileExists, readText } from "../file/index.ts";
import type { Executor, PackState, PlacedPack, PlacedSubmission } from "./executor.ts";
import { readCause } from "./slurm-text.ts";

/** What of the machine may be used. */
export interface LocalOptions {
  readonly cores: number;
  /** Memory of all processes together: none is started that does not fit. */
  readonly bytes: number;
  /** As of `SlurmOptions`. */
  readonly command: readonly string[];
}

/** The executor. Its processes end with this one. */
export function createLocalExecutor(options: LocalOptions): Executor {
  const { cores, bytes } = options;
  const processes = createProcesses(options);
  return {
    name: "local",
    capabilities: async () => ({ isDetached: false }),
    submit: async (submission) => {
      const { resources } = submission;
      if (resources.bytes > bytes || resources.cores > cores)
        throw new UsageError(describeMisfit(resources.bytes, bytes));
      processes.add([...submission.packs.keys()].map((pack) => ({ submission, pack })));
    },
    describe: async ({ packs, resources }) =>
      `${packs.length} processes of ${resources.cores} cores and ${describeBytes(resources.bytes)}, at most ${Math.floor(Math.min(cores / resources.cores, bytes / resources.bytes))} at a time`,
    poll: async (submissions) =>
      await Promise.all(
        submissions.map((submission) =>
          Promise.all(submission.packs.map((_, pack) => refine(processes.find({ submission, pack })))),
        ),
      ),
    cancel: async (packs) => {
      const keys = new Set(packs.map(keyOf));
      processes.stop((pack) => keys.has(keyOf(pack)));
    },
    logs: readLog,
    close: async () => processes.stop(() => true),
  };

  async function refine({ state, place }: Found): Promise<PackState> {
    if (state.kind !== "ended" || state.cause !== "failed") return state;
    return { ...state, cause: readCause(await readLog(place.submission, place.pack)) ?? "failed" };
  }
}

interface Found {
  readonly place: PlacedPack;
  readonly state: PackState;
}

/** Processes that wait, run and have ended. */
interface Processes {
  add(packs: readonly PlacedPack[]): void;
  find(pack: PlacedPack): Found;
  /** Ends those that run, and forgets those that wait. */
  stop(isWanted: (pack: PlacedPack) => boolean): void;
}

function createProcesses({ cores, bytes, command }: LocalOptions): Processes {
  const states = new Map<string, PackState>();
  const queue: PlacedPack[] = [];
  const running = new Map<ChildProcess, PlacedPack>();
  const sum = (of: (pack: PlacedPack) => number): number =>
    [...running.values()].reduce((total, pack) => total + of(pack), 0);
  const fits = ({ submission: { resources } }: PlacedPack): boolean =>
    resources.cores + sum(({ submission }) => submission.resources.cores) <= cores &&
    resources.bytes + sum(({ submission }) => submission.resources.bytes) <= bytes;
  const startWhatFits = (): void => {
    for (;;) {
      const position = queue.findIndex(fits);
      const [next] = position < 0 ? [] : queue.splice(position, 1);
      if (next === undefined) return;
      const child = startPack(next, command, (state) => {
        if (!running.delete(child)) return;
        states.set(keyOf(next), state);
        startWhatFits();
      });
      running.set(child, next);
      states.set(keyOf(next), { kind: "running" });
    }
  };
  return {
    add: (packs) => {
      for (const pack of packs) states.set(keyOf(pack), { kind: "waiting" });
      queue.push(...packs);
      startWhatFits();
    },
    // What an earlier process started ended with it.
    find: (place) => ({ place, state: states.get(keyOf(place)) ?? { kind: "ended", cause: "node" } }),
    stop: (isWanted) => {
      const forget = (pack: PlacedPack): void =>
        void states.set(keyOf(pack), { kind: "ended", cause: "cancelled" });
      for (const pack of queue.filter(isWanted)) {
        queue.splice(queue.indexOf(pack), 1);
        forget(pack);
      }
      for (const [child, pack] of [...running].filter(([, one]) => isWanted(one))) {
        running.delete(child);
        forget(pack);
        child.kill("SIGKILL");
      }
    },
  };
}

/** Starts a pack's process, its words going to its log. */
function startPack(
  { submission, pack }: PlacedPack,
  command: readonly string[],
  onEnd: (state: PackState) => void,
): ChildProcess {
  const [program = "", ...args] = [...command, submission.folder, String(submission.number), String(pack)];
  const log = createWriteStream(locateLog(submission, pack), { flags: "a" });
  // By the channel it learns when this process ends, however that ends.
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  child.on("error", () => onEnd({ kind: "ended", cause: "failed" }));
  child.on("close", (code) => {
    log.end();
    // Killed from outside, as by a system without memory: not the work's own fault.
    onEnd({ kind: "ended", cause: code === 0 ? "completed" : code === null ? "node" : "failed" });
  });
  return child;
}

const keyOf = ({ submission: { job, number }, pack }: PlacedPack): string => `${job} ${number} ${pack}`;

function locateLog({ folder, number }: PlacedSubmission, pack: number): string {
  return join(folder, "logs", `${number}.0-${pack}.log`);
}

async function readLog(submission: PlacedSubmission, pack: number): Promise<string> {
  const path = locateLog(submission, pack);
  return (await fileExists(path)) ? await readText(path) : "";
}

function describeMisfit(needed: number, given: number): string {
  return `Cannot carry out the job here: a piece of it takes ${describeBytes(needed)}, and ${describeBytes(given)} are allowed; allow more with --memory ${Math.ceil(needed / 1e8) / 10}GB, or use --on slurm`;
}

/** `1.5 GB`. */
function describeBytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
