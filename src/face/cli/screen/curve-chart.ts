/** Curves in text: several series over common positions, a marker at each value and braille dots between them. */
import type { Paint } from "./paint.ts";

/** One curve: a value in [0, 1] at each position, or `undefined` where there is none. */
export interface Curve {
  readonly color: Parameters<Paint>[0];
  readonly marker: string;
  readonly values: readonly (number | undefined)[];
}

/** What to draw. */
export interface CurveChart {
  /** The text below each position. */
  readonly labels: readonly string[];
  readonly curves: readonly Curve[];
  /** Positions before which a gap and a vertical line separate groups. */
  readonly breaks: readonly number[];
  readonly width: number;
  readonly height: number;
}

/** A cell of the canvas: braille dots, or a marker that hides them. */
interface Cell {
  dots: number;
  text: string;
  color: Parameters<Paint>[0];
}

/** Bits of the braille dots of a cell, 2 columns × 4 rows. */
const dotBits = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

const axisWidth = 7;

/** Lines of the chart, axis and labels included, no wider than asked. */
export function drawCurves(chart: CurveChart, paint: Paint): readonly string[] {
  const { height } = chart;
  const plotWidth = Math.max(10, chart.width - axisWidth - 1);
  const canvas = Array.from({ length: height }, () =>
    Array.from({ length: plotWidth }, (): Cell => ({ dots: 0, text: "", color: "dim" })),
  );
  const columns = chart.labels.map((_, position) => placeColumn(position, chart.labels.length, plotWidth));
  for (const position of chart.breaks) drawBreak(canvas, columns, position);
  for (const curve of chart.curves) drawCurve(canvas, curve, { columns, breaks: chart.breaks });
  // Markers last, so that no line hides one.
  for (const curve of chart.curves) drawMarkers(canvas, curve, columns);
  const rows = canvas.map((cells, row) => formatAxis(row, height, paint) + formatCells(cells, paint));
  return [...rows, formatBaseline(plotWidth, paint), formatLabels(chart, columns, plotWidth)];
}

/** The character column of a position: half a slot from the edges. */
function placeColumn(position: number, numPositions: number, width: number): number {
  return Math.min(width - 1, Math.floor(((position + 0.5) * width) / Math.max(1, numPositions)));
}

function formatAxis(row: number, height: number, paint: Paint): string {
  const isLabelled = row % Math.max(1, Math.round((height - 1) / 4)) === 0 || row === height - 1;
  const share = Math.round(100 * (1 - row / (height - 1)));
  const label = isLabelled ? `${share} %` : "";
  return paint("dim", `${label.padStart(axisWidth - 2)} ${isLabelled ? "┤" : "│"}`);
}

function formatBaseline(width: number, paint: Paint): string {
  return paint("dim", `${" ".repeat(axisWidth - 1)}└${"─".repeat(width)}`);
}

/** Labels below their positions; where there is no room for all, those at the ends of groups come first. */
function formatLabels({ labels, breaks }: CurveChart, columns: readonly number[], width: number): string {
  const line = Array.from({ length: width }, () => " ");
  const isEnd = (position: number): boolean =>
    [0, ...breaks].includes(position) || [...breaks, labels.length].includes(position + 1);
  const positions = [...labels.keys()];
  for (const position of [...positions.filter(isEnd), ...positions.filter((one) => !isEnd(one))]) {
    const label = labels[position] ?? "";
    const start = Math.min(
      Math.max((columns[position] ?? 0) - Math.floor(label.length / 2), 0),
      width - label.length,
    );
    const isFree = line.slice(Math.max(0, start - 1), start + label.length + 1).every((cell) => cell === " ");
    if (isFree) for (const [offset, character] of [...label].entries()) line[start + offset] = character;
  }
  return `${" ".repeat(axisWidth)}${line.join("")}`.trimEnd();
}

function formatCells(cells: readonly Cell[], paint: Paint): string {
  return cells
    .map(({ dots, text, color }) => {
      if (text !== "") return paint(color, text);
      return dots === 0 ? " " : paint(color, String.fromCodePoint(0x2800 + dots));
    })
    .join("");
}

type Canvas = Cell[][];

function drawBreak(canvas: Canvas, columns: readonly number[], position: number): void {
  const column = Math.floor(((columns[position - 1] ?? 0) + (columns[position] ?? 0)) / 2);
  for (const cells of canvas) {
    const cell = cells[column];
    if (cell !== undefined) cell.text = "┊";
  }
}

function drawCurve(
  canvas: Canvas,
  { values, color }: Curve,
  { columns, breaks }: { readonly columns: readonly number[]; readonly breaks: readonly number[] },
): void {
  for (let position = 1; position < values.length; position++) {
    const [from, to] = [values[position - 1], values[position]];
    if (from === undefined || to === undefined || breaks.includes(position)) continue;
    const [left, right] = [2 * (columns[position - 1] ?? 0), 2 * (columns[position] ?? 0)];
    for (let x = left; x <= right; x++) {
      const share = right === left ? 0 : (x - left) / (right - left);
      setDot(canvas, { x, y: dotRow(from + share * (to - from), canvas.length), color });
    }
  }
}

/** The dot row of a value: the top row is 1, the bottom row 0. */
function dotRow(value: number, height: number): number {
  return Math.round((1 - Math.min(1, Math.max(0, value))) * (height - 1) * 4 + 1.5);
}

function setDot(canvas: Canvas, { x, y, color }: { x: number; y: number; color: Cell["color"] }): void {
  const cell = canvas[Math.min(canvas.length - 1, Math.floor(y / 4))]?.[Math.floor(x / 2)];
  const bit = dotBits[x % 2 === 0 ? 0 : 1][y % 4];
  if (cell === undefined || bit === undefined) return;
  cell.dots |= bit;
  cell.color = color;
}

function drawMarkers(canvas: Canvas, { values, marker, color }: Curve, columns: readonly number[]): void {
  for (const [position, value] of values.entries()) {
    if (value === undefined) continue;
    const row = Math.round((1 - value) * (canvas.length - 1));
    const cell = canvas[row]?.[columns[position] ?? 0];
    if (cell === undefined) continue;
    cell.text = marker;
    cell.color = color;
  }
}
