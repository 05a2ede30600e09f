/** A sweep in text: every repair and control beside the checkpoints it lies between, and what it says. */
import type { SweepRecord } from "../../run/index.ts";
import { formatPValue, formatShare, type Tally } from "../../statistics/index.ts";
import { formatContrast } from "./format.ts";
import type { Paint } from "./paint.ts";
import { fitTable, visibleLength } from "./table.ts";
import { wrapSentence } from "./wrap.ts";

interface ScreenOptions {
  readonly paint: Paint;
  readonly width?: number;
}

type Repair = SweepRecord["repairs"][number];

/** Lines that show a sweep. */
export function formatSweep(record: SweepRecord, { paint, width }: ScreenOptions): readonly string[] {
  const { target, source, ends, repairs, best } = record;
  const head = ["repair", "ID", "OOD", "OOD gained, held-out half", "corrected", "recovered", "moved"];
  const end = (name: string, { id, ood }: SweepRecord["ends"]["target"]): readonly string[] => [
    paint("bold", name),
    formatShareOf(id),
    formatShareOf(ood),
  ];
  const rows = (kept: (repair: Repair) => boolean): readonly (readonly string[])[] =>
    repairs.filter(kept).map((repair) => formatRepair(repair, { paint, isBest: repair.name === best?.name }));
  const controls = rows(({ role }) => role !== "edit");
  const table = [
    head.map((cell) => paint("bold", cell)),
    end(`${source}, the source`, ends.source),
    end(`${target}, the target`, ends.target),
    ...rows(({ role }) => role === "edit"),
    ...(controls.length > 0 ? [[paint("dim", "controls")], ...controls] : []),
  ];
  const { lines } = fitTable(shortenNames(table, width), {
    width,
    expendable: [6, 4, 5],
    right: [1, 2, 6],
  });
  return [
    `${paint("bold", `Sweep ${record.name}`)}   ${source} put into ${target}, tasks solved`,
    "",
    ...lines,
    "",
    ...record.sentences.flatMap((sentence) => wrapSentence(`• ${sentence}`, width)),
  ];
}

/** What ID, OOD and what was gained take of a line. */
const numbersWidth = 48;

/** Names cut to what a narrow screen leaves beside the numbers. */
function shortenNames(
  table: readonly (readonly string[])[],
  width: number | undefined,
): readonly (readonly string[])[] {
  if (width === undefined) return table;
  const room = Math.max(16, width - numbersWidth);
  return table.map(([name = "", ...cells]) => [
    visibleLength(name) <= room ? name : `${name.slice(0, room - 1)}…`,
    ...cells,
  ]);
}

function formatShareOf({ correct, total }: Tally): string {
  return formatShare(total === 0 ? 0 : correct / total);
}

function formatRepair(
  { name, role, id, ood, gain, adjustedPValue, recovered, moved }: Repair,
  { paint, isBest }: { readonly paint: Paint; readonly isBest: boolean },
): readonly string[] {
  const isClear = adjustedPValue < 0.05;
  const color = !isClear ? "dim" : gain.estimate > 0 ? "good" : "bad";
  const label = role === "edit" ? name : `  ${name}`;
  return [
    isBest ? paint("bold", `${label} ◀ best`) : label,
    formatShareOf(id),
    formatShareOf(ood),
    paint(color, formatContrast(gain)),
    paint(color, formatPValue(adjustedPValue)),
    recovered === null ? "" : formatShare(recovered.estimate, 0),
    formatShare(moved),
  ];
}

/** The few lines of a sweep that a run's summary has room for: best repair, and the strongest control of each kind. */
export function formatSweepSummary(record: SweepRecord, options: ScreenOptions): readonly string[] {
  const strongest = new Map<string, Repair>();
  for (const repair of record.repairs) {
    // Of edits, the best for each thing that is restored, on all matrices alike.
    const key = repair.role === "edit" ? describeFamily(repair) : repair.role;
    if (key === undefined) continue;
    const known = strongest.get(key);
    if (known === undefined || repair.gain.estimate > known.gain.estimate) strongest.set(key, repair);
  }
  const shown = new Set([...strongest.values()].map(({ name }) => name));
  if (record.best !== null) shown.add(record.best.name);
  const repairs = record.repairs.filter(({ name }) => shown.has(name));
  return formatSweep({ ...record, repairs }, options);
}

function describeFamily({ operation }: Repair): string | undefined {
  const isWhole = operation.layers === undefined && operation.matrices === undefined;
  if (operation.operation === "restore") return isWhole ? `restore ${operation.what}` : undefined;
  return operation.operation;
}
