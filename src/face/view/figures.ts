/** The main charts of a run as files: drawn by the same code as the page's, built for Node. */
import { join } from "node:path";
import { writeFileAtomic } from "../../base/file/index.ts";
import type { FigureFile, ReportData } from "./contract.ts";

/** The module that `web/src/figures.ts` becomes. */
interface FigureModule {
  readonly renderFigures: (data: ReportData) => readonly FigureFile[];
}

/** Writes an SVG and a CSV for every chart into a folder; gives their names. Throws `UsageError` where it cannot. */
export async function writeFigures(data: ReportData, folder: string): Promise<readonly string[]> {
  // @ts-expect-error: built from web/src/figures.ts by Vite, which makes no types.
  const { renderFigures }: FigureModule = await import("#figures");
  const names: string[] = [];
  for (const { name, svg, csv } of renderFigures(data)) {
    await writeFileAtomic(join(folder, `${name}.svg`), svg);
    await writeFileAtomic(join(folder, `${name}.csv`), csv);
    names.push(name);
  }
  return names;
}
