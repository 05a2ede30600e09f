/**
 * Tables as Parquet files, for notebooks and databases: typed columns, absent cells as nulls, lists as real lists.
 * Writes only; a table is held in memory whole.
 */
import type { ColumnSource, SchemaElement } from "hyparquet-writer";
import { writeFileAtomic } from "../atomic-write.ts";

/** What a cell of each kind of column holds. */
interface CellOf {
  readonly text: string;
  /** A whole number of at most 53 bits, stored as 64-bit integer. */
  readonly integer: number;
  /** Stored as 64-bit float; may be infinite, never NaN. */
  readonly number: number;
  readonly boolean: boolean;
  /** Stored as a list of 64-bit floats; none NaN. */
  readonly numbers: readonly number[] | Float64Array;
  readonly texts: readonly string[];
}

/** What the cells of a column are: single values, or lists of them. */
export type ParquetKind = keyof CellOf;

/** A column of a table; an absent cell is `undefined`, which is not the same as an empty list. */
export type ParquetColumn = {
  readonly [Kind in ParquetKind]: {
    readonly name: string;
    readonly kind: Kind;
    readonly values: readonly (CellOf[Kind] | undefined)[];
  };
}[ParquetKind];

/**
 * Writes a table as a Parquet file (Snappy, nullable columns, lists with three levels), whole or not at all. Columns
 * must be as long as each other; no rows are fine. `metadata` goes into the file's key-value pairs. The same table
 * gives the same bytes. Throws `TypeError` on no columns or columns of different lengths, `RangeError` on a name used
 * twice, on NaN and on an integer that is none, `UsageError` when the path cannot be written.
 */
export async function writeParquet(
  path: string,
  columns: readonly ParquetColumn[],
  { metadata = {} }: { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  checkTable(columns);
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  const buffer = parquetWriteBuffer({
    columnData: columns.map(toSource),
    schema: [{ name: "root", num_children: columns.length }, ...columns.flatMap(describeColumn)],
    kvMetadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
  });
  await writeFileAtomic(path, new Uint8Array(buffer));
}

function checkTable(columns: readonly ParquetColumn[]): void {
  const [first] = columns;
  if (first === undefined) throw new TypeError("Cannot write a table: it has no columns");
  const names = new Set<string>();
  for (const { name, values } of columns) {
    if (names.has(name)) throw new RangeError(`Cannot write a table: two columns are named "${name}"`);
    names.add(name);
    if (values.length !== first.values.length)
      throw new TypeError(
        `Cannot write a table: column "${name}" has ${values.length} rows, "${first.name}" has ${first.values.length}`,
      );
  }
}

/** How a single value is stored. */
const LEAVES = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  integer: { type: "INT64" },
  number: { type: "DOUBLE" },
  boolean: { type: "BOOLEAN" },
} as const satisfies Readonly<Record<string, Partial<SchemaElement>>>;

/** The kind of single value that a column of each kind is made of. */
const LEAF_OF = {
  text: "text",
  integer: "integer",
  number: "number",
  boolean: "boolean",
  numbers: "number",
  texts: "text",
} as const satisfies { readonly [Kind in ParquetKind]: keyof typeof LEAVES };

/**
 * The schema of a column, depth first. Lists have the three levels of the format's rules (LogicalTypes.md): a nullable
 * group, which is repeated, of a nullable element; so readers see a list, and tell a null from an empty one.
 */
function describeColumn({ name, kind }: ParquetColumn): SchemaElement[] {
  const leaf = LEAVES[LEAF_OF[kind]];
  if (kind !== "numbers" && kind !== "texts") return [{ name, repetition_type: "OPTIONAL", ...leaf }];
  return [
    { name, repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    { name: "element", repetition_type: "OPTIONAL", ...leaf },
  ];
}

function toSource(column: ParquetColumn): ColumnSource {
  const source = { name: column.name, data: convertCells(column) };
  // The writer's dictionaries take +0 and −0 for one value and would write the first of them for both.
  return LEAF_OF[column.kind] === "number" ? { ...source, encoding: "PLAIN" } : source;
}

/** The cells as the writer takes them: integers as `bigint`, lists as plain arrays. */
function convertCells({ name, kind, values }: ParquetColumn): unknown[] {
  switch (kind) {
    case "integer":
      return values.map((value, row) => (value === undefined ? undefined : toInteger(value, { name, row })));
    case "number":
      return values.map((value, row) =>
        value === undefined ? undefined : checkNumber(value, { name, row }),
      );
    case "numbers":
      return values.map((list, row) =>
        list === undefined ? undefined : Array.from(list, (value) => checkNumber(value, { name, row })),
      );
    default:
      return [...values];
  }
}

/** Where a cell stands, for messages. */
interface Cell {
  readonly name: string;
  readonly row: number;
}

function toInteger(value: number, { name, row }: Cell): bigint {
  if (!Number.isSafeInteger(value))
    throw new RangeError(`Cannot write ${value} in row ${row} of column "${name}": it is not a whole number`);
  return BigInt(value);
}

function checkNumber(value: number, { name, row }: Cell): number {
  if (Number.isNaN(value))
    throw new RangeError(`Cannot write NaN in row ${row} of column "${name}": leave the cell out`);
  return value;
}
