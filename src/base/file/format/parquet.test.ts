import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type FileMetaData, parquetMetadata, parquetReadObjects, parquetSchema } from "hyparquet";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../../core/index.ts";
import { type ParquetColumn, writeParquet } from "./parquet.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-parquet-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Table {
  readonly metadata: FileMetaData;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

async function readBack(path: string): Promise<Table> {
  const bytes = await readFile(path);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return { metadata: parquetMetadata(file), rows: await parquetReadObjects({ file }) };
}

async function pass(columns: readonly ParquetColumn[]): Promise<Table> {
  const path = join(folder, "table.parquet");
  await writeParquet(path, columns);
  return await readBack(path);
}

/** The cell that the reader is to find: integers of 64 bits, plain lists. */
function expectCell({ kind, values }: ParquetColumn, row: number): unknown {
  const value = values[row];
  if (value === undefined) return undefined;
  if (kind === "integer") return BigInt(Number(value));
  return value instanceof Float64Array ? [...value] : value;
}

const cells = {
  text: fc.string({ unit: "grapheme" }),
  integer: fc.maxSafeInteger(),
  number: fc.double({ noNaN: true }),
  boolean: fc.boolean(),
  numbers: fc.array(fc.double({ noNaN: true }), { maxLength: 5 }),
  texts: fc.array(fc.string(), { maxLength: 3 }),
} as const;

/** A table with a column of each kind. */
const table: fc.Arbitrary<readonly ParquetColumn[]> = fc.nat({ max: 12 }).chain((length) => {
  const values = <Value>(cell: fc.Arbitrary<Value>): fc.Arbitrary<(Value | undefined)[]> =>
    fc.array(fc.option(cell, { nil: undefined }), { minLength: length, maxLength: length });
  return fc.tuple(
    values(cells.text).map((list) => ({ name: "a", kind: "text" as const, values: list })),
    values(cells.integer).map((list) => ({ name: "b", kind: "integer" as const, values: list })),
    values(cells.number).map((list) => ({ name: "c", kind: "number" as const, values: list })),
    values(cells.boolean).map((list) => ({ name: "d", kind: "boolean" as const, values: list })),
    values(cells.numbers).map((list) => ({ name: "e", kind: "numbers" as const, values: list })),
    values(cells.texts).map((list) => ({ name: "f", kind: "texts" as const, values: list })),
  );
});

