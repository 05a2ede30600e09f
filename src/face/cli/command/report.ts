/** `untwist report`: a run as one HTML file that needs no server, and its charts as files. */

import { basename, join } from "node:path";
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import {
  fileExists,
  folderExists,
  openByteSource,
  pathExists,
  writeFileAtomic,
} from "../../../base/file/index.ts";
import { openRunFolder } from "../../../run/index.ts";
import { thisMachine } from "../this-machine.ts";

interface ReportFlags {
  readonly out?: string;
  readonly figures?: string;
}

const examples = `
Examples:
  untwist report runs/general-points                      writes runs/general-points/report.html
  untwist report runs/general-points --out forgetting.html
  untwist report runs/general-points --figures figures    and every chart as SVG, its numbers as CSV`;

/** `untwist report`: its arguments, flags and help, and the action that carries it out. */
export function createReportCommand(): Command {
  return new Command()
    .argument("<run>", "the folder of a run")
    .option("--out <file>", "where to write it (default: report.html in the run)")
    .option("--figures <folder>", "write the charts into this folder too, as SVG and CSV")
    .addHelpText("after", examples)
    .action(async (path: string, flags: ReportFlags) => {
      const { out, numFigures } = await writeReport(path, flags);
      process.stdout.write(`Written to ${out}\n`);
      if (flags.figures !== undefined)
        process.stdout.write(`Written to ${flags.figures}: ${numFigures} charts, each as SVG and CSV\n`);
    });
}

/** Writes the report of a run. Throws `UsageError` for a run without checkpoints and for places that cannot be written. */
export async function writeReport(
  path: string,
  { out: given, figures }: ReportFlags = {},
): Promise<{ readonly out: string; readonly numFigures: number }> {
  const out = given ?? join(path, "report.html");
  if (out.trim() === "" || (await folderExists(out)))
    throw new UsageError(`Cannot write the report into "${out}": give --out the name of a file`);
  if (figures?.trim() === "")
    throw new UsageError("Cannot write figures into a folder without a name; give --figures a folder");
  if (given !== undefined) await requireReport(given);
  const folder = await openRunFolder(path);
  // What only few commands need is loaded by these.
  const { collectReport, createReportPage, writeFigures } = await import("../../view/index.ts");
  const data = await collectReport(basename(path), folder, thisMachine());
  await writeFileAtomic(out, await createReportPage(data));
  const names = figures === undefined ? [] : await writeFigures(data, figures);
  return { out, numFigures: names.length };
}

/** Throws `UsageError` where anything else than an earlier report lies at the path: it would be lost. */
async function requireReport(out: string): Promise<void> {
  if (!(await pathExists(out))) return;
  const start = (await fileExists(out)) ? await readStart(out) : "";
  if (!/^<!doctype html>[\s\S]*<title>Untwist/i.test(start))
    throw new UsageError(
      `Cannot write the report into "${out}": what lies there is not a report, and would be lost; give --out another name`,
    );
}

/** As much of a file as holds the head of a page. */
async function readStart(path: string): Promise<string> {
  const source = await openByteSource(path);
  try {
    return new TextDecoder().decode(await source.read(0, Math.min(source.size, 4096)));
  } finally {
    await source.close();
  }
}
