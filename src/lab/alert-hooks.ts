/** Who is told of an alert besides the terminal: a shell command and a webhook of the user's. */
import { spawn } from "node:child_process";
import { quoteForShell, UsageError } from "../base/index.ts";
import type { Effects } from "./effects.ts";

/** A shell command and an address that are told of an alert. */
export interface AlertHooks {
  readonly alertCommand?: string | undefined;
  readonly webhook?: string | undefined;
}

/** What they are told: the body of the webhook's request, as JSON; for the command `UNTWIST_TEXT`, `UNTWIST_KEEP_PATH`, … */
export type AlertMessage = Readonly<Record<string, string | number>>;

/** Runs the command and calls the webhook; what goes wrong with them is reported, and stops nothing. */
export async function callAlertHooks(
  { alertCommand, webhook }: AlertHooks,
  message: AlertMessage,
  { report }: Pick<Effects, "report">,
): Promise<void> {
  const attempt = async (what: string, work: Promise<void>): Promise<void> => {
    await work.catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      report({ kind: "notice", text: `The alert could not be passed on to ${what}: ${reason}` });
    });
  };
  if (alertCommand !== undefined)
    await attempt(`the command ${quoteForShell(alertCommand)}`, runCommand(alertCommand, message));
  if (webhook !== undefined) await attempt(webhook, callWebhook(webhook, message));
}

/** Longest that a hook may take. */
const mostHookMs = 60_000;

/** A shell command with the message in its environment. */
async function runCommand(line: string, message: AlertMessage): Promise<void> {
  const variables = Object.entries(message).map(([key, value]) => [
    `UNTWIST_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
    String(value),
  ]);
  const child = spawn("sh", ["-c", line], {
    stdio: ["ignore", 2, 2],
    env: { ...process.env, ...Object.fromEntries(variables) },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), mostHookMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  }).finally(() => clearTimeout(timer));
  if (code !== 0) throw new UsageError(`it ended with ${code ?? "a signal"}`);
}

async function callWebhook(url: string, message: AlertMessage): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(mostHookMs),
  });
  if (!response.ok) throw new UsageError(`it answered with status ${response.status}`);
}
