import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFallenRun } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type ParquetColumn, writeParquet } from "../../base/file/index.ts";
import type { RunFolder } from "../../run/index.ts";
import { readPair } from "./weights.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const pair = { before: "base", after: "sft-1" };
let folder: RunFolder;
beforeAll(async () => {
  ({ folder } = await createFallenRun(join(place, "run")));
  mkdirSync(folder.locate("spectra"));
});

/** Writes the table of singular values of one matrix, with other columns in the place of some. */
async function writeValues(...others: readonly ParquetColumn[]): Promise<void> {
  const columns: readonly ParquetColumn[] = [
    { name: "before", kind: "text", values: [pair.before] },
    { name: "after", kind: "text", values: [pair.after] },
    { name: "name", kind: "text", values: ["a.weight"] },
    { name: "layer", kind: "integer", values: [0] },
    { name: "kind", kind: "text", values: ["a"] },
    { name: "rows", kind: "integer", values: [2] },
    { name: "columns", kind: "integer", values: [3] },
    { name: "values_before", kind: "numbers", values: [[4, 1]] },
    { name: "values_after", kind: "numbers", values: [[5, 0]] },
    { name: "flags", kind: "texts", values: [[]] },
  ];
  await writeParquet(
    folder.locate("spectra/values.parquet"),
    columns.map((column) => others.find(({ name }) => name === column.name) ?? column),
  );
}

describe("readPair()", () => {
  it("gives the numbers of the tables, zeros among them", async () => {
    await writeValues();
    const [matrix] = await readPair(folder, pair);
    expect(matrix).toMatchObject({
      name: "a.weight",
      rows: 2,
      columns: 3,
      values: { before: [4, 1], after: [5, 0] },
      update: [],
      energy: [],
    });
  });

  const wrong: Readonly<Record<string, ParquetColumn>> = {
    "a number that is absent": { name: "rows", kind: "integer", values: [undefined] },
    "a list of other things": { name: "values_after", kind: "texts", values: [["five", "0"]] },
  };
  it.each(Object.entries(wrong))("refuses, in words, %s, rather than to show 0", async (_, column) => {
    await writeValues(column);
    const refusal = readPair(folder, pair);
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(
      new RegExp(`a\\.weight: "${column.name}" .* where a number belongs`),
    );
  });
});
