/** Programs of a scheduler run by their arguments, never through a shell of ours; on this machine or over ssh. */

import { spawn } from "node:child_process";
import { quoteForShell, setting, UsageError } from "../../base/core/index.ts";
import type { Variables } from "../../base/machine/index.ts";
import { UnreachableError } from "./executor.ts";

/** How a program ended, and what it printed. */
export interface ProgramOutcome {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program with arguments and a text on its standard input. Throws `UsageError` where there is no such program. */
export type RunProgram = (
  program: string,
  args: readonly string[],
  input?: string,
) => Promise<ProgramOutcome>;

/** Without it squeue cuts long lists of array elements off. */
const wholeLists = ["SLURM_BITSTR_LEN", "0"] as const;

/** Longest that a scheduler's program may take: a busy controller answers late, a dead one never. */
const mostMs = 120_000;

/**
 * Runs programs here, or on `host` over ssh, which must not ask for a password. ssh gives its arguments to the shell there as one
 * line, so that each is quoted.
 */
export function createProgramRunner(variables: Variables, host?: string): RunProgram {
  return async (program, args, input = "") => {
    const env = { ...variables, [wholeLists[0]]: wholeLists[1] };
    if (host === undefined) return await runProgram(program, args, { input, env });
    const [name, value] = wholeLists;
    const line = ["env", `${name}=${value}`, program, ...args].map(quoteForShell).join(" ");
    const outcome = await runProgram("ssh", ["-o", "BatchMode=yes", "--", host, line], { input, env });
    if (outcome.code === 127)
      throw new UsageError(
        `Cannot use Slurm at "${host}": it has no ${program}; name a login node by ${setting("profile", "host=NAME")}`,
      );
    // ssh's own failures are its connection's.
    if (outcome.code === 255) throw new UnreachableError(`Cannot reach "${host}": ${outcome.stderr.trim()}`);
    return outcome;
  };
}

async function runProgram(
  program: string,
  args: readonly string[],
  { input, env }: { readonly input: string; readonly env: Variables },
): Promise<ProgramOutcome> {
  const child = spawn(program, args, { stdio: "pipe", env: { ...env } });
  const timer = setTimeout(() => child.kill("SIGKILL"), mostMs);
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (part: string) => {
      text[name] += part;
    });
  // A program that ends before it has read its input is judged by how it ended.
  child.stdin.on("error", () => undefined).end(input);
  try {
    return await new Promise((resolve, reject) => {
      child.on("error", (cause) => {
        reject(
          new UsageError(
            `Cannot run ${program}: ${"code" in cause && cause.code === "ENOENT" ? `there is no such program here; use a login node of the cluster, or name one by ${setting("profile", "host=NAME")}` : cause.message}`,
            { cause },
          ),
        );
      });
      child.on("close", (code) => resolve({ code, ...text }));
    });
  } finally {
    clearTimeout(timer);
  }
}
