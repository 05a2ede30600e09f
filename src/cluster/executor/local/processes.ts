/** Executors whose packs are processes of this one: started as they fit, ended with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { readTail } from "../../../base/file/index.ts";
import { readCause } from "../cause.ts";
import {
  type Executor,
  type ExecutorName,
  mostLogBytes,
  type PackState,
  type PlacedPack,
  type PlacedSubmission,
} from "../executor.ts";

/** What such executors differ in. */
export interface ProcessOptions {
  readonly name: ExecutorName;
  /** Throws `UsageError` for packs that could never be started. */
  readonly admit: (submission: PlacedSubmission) => void;
  /** Whether a pack may be started beside those that run. */
  readonly fits: (next: PlacedPack, running: readonly PlacedPack[]) => boolean;
  /** The program and its arguments that carry out a pack, and end when it is done. */
  readonly start: (pack: PlacedPack) => readonly string[];
  /** Whether the program is untwist itself, which learns by a channel when this process ends, however that ends. */
  readonly isOwn: boolean;
  readonly describe: (submission: PlacedSubmission) => string;
}

/** The executor. */
export function createProcessExecutor({ name, admit, describe, ...options }: ProcessOptions): Executor {
  const processes = createProcesses(options);
  const refine = async ({ state, place }: Found): Promise<PackState> => {
    if (state.kind !== "ended" || state.cause !== "failed") return state;
    return { ...state, cause: readCause(await readLog(place.submission, place.pack)) ?? "failed" };
  };
  return {
    name,
    submit: async (submission) => {
      admit(submission);
      processes.add([...submission.packs.keys()].map((pack) => ({ submission, pack })));
    },
    describe: async (submission) => describe(submission),
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
    close: async () => {
      processes.stop(() => true);
      await processes.untilEnded();
    },
  };
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
  /** Waits for those that were told to end. */
  untilEnded(): Promise<void>;
}

function createProcesses({
  fits,
  start,
  isOwn,
}: Pick<ProcessOptions, "fits" | "start" | "isOwn">): Processes {
  const states = new Map<string, PackState>();
  const queue: PlacedPack[] = [];
  const running = new Map<ChildProcess, PlacedPack>();
  const ending = new Set<ChildProcess>();
  // They have groups of their own, which a terminal's Ctrl-C does not reach.
  const endAll = (): void => {
    for (const child of [...running.keys(), ...ending]) signalGroup(child, "SIGKILL");
  };
  process.on("exit", endAll);
  const end = (child: ChildProcess): void => {
    ending.add(child);
    child.on("close", () => ending.delete(child));
    signalGroup(child, "SIGTERM");
  };
  const startWhatFits = (): void => {
    for (;;) {
      const position = queue.findIndex((pack) => fits(pack, [...running.values()]));
      const [next] = position < 0 ? [] : queue.splice(position, 1);
      if (next === undefined) return;
      const child = startPack(next, { line: start(next), isOwn }, (state) => {
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
    untilEnded: async () => {
      for (let waited = 0; ending.size > 0 && waited < mostEndMs; waited += 20) await wait(20);
      for (const child of ending) signalGroup(child, "SIGKILL");
      process.off("exit", endAll);
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
        end(child);
      }
    },
  };
}

/** Starts a pack's process, its words going to its log. */
function startPack(
  { submission, pack }: PlacedPack,
  { line: [program = "", ...args], isOwn }: { readonly line: readonly string[]; readonly isOwn: boolean },
  onEnd: (state: PackState) => void,
): ChildProcess {
  const log = createWriteStream(locateLog(submission, pack), { flags: "a" });
  // What cannot be written is not a reason to end the work.
  log.on("error", () => undefined);
  // A group of its own, so that all of it can be ended.
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe", ...(isOwn ? (["ipc"] as const) : [])],
    detached: true,
  });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  child.on("error", () => onEnd({ kind: "ended", cause: "failed" }));
  child.on("close", (code, signal) => {
    log.end();
    // Killed from outside: not the work's own fault.
    const cause = code === 0 ? "completed" : signal === "SIGKILL" || signal === "SIGTERM" ? "node" : "failed";
    onEnd({ kind: "ended", cause });
  });
  return child;
}

const keyOf = ({ submission: { job, number }, pack }: PlacedPack): string => `${job} ${number} ${pack}`;

function locateLog({ folder, number }: PlacedSubmission, pack: number): string {
  return join(folder, "logs", `${number}.0-${pack}.log`);
}

async function readLog(submission: PlacedSubmission, pack: number): Promise<string> {
  return await readTail(locateLog(submission, pack), mostLogBytes);
}

/** How long processes may take to end, with the servers that they may have started. */
const mostEndMs = 3000;

function signalGroup({ pid }: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended by itself.
  }
}
