/** The flags of a command: which were given, and how they are written. */
import type { Command } from "commander";

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
