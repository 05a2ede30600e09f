/** Weights as pages show them, read from the Parquet tables of a run's spectra, only the columns that are asked for. */
import { type AsyncBuffer, asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { requireItem, UsageError } from "../../base/core/index.ts";
import { fileExists } from "../../base/file/index.ts";
import type { RunFolder } from "../../run/index.ts";
import { type Flag, flagMeanings } from "../../weights/spectra/index.ts";
import type { MatrixLabel, MatrixView, WeightMeasure, WeightsView } from "./contract.ts";

type Row = Readonly<Record<string, unknown>>;

/** Rows of a table of the run's spectra, or none where there is no such table. */
async function readTable(
  folder: RunFolder,
  table: string,
  options: { readonly columns: string[]; readonly filter?: Readonly<Record<string, string>> },
): Promise<readonly Row[]> {
  const path = folder.locate(`spectra/${table}.parquet`);
  if (!(await fileExists(path))) return [];
  try {
    const file: AsyncBuffer = await asyncBufferFromFile(path);
    const { columns, filter = {} } = options;
    // The rows of a pair stand together: the short columns say where, and of the long ones only those rows are read.
    const names = Object.keys(filter);
    const heads = names.length === 0 ? [] : await parquetReadObjects({ file, columns: names });
    const isMeant = (row: Row): boolean =>
      Object.entries(filter).every(([name, value]) => row[name] === value);
    const rowStart = heads.findIndex(isMeant);
    const rowEnd = heads.findLastIndex(isMeant) + 1;
    if (names.length > 0 && rowStart < 0) return [];
    if (names.length === 0) return await parquetReadObjects({ file, columns });
    const rows = await parquetReadObjects({ file, columns, rowStart, rowEnd });
    return rows.filter((_, index) => isMeant(heads[rowStart + index] ?? {}));
  } catch (cause) {
    throw new UsageError(
      `Cannot read "${path}": it is not a whole Parquet file; compute it again with: untwist spectra ${folder.path}`,
      { cause },
    );
  }
}

const labels = ["before", "after", "name", "layer", "kind", "rows", "columns"];

/** Digits that a chart can show. */
const shownDigits = 4;
/** Digits that differences of singular values need. */
const exactDigits = 9;

const toNumber = (value: unknown, digits: number = shownDigits): number | null => {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number)) return null;
  return Number.isInteger(number) ? number : Number(number.toPrecision(digits));
};

/** The numbers of a list; empty where the row has none. Throws as `requireNumber`. */
function toNumbers(row: Row, column: string, digits: number = shownDigits): readonly number[] {
  const { [column]: list } = row;
  if (list === null || typeof list !== "object" || !(Symbol.iterator in list)) return [];
  return Array.from(list as Iterable<unknown>, (value) => checkNumber(value, { row, column, digits }));
}

/** A number that a row must have. Throws `UsageError` where it does not: a 0 in its place would pass for a result. */
function requireNumber(row: Row, column: string): number {
  return checkNumber(row[column], { row, column, digits: shownDigits });
}

function checkNumber(
  value: unknown,
  { row, column, digits }: { readonly row: Row; readonly column: string; readonly digits: number },
): number {
  const number = toNumber(value, digits);
  if (number !== null) return number;
  throw new UsageError(
    `Cannot show the weights of ${String(row.name)}: "${column}" of its spectra holds ${String(value)} where a number belongs; delete the run's folder "spectra", and compute them again with: untwist spectra RUN`,
  );
}

function readLabel(row: Row): MatrixLabel {
  return {
    name: String(row.name),
    layer: toNumber(row.layer),
    kind: String(row.kind),
    rows: requireNumber(row, "rows"),
    columns: requireNumber(row, "columns"),
  };
}

