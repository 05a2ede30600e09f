/** Flags that say which tasks a model is asked, and how: the same wherever models are evaluated. */
import type { Command } from "commander";
import type { TaskChoice } from "../../../lab/answer/index.ts";
import { type PromptFormat, promptFormats } from "../../../tasks/environment/index.ts";
import { parseChoice, parseCount } from "./parse-flags.ts";

/** The flags as given. */
export interface TaskFlags {
  readonly environment?: string;
  readonly count?: string;
  readonly seed?: string;
  readonly promptFormat?: string;
  readonly attempts?: string;
  readonly maxNewTokens?: string;
}

/** Adds all of them but `--environment`, which each command describes in its own words. */
export function addTaskFlags(command: Command): Command {
  return command
    .option("--count <number>", "tasks per split (default: 200, or all there are)")
    .option("--seed <number>", "which tasks (default: 1)")
    .option(
      "--prompt-format <name>",
      "how tasks are written: compact or chat (default: chat through a server, else compact where it is known)",
    )
    .option("--attempts <number>", "answers that a task allows (default: as the environment says)")
    .option(
      "--max-new-tokens <number>",
      "longest answer, in tokens (default: 64 in the compact prompt format, 512 in chats)",
    );
}

/** What the flags choose; absent is what was not said. Throws `UsageError`. */
export function parseTasks(flags: TaskFlags, leastTasks = 1): TaskChoice {
  const { environment, promptFormat } = flags;
  const count = (flag: string, text: string | undefined, least: number): number | undefined =>
    text === undefined ? undefined : parseCount(flag, text, least);
  return {
    environment,
    promptFormat:
      promptFormat === undefined
        ? undefined
        : parseChoice<PromptFormat>("--prompt-format", promptFormat, promptFormats),
    numTasks: count("--count", flags.count, leastTasks),
    seed: count("--seed", flags.seed, 0),
    numAttempts: count("--attempts", flags.attempts, 1),
    maxNewTokens: count("--max-new-tokens", flags.maxNewTokens, 1),
  };
}
