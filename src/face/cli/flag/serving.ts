/** What commands that serve have in common. */
import { UsageError } from "../../../base/core/index.ts";

/** Resolves at Ctrl-C or a termination signal. */
export async function untilStopped(): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
}

/** The number behind `--port`. Throws `UsageError` for none. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port < 65_536) return port;
  throw new UsageError(`Cannot read --port "${text}": give a whole number from 0 to 65535`);
}