describe("writeParquet()", () => {
  it("keeps every cell of every kind, absent ones and empty lists apart", async () => {
    await fc.assert(
      fc.asyncProperty(table, async (columns) => {
        const { rows } = await pass(columns);
        const numRows = columns[0]!.values.length;
        expect(rows).toHaveLength(numRows);
        for (const [row, found] of rows.entries())
          for (const column of columns)
            expect(found[column.name] ?? undefined).toEqual(expectCell(column, row));
      }),
      { numRuns: 60 },
    );
  });

  it("keeps the sign of zeros among many", async () => {
    const values = Array.from({ length: 64 }, (_, index) => (index % 3 === 0 ? -0 : 0));
    const { rows } = await pass([{ name: "a", kind: "number", values }]);
    expect(rows.map(({ a }) => Object.is(a, -0))).toEqual(values.map((value) => Object.is(value, -0)));
  });

  it("keeps tables longer than a group of rows, and lists longer than a page", async () => {
    const long = Float64Array.from({ length: 200_000 }, (_, index) => Math.sin(index));
    const numRows = 2500;
    const columns: readonly ParquetColumn[] = [
      { name: "index", kind: "integer", values: Array.from({ length: numRows }, (_, row) => row) },
      {
        name: "values",
        kind: "numbers",
        values: Array.from({ length: numRows }, (_, row) => {
          if (row === 1200) return long;
          return row % 3 === 0 ? undefined : long.subarray(0, row % 3);
        }),
      },
    ];
    const { metadata, rows } = await pass(columns);
    expect(metadata.row_groups.length).toBeGreaterThan(1);
    for (const row of [0, 1, 2, 3, 999, 1000, 1001, 1200, 2499])
      for (const column of columns)
        expect(rows[row]?.[column.name] ?? undefined).toEqual(expectCell(column, row));
  });

  it("names the types in the schema, also without any row", async () => {
    const { metadata, rows } = await pass([
      { name: "name", kind: "text", values: [] },
      { name: "layer", kind: "integer", values: [] },
      { name: "share", kind: "number", values: [] },
      { name: "same", kind: "boolean", values: [] },
      { name: "values", kind: "numbers", values: [] },
      { name: "flags", kind: "texts", values: [] },
    ]);
    expect(rows).toEqual([]);
    expect(metadata.num_rows).toBe(0n);
    const [name, layer, share, same, values, flags] = parquetSchema(metadata).children;
    expect([name, layer, share, same].map((column) => column?.element)).toMatchObject([
      { name: "name", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
      { name: "layer", type: "INT64", repetition_type: "OPTIONAL" },
      { name: "share", type: "DOUBLE", repetition_type: "OPTIONAL" },
      { name: "same", type: "BOOLEAN", repetition_type: "OPTIONAL" },
    ]);
    for (const [column, type] of [
      [values, "DOUBLE"],
      [flags, "BYTE_ARRAY"],
    ] as const) {
      expect(column?.element).toMatchObject({ converted_type: "LIST", repetition_type: "OPTIONAL" });
      expect(column?.children[0]?.element).toMatchObject({ name: "list", repetition_type: "REPEATED" });
      expect(column?.children[0]?.children[0]?.element).toMatchObject({
        ...{ name: "element", repetition_type: "OPTIONAL", type },
      });
    }
  });

  it("writes the metadata, and the same bytes for the same table", async () => {
    const columns: readonly ParquetColumn[] = [{ name: "a", kind: "number", values: [1, Infinity] }];
    const metadata = { schema_version: "1", note: "größe" };
    const [first, second] = [join(folder, "new", "a.parquet"), join(folder, "b.parquet")];
    await writeParquet(first, columns, { metadata });
    await writeParquet(second, columns, { metadata });
    const pairs = (await readBack(first)).metadata.key_value_metadata ?? [];
    expect(Object.fromEntries(pairs.map(({ key, value }) => [key, value]))).toEqual(metadata);
    expect(await readFile(first)).toEqual(await readFile(second));
  });

  it.each([
    [[], new TypeError("Cannot write a table: it has no columns")],
    [
      [
        { name: "a", kind: "text", values: ["x"] },
        { name: "b", kind: "number", values: [] },
      ],
      new TypeError('Cannot write a table: column "b" has 0 rows, "a" has 1'),
    ],
    [
      [
        { name: "a", kind: "text", values: ["x"] },
        { name: "a", kind: "number", values: [1] },
      ],
      new RangeError('Cannot write a table: two columns are named "a"'),
    ],
    [
      [{ name: "a", kind: "integer", values: [1, 1.5] }],
      new RangeError('Cannot write 1.5 in row 1 of column "a": it is not a whole number'),
    ],
    [
      [{ name: "a", kind: "number", values: [Number.NaN] }],
      new RangeError('Cannot write NaN in row 0 of column "a": leave the cell out'),
    ],
    [
      [{ name: "a", kind: "numbers", values: [[], [0, Number.NaN]] }],
      new RangeError('Cannot write NaN in row 1 of column "a": leave the cell out'),
    ],
  ] as const satisfies readonly (readonly [readonly ParquetColumn[], Error])[])(
    "refuses a table that is none, and writes nothing (%#)",
    async (columns, error) => {
      await expect(writeParquet(join(folder, "a.parquet"), columns)).rejects.toThrow(error);
      expect(await readdir(folder)).toEqual([]);
    },
  );

  it("refuses a path that cannot be written", async () => {
    const columns: readonly ParquetColumn[] = [{ name: "a", kind: "text", values: [] }];
    await expect(writeParquet(folder, columns)).rejects.toThrow(UsageError);
  });
});
