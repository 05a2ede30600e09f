/** Which process a lock or an unfinished write belongs to, and whether that process can still be alive. */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { hasCode } from "./path-problem.ts";

/** A process, told apart from those of other machines, of earlier boots and of other containers. */
export interface ProcessIdentity {
  readonly id: number;
  readonly host: string;
  /** Drawn anew whenever the machine starts; empty where the system has none. */
  readonly boot: string;
  /** Number of the PID namespace, in which `id` counts; empty where the system has none. */
  readonly namespace: string;
}

/** What can be known of a process: dead, alive, or not to be seen from here and thus taken for alive. */
export type Fate = "dead" | "alive" | "in another container" | "on another machine";

let own: ProcessIdentity | undefined;

/** This process. */
export function identifyProcess(): ProcessIdentity {
  own ??= {
    id: process.pid,
    host: hostname(),
    boot: readOr("", () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
    namespace: readOr("", () => /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? ""),
  };
  return own;
}

/** What became of a process. */
export function judgeProcess({ id, host, boot, namespace }: ProcessIdentity): Fate {
  const here = identifyProcess();
  const differs = (theirs: string, ours: string): boolean => theirs !== "" && ours !== "" && theirs !== ours;
  if (host !== here.host) return "on another machine";
  if (differs(boot, here.boot)) return "dead";
  if (differs(namespace, here.namespace)) return "in another container";
  return isAlive(id) ? "alive" : "dead";
}

/** A short name for a text, to compare it by. */
export function hashShortly(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

function readOr<Value>(otherwise: Value, read: () => Value): Value {
  try {
    return read();
  } catch {
    // Not this system's way: macOS, Windows, a container without /proc.
    return otherwise;
  }
}

function isAlive(id: number): boolean {
  if (!Number.isSafeInteger(id) || id <= 0) return false;
  try {
    return process.kill(id, 0);
  } catch (error) {
    // A process of another user answers "not permitted": it is alive all the same.
    return hasCode(error, ["EPERM"]);
  }
}
