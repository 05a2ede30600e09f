/** Edits of a checkpoint in text: what would be done, and what was achieved. */
import type { EditPreview, EditReport, TensorReport } from "../../../lab/edit/index.ts";
import { formatPercent } from "../../../weights/spectra/index.ts";
import { formatDuration } from "./format.ts";
import type { Paint } from "./paint.ts";
import { describeDropped, fitTable } from "./table.ts";
import { wrapSentence } from "./wrap.ts";

interface ScreenOptions {
  readonly paint: Paint;
  readonly width?: number;
}

const formatShape = (shape: readonly number[]): string => shape.join(" × ");

/** `1.2 GB`, `34 MB`. */
function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

/** Lines that show what a plan would do. */
export function formatPreview(preview: EditPreview, { paint, width }: ScreenOptions): readonly string[] {
  const { tensors, numUntouched, numBytes, memoryBytes, seconds, plan } = preview;
  const head = ["tensor", "shape", "operation", "directions", "target to source"];
  const rows = tensors.map(({ name, shape, operation, numVectors, apart }) => [
    name,
    formatShape(shape),
    operation,
    shape.length === 2 ? `${numVectors} of ${Math.min(...shape)}` : "",
    apart === undefined ? "" : formatPercent(apart),
  ]);
  const { lines, numDropped } = fitTable([head.map((cell) => paint("bold", cell)), ...rows], {
    width,
    expendable: [1, 3, 2],
    right: [3, 4],
  });
  const cost = `Writes ${formatBytes(numBytes)}, needs about ${formatBytes(memoryBytes)} of memory and ${formatDuration(1000 * Math.max(1, seconds))}, less where factors are in the cache.`;
  return [
    paint("bold", `Would edit ${countTensors(tensors.length)} of ${plan.target} and copy ${numUntouched}`),
    "",
    ...lines,
    ...describeDropped(numDropped, paint),
    "",
    ...wrapSentence(cost, width),
  ];
}

const countTensors = (count: number): string => `${count} tensor${count === 1 ? "" : "s"}`;

/** Columns of an edit's table, and those that an adapter has: what is not written cannot be measured. */
const heads = ["tensor", "operation", "rank", "moved", "left to source", "σ moved", "σ missed", "departure"];
const adapterColumns = [0, 1, 2, 3, 4, 7];

/** Lines that show what an edit did, measured on what was written. */
export function formatEdit(report: EditReport, { paint, width }: ScreenOptions): readonly string[] {
  const { tensors, numUntouched, leftOut, form } = report;
  const isAdapter = form === "lora";
  const keep = (row: readonly string[]): readonly string[] =>
    isAdapter ? adapterColumns.map((column) => row[column] ?? "") : row;
  const last = isAdapter ? adapterColumns.length - 1 : heads.length - 1;
  const { lines, numDropped } = fitTable(
    [keep(heads).map((cell) => paint("bold", cell)), ...tensors.map((tensor) => keep(formatTensor(tensor)))],
    { width, expendable: [last, 2, 1, ...(isAdapter ? [] : [5, 6])], right: [2, 3, 4, 5, 6, 7] },
  );
  const legend = [
    "moved: ‖edited − target‖ / ‖target‖; left to source: ‖edited − source‖ / ‖target − source‖.",
    ...(isAdapter
      ? []
      : [
          "σ moved: how far the singular values of the result are from the target's; σ missed: from those aimed at.",
        ]),
    ...(numDropped > 0 ? [] : ["departure: of the spliced singular vectors from orthonormal ones, 0 to 1."]),
  ];
  return [
    paint(
      "bold",
      isAdapter
        ? `A LoRA adapter for ${countTensors(tensors.length)}; ${numUntouched} others stay as they are`
        : `Edited ${countTensors(tensors.length)}; ${numUntouched} others are the target's, byte for byte`,
    ),
    "",
    ...lines,
    "",
    ...describeDropped(numDropped, paint),
    ...legend.flatMap((line) => wrapSentence(line, width)).map((line) => paint("dim", line)),
    ...(leftOut.length === 0 ? [] : wrapSentence(`Not copied: ${leftOut.join(", ")}`, width)),
  ];
}

function formatTensor(report: TensorReport): readonly string[] {
  const { name, operation, rank, toTarget, toSource, before, spectralShift, missedValues, departure } =
    report;
  const percent = (value: number | undefined): string => (value === undefined ? "" : formatPercent(value));
  const left =
    toSource === undefined || before === undefined || before === 0 ? "" : formatPercent(toSource / before);
  return [
    name,
    operation,
    rank === undefined ? "full" : String(rank),
    percent(toTarget),
    left,
    percent(spectralShift),
    percent(missedValues),
    departure === undefined ? "" : Math.max(departure.left, departure.right).toFixed(2),
  ];
}
