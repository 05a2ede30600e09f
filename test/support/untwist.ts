/** The compiled command line as a user runs it, and what a test can say of the files that it leaves. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, expect } from "vitest";
import { createTemporaryPath } from "../../src/base/file/temporary-name.ts";

/** The folder of the repository. */
export const root: string = fileURLToPath(new URL("../..", import.meta.url));

/** How a process ended, and all that it printed. */
export interface Outcome {
  /** The exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  /** Without the lines about how long it will take, which only a slow machine sees. */
  readonly stderr: string;
}

const patience = /^[a-z]+: \d+ %, about .* left\n/gm;

/** A process that runs, and its outcome once it ended. */
export interface Running {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
}

/** Environment variables to set on top of the test's own; `undefined` unsets one. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The cache of every process that is given no other: never the user's own. One for each test file. */
const cacheFolder = createTemporaryFolder();
afterAll(() => removeFolder(cacheFolder));

/** Starts `untwist` with these arguments, as a process of its own. */
export function startUntwist(
  args: readonly string[],
  cwd: string = tmpdir(),
  environment: Environment = {},
): Running {
  const child = spawn(process.execPath, [join(root, "bin/untwist.js"), ...args], {
    cwd,
    env: { ...process.env, UNTWIST_CACHE: cacheFolder, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (part: string) => {
      text[name] += part;
    });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...text, stderr: text.stderr.replaceAll(patience, "") }));
  });
  // Awaited by the caller, some time later.
  outcome.catch(() => undefined);
  return { child, outcome };
}

/**
 * Runs the compiled command line to its end in the process of the test: all that `untwist` does, but for the start of
 * Node. One after another, because a process has one working folder and one environment.
 */
export function runUntwist(
  args: readonly string[],
  cwd: string = tmpdir(),
  environment: Environment = {},
): Promise<Outcome> {
  const outcome = lastRun.then(() => runHere(args, cwd, { UNTWIST_CACHE: cacheFolder, ...environment }));
  lastRun = outcome.catch(() => undefined);
  return outcome;
}

let lastRun: Promise<unknown> = Promise.resolve();

async function runHere(args: readonly string[], cwd: string, environment: Environment): Promise<Outcome> {
  const { main } = await import(pathToFileURL(join(root, "dist/node/cli.js")).href);
  const [stdout, stderr] = [capture(process.stdout), capture(process.stderr)];
  const before = { cwd: process.cwd(), environment: setEnvironment(environment) };
  process.chdir(cwd);
  try {
    const code = await main([process.execPath, "untwist", ...args]);
    return { code, stdout: stdout.text(), stderr: stderr.text().replaceAll(patience, "") };
  } finally {
    process.chdir(before.cwd);
    setEnvironment(before.environment);
    stdout.end();
    stderr.end();
  }
}

/** Sets variables of this process's environment, and gives what they were. */
function setEnvironment(variables: Environment): Environment {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  for (const [name, value] of Object.entries(variables))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  return before;
}

/** Keeps what is written to a stream of this process, until the end. */
function capture(stream: NodeJS.WriteStream): { readonly text: () => string; readonly end: () => void } {
  const [write, listeners] = [stream.write, stream.listeners("error")];
  let text = "";
  stream.write = ((part: string | Uint8Array) => {
    text += typeof part === "string" ? part : Buffer.from(part).toString("utf8");
    return true;
  }) as typeof stream.write;
  return {
    text: () => text,
    end: () => {
      stream.write = write;
      for (const listener of stream.listeners("error"))
        if (!listeners.includes(listener)) stream.off("error", listener as () => void);
    },
  };
}

/** Runs `untwist`, which is to succeed, and gives what it printed. */
export async function readOutput(
  args: readonly string[],
  cwd: string,
  environment?: Environment,
): Promise<string> {
  const { code, stdout, stderr } = await runUntwist(args, cwd, environment);
  expect(code, stderr).toBe(0);
  return stdout;
}

/** A folder for the tests of a file, in which they run `untwist`; it is removed after them. */
export interface Workplace {
  readonly folder: string;
  /** A path in it. */
  readonly at: (...path: readonly string[]) => string;
  /** Runs `untwist` there, which is to succeed, and gives what it printed. */
  readonly run: (args: readonly string[], environment?: Environment) => Promise<string>;
}

/** Makes one. */
export function createWorkplace(): Workplace {
  const folder = createTemporaryFolder();
  afterAll(() => removeFolder(folder));
  return {
    folder,
    at: (...path) => join(folder, ...path),
    run: async (args, environment = {}) => await readOutput(args, folder, environment),
  };
}

/** A new folder outside of the repository; whoever makes it removes it. */
export function createTemporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "untwist-test-"));
}

/** Removes a folder and all in it. */
export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** A name that a write has while it goes on, of a process that is no more. */
export function nameLeftover(): string {
  const { pid } = spawnSync("true");
  return basename(createTemporaryPath("any")).replace(`-${process.pid}-`, `-${pid}-`);
}

/** Paths of all files below a folder, relative to it, in order. */
export function listFilesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** SHA-256 of every file below a folder, by relative path. */
export function hashFiles(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    listFilesBelow(folder).map((path) => [
      path,
      createHash("sha256")
        .update(readFileSync(join(folder, path)))
        .digest("hex"),
    ]),
  );
}

/** Inode and time of change of every file below a folder: another value means that it was written again. */
export function identifyFiles(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    listFilesBelow(folder).map((path) => {
      const { ino, mtimeNs } = statSync(join(folder, path), { bigint: true });
      return [path, `${ino} ${mtimeNs}`];
    }),
  );
}

/** What was read as JSON; what it should hold is for the test to say. */
// biome-ignore lint/suspicious/noExplicitAny: tests look at untrusted data field by field
export type Json = any;

/** The JSON in a file or text. */
export function parseJson(text: string): Json {
  return JSON.parse(text);
}

/** A whole recipe, base to GRPO and PPO, that takes seconds. */
export const tinyRecipe = `name: tiny
summary: Base, SFT, one branch of each kind of RL, in seconds
environment: general-points
base: general-points-base
evaluation:
  numTasks: 24
sft:
  numSteps: 12
  batchSize: 16
  optimizer: { learningRate: 0.001 }
  checkpoints: [4, 8]
rl:
  - method: grpo
    from: [8]
    numUpdates: 4
    tasksPerUpdate: 4
    groupSize: 4
    minibatchSize: 16
    optimizer: { learningRate: 0.0001 }
    checkpoints: [2]
  - method: ppo
    from: [4]
    numUpdates: 3
    tasksPerUpdate: 4
    numAttempts: 2
    numEpochs: 2
    minibatchSize: 8
    optimizer: { learningRate: 0.0001 }
    checkpoints: [3]
repairs:
  - name: tiny
    target: sft-12
    source: sft-4
    grid:
      - { what: [directions], top: [0.5], layers: ["0-1"] }
`;
