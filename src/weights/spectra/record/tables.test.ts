import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetMetadata, parquetReadObjects, parquetSchema } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawPair } from "../../../../test/support/drawn-pair.ts";
import { writeParquet } from "../../../base/file/index.ts";
import { describeRotation } from "./pair-spectra.ts";
import { createTables, type TableName, tableNames } from "./tables.ts";

const drawn = drawPair(
  [
    { name: "model.layers.2.self_attn.q_proj.weight", shape: [24, 22], size: 0.02 },
    { name: "model.layers.0.mlp.up_proj.weight", shape: [24, 22], size: 0 },
    { name: "lm_head.weight", shape: [3, 5], size: 0.1 },
    { name: "model.norm.weight", shape: [6], size: 0.1 },
  ],
  { ranks: [2, 8] },
);
const pairs = [drawn, { ...drawn, before: "other" }];

type Rows = readonly Record<string, unknown>[];
const written = new Map<TableName, { readonly rows: Rows; readonly names: readonly string[] }>();
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-tables-"));
  const tables = createTables(pairs);
  for (const name of tableNames) {
    const path = join(folder, `${name}.parquet`);
    await writeParquet(path, tables[name]);
    const { buffer, byteOffset, byteLength } = await readFile(path);
    const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
    const names = parquetSchema(parquetMetadata(file)).children.map(({ element }) => element.name);
    written.set(name, { rows: await parquetReadObjects({ file }), names });
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const rowsOf = (table: TableName): Rows => written.get(table)!.rows;
const pick = (table: TableName, name: string): Record<string, unknown> =>
  rowsOf(table).find((row) => row.name === name && row.before === "base")!;

/** What docs/spectra.md says stands in a table: names in back quotes after its heading. */
async function readDocumented(table: TableName): Promise<readonly string[]> {
  const text = await readFile(new URL("../../../../docs/spectra.md", import.meta.url), "utf8");
  const section = text.slice(text.indexOf("## Tables"));
  const quotes = (part: string): string[] =>
    [...part.matchAll(/`([a-z0-9_-]+)`/g)].map(([, name = ""]) => name);
  const common = quotes(/All begin with ([\s\S]*?)\n\n/.exec(section)?.[1] ?? "");
  const own = quotes(
    new RegExp(`\\*\\*${table}\\.parquet\\*\\*([\\s\\S]*?)\\n\\n|$`).exec(`${section}\n\n`)?.[1] ?? "",
  );
  return [...common, ...own].flatMap((name) =>
    name === "within_1e-8" ? ["1e-8", "1e-7", "1e-6", "1e-5"].map((size) => `within_${size}`) : [name],
  );
}

describe("createTables()", () => {
  it.each(tableNames)("gives %s the columns that the documentation lists, and no others", async (table) => {
    expect(written.get(table)!.names.toSorted()).toEqual((await readDocumented(table)).toSorted());
    expect(new Set(written.get(table)!.names).size).toBe(written.get(table)!.names.length);
  });

  it("has a row for each matrix, side and rank, and tensor of each pair", () => {
    expect(rowsOf("values").length).toBe(2 * 3);
    expect(rowsOf("updates").length).toBe(2 * 3);
    // Ranks 2 and 8 of the larger matrices, 2 and 3 of the smaller one.
    expect(rowsOf("subspaces").length).toBe(2 * 2 * 6);
    expect(rowsOf("sparsity").length).toBe(2 * 4);
    for (const table of tableNames)
      expect(new Set(rowsOf(table).map(({ before }) => before))).toEqual(new Set(["base", "other"]));
  });

  it("labels rows by pair and tensor, with nulls outside of layers and for other than matrices", () => {
    expect(pick("values", "model.layers.2.self_attn.q_proj.weight")).toMatchObject({
      ...{ before: "base", after: "tuned", layer: 2n, kind: "q_proj", rows: 24n, columns: 22n },
    });
    expect(pick("sparsity", "lm_head.weight")).toMatchObject({ layer: null, rows: 3n, columns: 5n });
    expect(pick("sparsity", "model.norm.weight")).toMatchObject({ layer: null, rows: null, columns: null });
  });

  it("keeps the numbers of the comparison", () => {
    for (const matrix of drawn.matrices) {
      const { name, singularValues, update, directions, nulls, randomness, sparsity, elements } = matrix;
      const rotation = describeRotation(matrix)!;
      expect(pick("values", name)).toMatchObject({
        values_before: singularValues.before,
        values_after: singularValues.after,
        error_before: singularValues.error.before,
        error_after: singularValues.error.after,
        method: "svd",
        spectral_shift: matrix.spectralShift,
        spectral_shift_chance: nulls.spectralShift ?? null,
        relative_change_mean: matrix.relativeChange?.mean,
        relative_change_largest: matrix.relativeChange?.largest,
        stable_rank_before: matrix.stableRank.before,
        stable_rank_after: matrix.stableRank.after,
        entropy_rank_before: matrix.entropyRank.before,
        entropy_rank_after: matrix.entropyRank.after,
        power_law_before: matrix.powerLaw.before?.exponent ?? null,
        power_law_after: matrix.powerLaw.after?.exponent ?? null,
        noise_error_before: randomness.before?.maxRelativeError,
        noise_error_after: randomness.after?.maxRelativeError,
        flags: matrix.flags,
      });
      expect(pick("updates", name)).toMatchObject({
        frobenius: update.frobenius,
        relative: update.relative,
        spectral: update.spectral,
        values: update.singularValues,
        stable_rank: update.stableRank ?? null,
        entropy_rank: update.entropyRank ?? null,
        energy_rank_90: BigInt(update.energyRanks!["90"]),
        energy_rank_95: BigInt(update.energyRanks!["95"]),
        energy_rank_99: BigInt(update.energyRanks!["99"]),
        numerical_rank: BigInt(update.numericalRank!.rank),
        numerical_rank_tolerance: update.numericalRank!.tolerance,
        energy_at_ranks: update.energyByRank.map(({ rank }) => rank),
        energy_stretch: update.energyByRank.map(({ stretch }) => stretch),
        energy_rotation: update.energyByRank.map((split) => split.rotation),
        energy_outside: update.energyByRank.map(({ outside }) => outside),
        intruders: BigInt(update.intruders.count),
        intruders_undecided: 0n,
        direction_angles_left: directions.left,
        direction_angles_right: directions.right,
        direction_bounds: directions.bounds,
        weighted_rotation_left: directions.weighted.left,
        weighted_rotation_right: directions.weighted.right,
        rotation: rotation.angle,
        rotation_chance: rotation.chance ?? null,
      });
      expect(pick("sparsity", name)).toMatchObject({
        ...{ dtype_before: "F32", dtype_after: "F32", num_elements: BigInt(elements.counts.numElements) },
        relative_update: update.relative,
        bitwise: sparsity.bitwise,
        bitwise_in_bf16: sparsity.bitwiseInBf16,
        relative: sparsity.relative,
        "within_1e-8": sparsity.byTolerance["1e-8"],
        "within_1e-4": sparsity.byTolerance["1e-4"],
      });
    }
  });

  it("keeps every subspace with its nulls", () => {
    for (const { name, subspaces, principalAngles, nulls } of drawn.matrices)
      for (const side of ["left", "right"] as const)
        for (const subspace of subspaces[side]) {
          const { rank } = subspace;
          const row = rowsOf("subspaces").find(
            (one) =>
              one.before === "base" && one.name === name && one.side === side && one.rank === BigInt(rank),
          );
          expect(row).toMatchObject({
            angles: principalAngles[side][rank],
            num_forced: BigInt(subspace.numForced),
            mean_angle: subspace.meanAngle,
            largest_angle: subspace.largestAngle,
            chordal: subspace.chordal,
            projection: subspace.projection,
            alignment: subspace.alignment,
            bound: subspace.bound,
            error: subspace.error,
            chance: subspace.chance ?? null,
            beyond_chance: subspace.beyondChance ?? null,
            chance_unrelated: nulls.randomSubspaces[side][rank]!.chordal,
            chance_bf16: nulls.bf16Rounding![side][rank],
          });
        }
  });

  it("can be written of no pairs at all", async () => {
    for (const columns of Object.values(createTables([])))
      await writeParquet(join(folder, "empty.parquet"), columns);
    expect((await readFile(join(folder, "empty.parquet"))).length).toBeGreaterThan(0);
  });
});
