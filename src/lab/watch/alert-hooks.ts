/** Where an alert goes besides the terminal: a shell command and a webhook of the user's. */

import { spawn } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";
import { quoteForShell, setting, showAddress, UsageError } from "../../base/core/index.ts";
import type { Variables } from "../../base/machine/index.ts";

/** A shell command to run and an address to post to for an alert. */
export interface AlertHooks {
  readonly alertCommand?: string | undefined;
  readonly webhook?: string | undefined;
}

/** What they receive: the body of the webhook's request, as JSON; for the command `UNTWIST_TEXT`, `UNTWIST_KEEP_PATH`, … */
export type AlertMessage = Readonly<Record<string, string | number>>;

/** One of them: `name` is the kind, `place` says which it is without what may be secret. */
export interface AlertHook {
  readonly name: "command" | "webhook";
  readonly place: string;
  /** Throws where it failed, each of several times. Gives up early when the signal is aborted. */
  call(message: AlertMessage, signal: AbortSignal): Promise<void>;
}

/** The hooks that are given. Throws `UsageError` for an address that cannot be called. */
export function openHooks({ alertCommand, webhook }: AlertHooks, variables: Variables): readonly AlertHook[] {
  const hooks: AlertHook[] = [];
  if (alertCommand !== undefined)
    hooks.push({
      name: "command",
      place: `the command ${quoteForShell(alertCommand)}`,
      call: (message, signal) => tryAgain(() => runCommand(alertCommand, message, variables), signal),
    });
  if (webhook !== undefined) {
    const address = parseAddress(webhook);
    hooks.push({
      name: "webhook",
      place: showAddress(webhook),
      call: (message, signal) => tryAgain(() => callWebhook(address, message), signal),
    });
  }
  return hooks;
}

function parseAddress(text: string): URL {
  const refuse = (problem: string): never => {
    throw new UsageError(
      `Cannot call the ${setting("webhook")}: ${problem}; give an address as https://host/path, without a name and password in it`,
    );
  };
  const address = URL.canParse(text) ? new URL(text) : refuse("it is not an address");
  if (!/^https?:\/\//i.test(text)) refuse("it does not start with http:// or https://");
  if (address.username !== "" || address.password !== "") refuse("there are a name or a password in it");
  return address;
}

/** Waits between tries. */
const pausesMs = [1000, 2000, 4000];

async function tryAgain(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (const pauseMs of pausesMs)
    try {
      await work();
      return;
    } catch (error) {
      // Who stops the watch is not kept waiting: the next one tells.
      if (signal.aborted) throw error;
      await wait(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  await work();
}

/** Longest that a hook may take. */
const mostHookMs = 60_000;

/** A shell command with the message in its environment. */
async function runCommand(line: string, message: AlertMessage, variables: Variables): Promise<void> {
  const own = Object.entries(message).map(([key, value]) => [
    `UNTWIST_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
    String(value),
  ]);
  const child = spawn("sh", ["-c", line], {
    stdio: ["ignore", 2, 2],
    env: { ...variables, ...Object.fromEntries(own) },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), mostHookMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  }).finally(() => clearTimeout(timer));
  if (code !== 0) throw new UsageError(`it ended with ${code ?? "a signal"}`);
}

async function callWebhook(address: URL, message: AlertMessage): Promise<void> {
  const response = await fetch(address, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(mostHookMs),
  });
  await response.body?.cancel();
  if (!response.ok) throw new UsageError(`it answered with status ${response.status}`);
}
