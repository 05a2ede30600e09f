/** A command as it was given, to be given again. */
import type { Command } from "commander";
import { quoteForShell } from "../../../base/core/index.ts";

/** The command with its arguments and flags, quoted for a POSIX shell. */
export function describeCommand(
  name: string,
  folders: readonly string[],
  flags: Readonly<Record<string, unknown>>,
): string {
  const given = Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .flatMap(([flag, value]) => (Array.isArray(value) ? value : [value]).map((one) => [flag, one] as const))
    .map(([flag, value]) => {
      return value === true ? nameFlag(flag) : `${nameFlag(flag)} ${quoteForShell(String(value))}`;
    });
  return [`untwist ${name}`, ...folders.map(quoteForShell), ...given].join(" ");
}

/** A flag as it is written, by the name that commander gives it: `--lora-endpoint` for `loraEndpoint`. */
export function nameFlag(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The flags of a command that were really given, without those that have their defaults. */
export function listGiven(command: Command): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(command.opts()).filter(([name]) => command.getOptionValueSource(name) === "cli"),
  );
}
