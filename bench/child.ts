/** Child processes and temporary folders of benchmarks: both are gone afterwards, on Ctrl-C too. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

const running = new Set<ChildProcess>();
const folders = new Set<string>();

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => {
    // Nobody may write into a folder that is being removed; a child with folders of its own removes them itself.
    for (const child of running) child.kill(folders.size > 0 ? "SIGKILL" : signal);
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    process.exit(128 + constants.signals[signal]);
  });

// However this process ends.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Calls `work` with a fresh folder, and removes it afterwards. */
export async function withTemporaryFolder<Value>(work: (folder: string) => Promise<Value>): Promise<Value> {
  const folder = mkdtempSync(join(tmpdir(), "untwist-bench-"));
  folders.add(folder);
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    folders.delete(folder);
  }
}

/** How a child process ended. */
interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a child that goes on until it is killed, or this process is. */
export function startChild(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): ChildProcess {
  const child = spawn(command, args, options);
  running.add(child);
  child.on("close", () => running.delete(child));
  return child;
}

/** Starts a child, calls `onStart` with it, and waits for its end. A child that cannot be started ends with 127. */
export function runChild(
  command: string,
  args: readonly string[],
  { onStart, ...options }: SpawnOptions & { readonly onStart?: (child: ChildProcess) => void } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = startChild(command, args, options);
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name]?.on("data", (chunk: Buffer) => {
        output[name] += chunk.toString("utf8");
      });
    const end = (code: number, problem = ""): void => {
      running.delete(child);
      resolve({ code, ...output, stderr: output.stderr + problem });
    };
    child.on("error", (error) => end(127, error.message));
    child.on("close", (code, signal) => end(code ?? 1, signal === null ? "" : `Ended by ${signal}`));
    onStart?.(child);
  });
}

/** Runs a child that shows its own output; its exit code. */
export async function inheritChild(command: string, args: readonly string[]): Promise<number> {
  const { code } = await runChild(command, args, { stdio: "inherit" });
  return code;
}
