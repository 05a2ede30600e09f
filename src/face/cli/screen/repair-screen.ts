/** A repair grid in text: every repair and control beside the checkpoints it lies between, and what it says. */

import { quoteForShell } from "../../../base/core/index.ts";
import { formatPValue, formatShare, type Tally } from "../../../base/statistics/index.ts";
import type { RepairRecord } from "../../../run/index.ts";
import { formatContrast } from "./format.ts";
import type { Paint } from "./paint.ts";
import { describeDropped, fitTable } from "./table.ts";
import { wrapSentence, wrapText } from "./wrap.ts";

interface ScreenOptions {
  readonly paint: Paint;
  readonly width?: number;
  /** Where the run is, for the command that keeps the best repair; absent to leave it out. */
  readonly folder?: string;
}

type Repair = RepairRecord["repairs"][number];

/** Lines that show a grid. */
export function formatRepairs(
  record: RepairRecord,
  { paint, width, folder }: ScreenOptions,
): readonly string[] {
  const { target, source, ends, repairs, best } = record;
  const head = ["repair", "ID", "OOD", "OOD gained, held-out half", "p, of family", "recovered", "moved"];
  const end = (name: string, { id, ood }: RepairRecord["ends"]["target"]): readonly string[] => [
    paint("bold", cutMiddle(name, room)),
    formatShareOf(id),
    formatShareOf(ood),
  ];
  const room = width === undefined ? Number.POSITIVE_INFINITY : Math.max(16, width - numbersWidth);
  const rows = (kept: (repair: Repair) => boolean): readonly (readonly string[])[] =>
    repairs
      .filter(kept)
      .map((repair) => formatRepair(repair, { paint, room, isBest: repair.name === best?.name }));
  const controls = rows(({ role }) => role !== "edit");
  const table = [
    head.map((cell) => paint("bold", cell)),
    end(`${source}, the source`, ends.source),
    end(`${target}, the target`, ends.target),
    ...rows(({ role }) => role === "edit"),
    ...(controls.length > 0 ? [[paint("dim", "controls")], ...controls] : []),
  ];
  const { lines, numDropped } = fitTable(table, {
    width,
    expendable: [6, 4, 5],
    right: [1, 2, 5, 6],
  });
  const dropped = describeDropped(numDropped, paint);
  return [
    `${paint("bold", `Repairs ${record.name}`)}   ${source} put into ${target}, tasks solved`,
    "",
    ...lines,
    ...dropped,
    "",
    ...record.sentences.flatMap((sentence) => wrapSentence(`• ${sentence}`, width)),
    ...(folder === undefined ? [] : formatCommand(record, folder)),
  ];
}

/** The command that writes the best repair as a checkpoint, where it brings anything. */
function formatCommand(record: RepairRecord, folder: string): readonly string[] {
  const { best, repairs, target, source, paths } = record;
  const operation = repairs.find(({ name }) => name === best?.name)?.operation;
  if (best === null || best.gain.estimate <= 0 || operation?.operation !== "restore") return [];
  const { what, top, tail, strength, layers, matrices } = operation;
  const flags = [
    `--into ${quoteForShell(paths?.target ?? `${folder}/checkpoints/${target}`)}`,
    `--from ${quoteForShell(paths?.source ?? `${folder}/checkpoints/${source}`)}`,
    `--what ${what} --top ${top}`,
    ...(tail === 0 ? [] : [`--tail ${tail}`]),
    ...(strength === 1 ? [] : [`--strength ${strength}`]),
    ...(layers === undefined ? [] : [`--layers ${layers}`]),
    ...(matrices === undefined ? [] : [`--matrices ${quoteForShell(matrices)}`]),
  ];
  // On one line however long, to be copied.
  return ["• To keep it:", `untwist restore ${flags.join(" ")} --out repaired`];
}

/** What ID, OOD and what was gained take of a line. */
const numbersWidth = 48;

/** Both ends of a name: what tells names apart often stands last. */
function cutMiddle(name: string, room: number): string {
  if (name.length <= room) return name;
  const tail = Math.floor((room - 1) / 2);
  return `${name.slice(0, room - 1 - tail)}…${name.slice(-tail)}`;
}

function formatShareOf({ correct, total }: Tally): string {
  return formatShare(total === 0 ? 0 : correct / total);
}

function formatRepair(
  { name, role, id, ood, gain, recovered, moved }: Repair,
  { paint, isBest, room }: { readonly paint: Paint; readonly isBest: boolean; readonly room: number },
): readonly string[] {
  const isClear = gain.pValue < 0.05;
  const color = !isClear ? "dim" : gain.estimate > 0 ? "good" : "bad";
  const mark = isBest ? ` ◀ ${gain.estimate > 0 ? "best" : "least harmful"}` : "";
  const label = `${cutMiddle(role === "edit" ? name : `  ${name}`, room - mark.length)}${mark}`;
  return [
    isBest ? paint("bold", label) : label,
    formatShareOf(id),
    formatShareOf(ood),
    paint(color, formatContrast(gain)),
    paint(color, formatPValue(gain.pValue)),
    recovered === null ? "" : formatShare(recovered.estimate, 0),
    formatShare(moved),
  ];
}

/** The few lines of a repair grid that a run's summary has room for: repairs of all matrices, and the controls of the best one. */
export function formatRepairsSummary(record: RepairRecord, options: ScreenOptions): readonly string[] {
  const { best, repairs } = record;
  const own = new Set(repairs.find(({ name }) => name === best?.name)?.controls);
  const isShown = ({ name, role, operation }: Repair): boolean => {
    if (name === best?.name || own.has(name)) return true;
    const isWhole = operation.layers === undefined && operation.matrices === undefined;
    return role === "edit" && isWhole && operation.operation === "restore";
  };
  const shown = repairs.filter(isShown);
  const numLeft = repairs.length - shown.length;
  const more =
    numLeft === 0
      ? []
      : wrapText(`(${numLeft} more in repairs/${record.name}/record.json)`, options.width ?? 120);
  const lines = formatRepairs({ ...record, repairs: shown }, options);
  return [...lines, ...more.map((line) => options.paint("dim", line))];
}
