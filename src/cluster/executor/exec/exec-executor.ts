/** Any other way to run a command elsewhere, by a line of shell of the user's. */
import { quoteForShell, UsageError } from "../../../base/core/index.ts";
import type { Executor, PlacedPack } from "../executor.ts";
import { createProcessExecutor } from "../local/processes.ts";

/** How packs are carried out. */
export interface ExecOptions {
  /**
   * A line of shell that lasts as long as the pack: `{command}` stands for the command, `{index}` for the pack's position among
   * `{count}`, from 0.
   */
  readonly line: string;
  /** Packs at a time. */
  readonly atMost: number;
  /** As of `SlurmOptions`. */
  readonly command: readonly string[];
}

/** The executor. Its lines end with this process. Throws `UsageError` for a line without `{command}`. */
export function createExecExecutor({ line, atMost, command }: ExecOptions): Executor {
  if (!line.includes("{command}"))
    throw new UsageError(
      `Cannot carry out packs by "${line}": it must say {command}, as in exec='srun -n1 {command}'`,
    );
  const fill = ({ submission: { folder, number, packs }, pack }: PlacedPack): string => {
    const whole = [...command, folder, String(number), String(pack)].map(quoteForShell).join(" ");
    const values = { command: whole, index: String(pack), count: String(packs.length) };
    return line.replaceAll(/\{(command|index|count)\}/g, (_, name: keyof typeof values) => values[name]);
  };
  return createProcessExecutor({
    name: "exec",
    admit: () => undefined,
    fits: (_, running) => running.length < atMost,
    start: (pack) => ["sh", "-c", fill(pack)],
    isOwn: false,
    describe: (submission) => submission.packs.map((_, pack) => fill({ submission, pack })).join("\n"),
  });
}
