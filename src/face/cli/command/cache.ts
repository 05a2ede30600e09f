/** `untwist cache`: what the cache holds, and a way to make it smaller. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { type CacheUse, cacheKinds, measureCache, pruneCache } from "../../../lab/cache/index.ts";
import { createOutput } from "../output.ts";
import { formatTable } from "../screen/table.ts";
import { thisMachine } from "../this-machine.ts";

interface CacheFlags {
  readonly prune?: string;
  readonly json?: boolean;
}

/** `untwist cache`: its arguments, flags and help, and the action that carries it out. */
export function createCacheCommand(): Command {
  return new Command()
    .option(
      "--prune <days>",
      "delete factors, comparisons and answers of the embedded engine that were not used for so many days, and those of earlier versions; answers of servers and jobs stay",
    )
    .option("--json", "print it as JSON")
    .addHelpText("after", "\nExamples:\n  untwist cache\n  untwist cache --prune 30")
    .action(run);
}

const dayMs = 24 * 60 * 60 * 1000;

async function run(flags: CacheFlags): Promise<void> {
  const { cacheFolder } = thisMachine();
  const pruned =
    flags.prune === undefined
      ? undefined
      : await pruneCache(cacheFolder, Date.now() - parseDays(flags.prune));
  const report = await measureCache(cacheFolder);
  const rows = cacheKinds.map((kind) => [kind, ...describeUse(report.kinds[kind])]);
  const lines = [report.folder, "", ...formatTable(rows, { right: [1, 2] })];
  const said = pruned === undefined ? [] : ["", `Deleted: ${describeUse(pruned).join(", ")}`];
  createOutput(flags).print([...lines, ...said], { ...report, ...(pruned !== undefined && { pruned }) });
}

function parseDays(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text) * dayMs;
  throw new UsageError(`Cannot read --prune "${text}": give a whole number of days, as in --prune 30`);
}

function describeUse({ numFiles, numBytes }: CacheUse): readonly string[] {
  return [`${numFiles.toLocaleString("en")} files`, `${(numBytes / 2 ** 20).toFixed(1)} MiB`];
}
