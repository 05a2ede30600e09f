/** The main charts of a run as files, drawn without a browser: SVG, and CSV of the numbers. */
import { parseHTML } from "linkedom";
import type { FigureFile, RunView, WeightsView } from "../../src/face/view/contract.ts";
import { drawScatter, toRow } from "./charts/repairs.ts";
import { drawCurves, drawWindow, listBranches, listPoints, type Part, parts } from "./charts/trajectory.ts";
import { drawMap, listCells, measureNames } from "./charts/weights.ts";
import { type DataRow, formatCsv } from "./csv.ts";

/** Width of figures: a page's. */
const width = 900;

/** Colors of the page's style sheet by day: files have no style sheet. */
const colors: Readonly<Record<string, string>> = {
  surface: "#ffffff",
  text: "#17202a",
  quiet: "#5a6675",
  id: "#0067a3",
  ood: "#c2490c",
  good: "#1b7a43",
  bad: "#a5254a",
  "good-soft": "#dff1e5",
  sft: "#eef3f8",
  rl: "#f6f1e7",
  "rl-strong": "#8a5a00",
};

/** All figures of a run. */
export function renderFigures({
  run,
  weights,
}: {
  readonly run: RunView;
  readonly weights: WeightsView;
}): readonly FigureFile[] {
  // Plot makes elements of the document that it finds.
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  Object.assign(globalThis, { document, window: { document } });
  return [...renderTrajectory(run), ...renderRepairs(run), ...renderWeights(run, weights)];
}

function createFile(name: string, chart: Element, rows: readonly DataRow[]): FigureFile {
  const svgs = chart.tagName.toLowerCase() === "svg" ? [chart] : [...chart.querySelectorAll("svg")];
  // Legends are small pictures beside the chart.
  const widest = [...svgs].sort(
    (a, b) => Number(b.getAttribute("width") ?? 0) - Number(a.getAttribute("width") ?? 0),
  )[0];
  widest?.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  widest?.setAttribute("font-family", "system-ui, sans-serif");
  const svg = (widest?.outerHTML ?? "").replaceAll(
    /var\(--([\w-]+)\)/g,
    (_, color: string) => colors[color] ?? "currentColor",
  );
  // Links lead to pages, which a file does not have.
  const plain = svg.replaceAll(/<a [^>]*>/g, "<g>").replaceAll("</a>", "</g>");
  return { name, svg: `${plain}\n`, csv: formatCsv(rows) };
}

function renderTrajectory({ id, summary }: RunView): readonly FigureFile[] {
  const curves = (Object.keys(parts) as Part[]).map((part) => {
    const points = listPoints(summary.checkpoints, part, id);
    const rows = points.map(({ position: _, address: __, ...row }) => row);
    return createFile(`trajectory-${part}`, drawCurves(points, { width, part, summary }), rows);
  });
  const branches = listBranches(summary);
  if (branches.length === 0) return curves;
  return [...curves, createFile("recovery-window", drawWindow(branches, width), branches)];
}

function renderRepairs({ summary }: RunView): readonly FigureFile[] {
  return (summary.repairs ?? []).map((grid) => {
    const rows = grid.repairs.map(toRow);
    return createFile(`repairs-${grid.name}`, drawScatter(rows, grid, width), rows);
  });
}

/** The maps from the peak to the end of SFT. */
function renderWeights({ id, summary }: RunView, weights: WeightsView): readonly FigureFile[] {
  const { trajectory } = summary;
  const pair = weights.pairs.find(
    ({ before, after }) => before === trajectory?.peak.checkpoint && after === trajectory?.sftEnd.checkpoint,
  );
  if (pair === undefined) return [];
  return measureNames.map((measure) => {
    const cells = listCells(weights, pair, measure);
    const everything = weights.measures[measure].flat().flatMap((value) => value ?? []);
    const map = drawMap(cells, { width, measure, everything, pair, run: id, hasLegend: false });
    return createFile(`weights-${measure}`, map, cells);
  });
}