/** All matrices in all pairs; empty for a run without spectra. */
export async function readWeights(folder: RunFolder): Promise<WeightsView> {
  const updates = await readTable(folder, "updates", {
    columns: [...labels, "rotation", "rotation_chance", "relative"],
  });
  const values = await readTable(folder, "values", {
    columns: ["before", "after", "name", "spectral_shift"],
  });
  const sparsity = await readTable(folder, "sparsity", { columns: ["before", "after", "name", "bitwise"] });
  const keyOf = ({ before, after, name }: Row): string => `${before} ${after} ${name}`;
  const shifts = new Map(values.map((row) => [keyOf(row), toNumber(row.spectral_shift)]));
  const unchanged = new Map(sparsity.map((row) => [keyOf(row), toNumber(row.bitwise)]));
  const pairs = new Map<string, { readonly before: string; readonly after: string }>();
  const matrices = new Map<string, MatrixLabel>();
  const rows = new Map<string, Row>();
  for (const row of updates) {
    const [before, after] = [String(row.before), String(row.after)];
    pairs.set(`${before} ${after}`, { before, after });
    matrices.set(String(row.name), readLabel(row));
    rows.set(keyOf(row), row);
  }
  const measure = (read: (row: Row) => number | null): (number | null)[][] =>
    [...pairs.values()].map((pair) =>
      [...matrices.keys()].map((name) => {
        const row = rows.get(keyOf({ ...pair, name }));
        return row === undefined ? null : read(row);
      }),
    );
  const measures: Record<WeightMeasure, (number | null)[][]> = {
    beyondChance: measure((row) => divide(toNumber(row.rotation), toNumber(row.rotation_chance))),
    rotation: measure((row) => toNumber(row.rotation)),
    spectralShift: measure((row) => shifts.get(keyOf(row)) ?? null),
    relativeUpdate: measure((row) => toNumber(row.relative)),
    unchanged: measure((row) => unchanged.get(keyOf(row)) ?? null),
  };
  return { pairs: [...pairs.values()], matrices: [...matrices.values()], measures };
}

function divide(value: number | null, chance: number | null): number | null {
  return value === null || chance === null || chance === 0 ? null : toNumber(value / chance);
}

/** Everything about one pair of checkpoints, matrix by matrix. */
export async function readPair(
  folder: RunFolder,
  { before, after }: { readonly before: string; readonly after: string },
): Promise<readonly MatrixView[]> {
  const filter = { before, after };
  const values = await readTable(folder, "values", {
    columns: [...labels.slice(2), "values_before", "values_after", "flags"],
    filter,
  });
  const updates = await readTable(folder, "updates", {
    columns: [
      "name",
      "values",
      "energy_at_ranks",
      "energy_stretch",
      "energy_rotation",
      "energy_outside",
      "energy_inside_chance",
    ],
    filter,
  });
  const subspaces = await readTable(folder, "subspaces", {
    columns: ["name", "side", "rank", "angles", "chordal", "chance", "chance_unrelated"],
    filter,
  });
  return values.map((row) => {
    const update = updates.find(({ name }) => name === row.name) ?? {};
    return {
      ...readLabel(row),
      before,
      after,
      values: {
        before: toNumbers(row, "values_before", exactDigits),
        after: toNumbers(row, "values_after", exactDigits),
      },
      update: toNumbers(update, "values"),
      subspaces: subspaces.filter(({ name }) => name === row.name).map(readSubspace),
      energy: readEnergy(update),
      flags: readFlags(row.flags),
    };
  });
}

function readSubspace(row: Row): MatrixView["subspaces"][number] {
  return {
    side: String(row.side),
    rank: requireNumber(row, "rank"),
    angles: toNumbers(row, "angles"),
    chordal: toNumber(row.chordal),
    chance: toNumber(row.chance),
    unrelated: toNumber(row.chance_unrelated),
  };
}

function readEnergy(row: Row): MatrixView["energy"] {
  const [stretch, rotation, outside, insideChance] = [
    toNumbers(row, "energy_stretch"),
    toNumbers(row, "energy_rotation"),
    toNumbers(row, "energy_outside"),
    toNumbers(row, "energy_inside_chance"),
  ];
  return toNumbers(row, "energy_at_ranks").map((rank, index) => ({
    rank,
    stretch: requireItem(stretch, index),
    rotation: requireItem(rotation, index),
    outside: requireItem(outside, index),
    insideChance: requireItem(insideChance, index),
  }));
}

function readFlags(flags: unknown): MatrixView["flags"] {
  const names = Array.isArray(flags) ? flags.map(String) : [];
  const isKnown = (name: string): name is Flag => Object.hasOwn(flagMeanings, name);
  return names.map((flag) => ({ flag, meaning: isKnown(flag) ? flagMeanings[flag] : flag }));
}
