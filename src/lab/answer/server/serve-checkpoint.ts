/** A user's own server started for a checkpoint, waited for, and stopped again. */

import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { UsageError } from "../../../base/core/index.ts";
import type { Variables } from "../../../base/machine/index.ts";
import { type Effects, StoppedError } from "../../../base/progress/index.ts";
import {
  createAdapterHost,
  type ModelIdentity,
  maskKey,
  stripControls,
} from "../../../bridge/endpoint/index.ts";
import type { ServerSource } from "../answer-source.ts";
import { findModelKey } from "./api-keys.ts";
import { describeServed, findServed } from "./served-models.ts";

/** A server that answers. */
export interface RunningServer {
  readonly url: string;
  /** The checkpoint as the server calls it. */
  readonly model: string;
}

/** Throws `UsageError` where a template lacks its places. */
export function checkTemplate(template: string): void {
  for (const place of ["{path}", "{port}"])
    if (!template.includes(place))
      throw new UsageError(
        `Cannot serve checkpoints by "${template}": it must say ${place}, as in 'vllm serve {path} --port {port}'`,
      );
  if (/["']\{path\}|\{path\}["']/.test(template))
    throw new UsageError(
      `Cannot serve checkpoints by "${template}": leave out the quotes around {path}; it is quoted already`,
    );
}

/**
 * Starts the server of a checkpoint, waits until it answers, does `work`, and stops it, with all processes that it started.
 * Throws `UsageError` where it ends or does not answer in time, or serves another model than the checkpoint.
 */
export async function withServer<Result>(
  { template, startMs, requests }: ServerSource,
  path: string,
  effects: Effects,
  work: (server: RunningServer) => Promise<Result>,
): Promise<Result> {
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}/v1`;
  const apiKey = findModelKey({ url, apiKeyEnv: requests.apiKeyEnv }, effects.machine.variables);
  // By a variable: no name of a folder can be anything but a name to the shell.
  const line = template
    .replaceAll("{path}", () => '"$UNTWIST_PATH"')
    .replaceAll("{port}", () => String(port));
  const child = startGroup(line, path, effects.machine.variables);
  const killAtExit = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  };
  process.once("exit", killAtExit);
  const log = keepLastLines(child, apiKey);
  try {
    const host = createAdapterHost({ ...requests, apiKey, url, maxTries: 1, signal: effects.signal });
    const until = effects.now() + startMs;
    for (;;) {
      if (effects.signal.aborted) throw new StoppedError();
      if (child.exitCode !== null || child.signalCode !== null)
        throw new UsageError(
          `Cannot serve "${path}": the server ended before it answered; its last words: ${log()}`,
        );
      const models = await host.list().catch(() => undefined);
      if (models !== undefined) return await work({ url, model: await requireServed(models, path) });
      if (effects.now() > until)
        throw new UsageError(
          `Cannot serve "${path}": the server does not answer after ${Math.round(startMs / 1000)} s; its last words: ${log()}`,
        );
      await wait(200, undefined, { signal: effects.signal }).catch(() => undefined);
    }
  } finally {
    await stopGroup(child);
    process.off("exit", killAtExit);
  }
}

/**
 * Ends the server with us, however we end: the pipe at 3 is closed by the system even where we are killed, and whoever reads it
 * then stops the whole group.
 */
const watchdog =
  '(cat <&3; trap "" TERM; kill -TERM -$$; sleep 10; kill -KILL -$$) >/dev/null 2>&1 & exec 3<&-';

/** Starts a shell command as a group of its own, so that all of it can be stopped. */
function startGroup(line: string, path: string, variables: Variables): ChildProcess {
  const child = spawn("sh", ["-c", `${watchdog}\n${line}`], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...variables, UNTWIST_PATH: path },
  });
  child.stdio[3]?.on("error", () => undefined);
  return child;
}

/** The checkpoint's name at the server. Throws `UsageError` where it serves another model. */
async function requireServed(models: readonly ModelIdentity[], path: string): Promise<string> {
  // It was started in the folder that we work in.
  const model = await findServed(models, path, process.cwd());
  if (model !== undefined) return model;
  throw new UsageError(
    `Cannot evaluate "${path}": the server that was started for it serves ${describeServed(models)}; does the command pass on {path}?`,
  );
}

/** The end of what a process prints, in one line and without the key. */
function keepLastLines({ stdout, stderr }: ChildProcess, key: string | undefined): () => string {
  let text = "";
  for (const stream of [stdout, stderr])
    stream?.setEncoding("utf8").on("data", (part: string) => {
      text = (text + part).slice(-2000);
    });
  return () =>
    maskKey(stripControls(text), key).trim().split("\n").slice(-3).join(" / ").slice(-500) || "none";
}

/** Stops a group, by force where it does not go by itself, and waits until all of it is gone. */
async function stopGroup({ pid }: ChildProcess): Promise<void> {
  if (pid === undefined) return;
  const send = (signal: NodeJS.Signals | 0): boolean => {
    try {
      return process.kill(-pid, signal);
    } catch {
      // The group is gone.
      return false;
    }
  };
  const isGone = async (deadlineMs: number): Promise<boolean> => {
    for (let waited = 0; waited < deadlineMs; waited += 50) {
      if (!send(0)) return true;
      await wait(50);
    }
    return false;
  };
  send("SIGTERM");
  if (await isGone(10_000)) return;
  send("SIGKILL");
  // What it held, a GPU above all, is free only then.
  await isGone(10_000);
}

async function findFreePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
