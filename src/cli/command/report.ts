/** `untwist report`: a run as one HTML file that needs no server. */
import { basename, join } from "node:path";
import { Command } from "commander";
import { UsageError } from "../../base/index.ts";
import { folderExists, writeFileAtomic } from "../../file/index.ts";
import { summarize } from "../../lab/index.ts";
import { openRunFolder } from "../../run/index.ts";
import { collectReport, createReportPage } from "../../view/index.ts";

const examples = `
Examples:
  untwist report runs/general-points                      writes runs/general-points/report.html
  untwist report runs/general-points --out forgetting.html`;

/** The command. */
export function createReportCommand(): Command {
  return new Command("report")
    .description("write a run as one HTML file that opens without a server")
    .argument("<run>", "the folder of a run")
    .option("--out <file>", "where to write it (default: report.html in the run)")
    .addHelpText("after", examples)
    .action(async (path: string, { out }: { readonly out?: string }) => {
      process.stdout.write(`Written to ${await writeReport(path, out)}\n`);
    });
}

/** Writes the report of a run and gives its path. Throws `UsageError` for a run without checkpoints. */
export async function writeReport(path: string, out: string = join(path, "report.html")): Promise<string> {
  if (out.trim() === "" || (await folderExists(out)))
    throw new UsageError(`Cannot write the report into "${out}": give --out the name of a file`);
  const folder = await openRunFolder(path);
  const data = await collectReport(basename(path), folder, summarize);
  await writeFileAtomic(out, await createReportPage(data));
  return out;
}
