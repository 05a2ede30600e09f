/**
 * Spectra as tables, one row per tensor × pair of checkpoints (× side × rank): for pandas, Polars and DuckDB. The columns
 * are described in docs/spectra.md; `spectraVersion` changes when their meaning does.
 */
import type { ParquetColumn } from "../../../base/file/index.ts";
import { type Tolerance, tolerances } from "../sparsity.ts";
import { sides } from "../subspace.ts";
import type { MatrixSpectra, VectorSpectra } from "./matrix-spectra.ts";
import { describeRotation, type PairSpectra } from "./pair-spectra.ts";

/** Version of the tables and of the JSON. */
export const spectraVersion = 2;

/** The tables, by file name without extension. */
export const tableNames = ["values", "subspaces", "updates", "sparsity"] as const;
export type TableName = (typeof tableNames)[number];

/** A row: which pair and tensor, and more. */
interface Row<Tensor> {
  readonly pair: PairSpectra;
  readonly tensor: Tensor;
}

type Cells = {
  [Kind in ParquetColumn["kind"]]: Extract<ParquetColumn, { readonly kind: Kind }>["values"][number];
};

/** A column of rows of that type. */
type Column<Item> = {
  readonly [Kind in keyof Cells]: {
    readonly name: string;
    readonly kind: Kind;
    readonly read: (item: Item) => Cells[Kind];
  };
}[keyof Cells];

type AnyTensor = MatrixSpectra | VectorSpectra;

/** The columns that every table begins with. */
function labelColumns<Item extends Row<AnyTensor>>(): readonly Column<Item>[] {
  return [
    { name: "before", kind: "text", read: ({ pair }) => pair.before },
    { name: "after", kind: "text", read: ({ pair }) => pair.after },
    { name: "name", kind: "text", read: ({ tensor }) => tensor.name },
    { name: "layer", kind: "integer", read: ({ tensor }) => tensor.layer },
    { name: "kind", kind: "text", read: ({ tensor }) => tensor.kind },
    {
      name: "rows",
      kind: "integer",
      read: ({ tensor }) => (tensor.shape.length === 2 ? tensor.shape[0] : undefined),
    },
    {
      name: "columns",
      kind: "integer",
      read: ({ tensor }) => (tensor.shape.length === 2 ? tensor.shape[1] : undefined),
    },
  ];
}

type MatrixRow = Row<MatrixSpectra>;

const valueColumns: readonly Column<MatrixRow>[] = [
  ...labelColumns<MatrixRow>(),
  { name: "values_before", kind: "numbers", read: ({ tensor }) => tensor.singularValues.before },
  { name: "values_after", kind: "numbers", read: ({ tensor }) => tensor.singularValues.after },
  { name: "error_before", kind: "number", read: ({ tensor }) => tensor.singularValues.error.before },
  { name: "error_after", kind: "number", read: ({ tensor }) => tensor.singularValues.error.after },
  { name: "method", kind: "text", read: ({ tensor }) => tensor.singularValues.method.after },
  { name: "spectral_shift", kind: "number", read: ({ tensor }) => tensor.spectralShift },
  { name: "spectral_shift_chance", kind: "number", read: ({ tensor }) => tensor.nulls.spectralShift },
  { name: "relative_change_mean", kind: "number", read: ({ tensor }) => tensor.relativeChange?.mean },
  { name: "relative_change_largest", kind: "number", read: ({ tensor }) => tensor.relativeChange?.largest },
  { name: "stable_rank_before", kind: "number", read: ({ tensor }) => tensor.stableRank.before },
  { name: "stable_rank_after", kind: "number", read: ({ tensor }) => tensor.stableRank.after },
  { name: "entropy_rank_before", kind: "number", read: ({ tensor }) => tensor.entropyRank.before },
  { name: "entropy_rank_after", kind: "number", read: ({ tensor }) => tensor.entropyRank.after },
  { name: "power_law_before", kind: "number", read: ({ tensor }) => tensor.powerLaw.before?.exponent },
  { name: "power_law_after", kind: "number", read: ({ tensor }) => tensor.powerLaw.after?.exponent },
  {
    name: "noise_error_before",
    kind: "number",
    read: ({ tensor }) => tensor.randomness.before?.maxRelativeError,
  },
  {
    name: "noise_error_after",
    kind: "number",
    read: ({ tensor }) => tensor.randomness.after?.maxRelativeError,
  },
  { name: "flags", kind: "texts", read: ({ tensor }) => tensor.flags },
];

interface SubspaceRow extends MatrixRow {
  readonly side: (typeof sides)[number];
  readonly subspace: MatrixSpectra["subspaces"]["left"][number];
}

const nullOf = ({
  tensor: { nulls },
  side,
  subspace: { rank },
}: SubspaceRow): readonly (number | undefined)[] => [
  nulls.randomSubspaces[side][String(rank)]?.chordal,
  nulls.bf16Rounding?.[side][String(rank)],
];

const subspaceColumns: readonly Column<SubspaceRow>[] = [
  ...labelColumns<SubspaceRow>(),
  { name: "side", kind: "text", read: ({ side }) => side },
  { name: "rank", kind: "integer", read: ({ subspace }) => subspace.rank },
  {
    name: "angles",
    kind: "numbers",
    read: ({ tensor, side, subspace }) => tensor.principalAngles[side][String(subspace.rank)],
  },
  { name: "num_forced", kind: "integer", read: ({ subspace }) => subspace.numForced },
  { name: "mean_angle", kind: "number", read: ({ subspace }) => subspace.meanAngle },
  { name: "largest_angle", kind: "number", read: ({ subspace }) => subspace.largestAngle },
  { name: "chordal", kind: "number", read: ({ subspace }) => subspace.chordal },
  { name: "projection", kind: "number", read: ({ subspace }) => subspace.projection },
  { name: "alignment", kind: "number", read: ({ subspace }) => subspace.alignment },
  { name: "bound", kind: "number", read: ({ subspace }) => subspace.bound },
  { name: "error", kind: "number", read: ({ subspace }) => subspace.error },
  { name: "chance", kind: "number", read: ({ subspace }) => subspace.chance },
  { name: "beyond_chance", kind: "number", read: ({ subspace }) => subspace.beyondChance },
  { name: "chance_unrelated", kind: "number", read: (row) => nullOf(row)[0] },
  { name: "chance_bf16", kind: "number", read: (row) => nullOf(row)[1] },
];

const updateColumns: readonly Column<MatrixRow>[] = [
  ...labelColumns<MatrixRow>(),
  { name: "frobenius", kind: "number", read: ({ tensor }) => tensor.update.frobenius },
  { name: "relative", kind: "number", read: ({ tensor }) => tensor.update.relative },
  { name: "spectral", kind: "number", read: ({ tensor }) => tensor.update.spectral },
  { name: "values", kind: "numbers", read: ({ tensor }) => tensor.update.singularValues },
  { name: "stable_rank", kind: "number", read: ({ tensor }) => tensor.update.stableRank },
  { name: "entropy_rank", kind: "number", read: ({ tensor }) => tensor.update.entropyRank },
  { name: "energy_rank_90", kind: "integer", read: ({ tensor }) => tensor.update.energyRanks?.["90"] },
  { name: "energy_rank_95", kind: "integer", read: ({ tensor }) => tensor.update.energyRanks?.["95"] },
  { name: "energy_rank_99", kind: "integer", read: ({ tensor }) => tensor.update.energyRanks?.["99"] },
  { name: "numerical_rank", kind: "integer", read: ({ tensor }) => tensor.update.numericalRank?.rank },
  {
    name: "numerical_rank_tolerance",
    kind: "number",
    read: ({ tensor }) => tensor.update.numericalRank?.tolerance,
  },
  {
    name: "energy_at_ranks",
    kind: "numbers",
    read: ({ tensor }) => tensor.update.energyByRank.map(({ rank }) => rank),
  },
  {
    name: "energy_stretch",
    kind: "numbers",
    read: ({ tensor }) => tensor.update.energyByRank.map(({ stretch }) => stretch),
  },
  {
    name: "energy_rotation",
    kind: "numbers",
    read: ({ tensor }) => tensor.update.energyByRank.map(({ rotation }) => rotation),
  },
  {
    name: "energy_outside",
    kind: "numbers",
    read: ({ tensor }) => tensor.update.energyByRank.map(({ outside }) => outside),
  },
  {
    name: "energy_inside_chance",
    kind: "numbers",
    read: ({ tensor }) => tensor.update.energyByRank.map(({ insideChance }) => insideChance),
  },
  { name: "intruders", kind: "integer", read: ({ tensor }) => tensor.update.intruders.count },
  {
    name: "intruders_undecided",
    kind: "integer",
    read: ({ tensor }) => tensor.update.intruders.numUndecided,
  },
  { name: "direction_angles_left", kind: "numbers", read: ({ tensor }) => tensor.directions.left },
  { name: "direction_angles_right", kind: "numbers", read: ({ tensor }) => tensor.directions.right },
  { name: "direction_bounds", kind: "numbers", read: ({ tensor }) => tensor.directions.bounds },
  { name: "weighted_rotation_left", kind: "number", read: ({ tensor }) => tensor.directions.weighted.left },
  { name: "weighted_rotation_right", kind: "number", read: ({ tensor }) => tensor.directions.weighted.right },
  { name: "rotation", kind: "number", read: ({ tensor }) => describeRotation(tensor)?.angle },
  { name: "rotation_rank", kind: "integer", read: ({ tensor }) => describeRotation(tensor)?.rank },
  { name: "rotation_chance", kind: "number", read: ({ tensor }) => describeRotation(tensor)?.chance },
];

type TensorRow = Row<AnyTensor>;

const sparsityColumns: readonly Column<TensorRow>[] = [
  ...labelColumns<TensorRow>(),
  { name: "dtype_before", kind: "text", read: ({ tensor }) => tensor.dtype.before },
  { name: "dtype_after", kind: "text", read: ({ tensor }) => tensor.dtype.after },
  { name: "num_elements", kind: "integer", read: ({ tensor }) => tensor.elements.counts.numElements },
  { name: "relative_update", kind: "number", read: ({ tensor }) => tensor.update.relative },
  { name: "bitwise", kind: "number", read: ({ tensor }) => tensor.sparsity.bitwise },
  { name: "bitwise_in_bf16", kind: "number", read: ({ tensor }) => tensor.sparsity.bitwiseInBf16 },
  { name: "relative", kind: "number", read: ({ tensor }) => tensor.sparsity.relative },
  ...tolerances.map(
    (tolerance: Tolerance): Column<TensorRow> => ({
      name: `within_${tolerance}`,
      kind: "number",
      read: ({ tensor }) => tensor.sparsity.byTolerance[tolerance],
    }),
  ),
];

/** All tables of some pairs. */
export function createTables(pairs: readonly PairSpectra[]): {
  readonly [Name in TableName]: readonly ParquetColumn[];
} {
  const matrices = pairs.flatMap((pair) => pair.matrices.map((tensor) => ({ pair, tensor })));
  const vectors = pairs.flatMap((pair) => pair.vectors.map((tensor) => ({ pair, tensor })));
  const subspaces = matrices.flatMap((row) =>
    sides.flatMap((side) => row.tensor.subspaces[side].map((subspace) => ({ ...row, side, subspace }))),
  );
  return {
    values: fill(valueColumns, matrices),
    subspaces: fill(subspaceColumns, subspaces),
    updates: fill(updateColumns, matrices),
    sparsity: fill(sparsityColumns, [...matrices, ...vectors]),
  };
}

function fill<Item>(columns: readonly Column<Item>[], items: readonly Item[]): readonly ParquetColumn[] {
  return columns.map((column) => fillColumn(column, items));
}

function fillColumn<Item>(column: Column<Item>, items: readonly Item[]): ParquetColumn {
  const { name } = column;
  switch (column.kind) {
    case "text":
      return { name, kind: "text", values: items.map(column.read) };
    case "integer":
      return { name, kind: "integer", values: items.map(column.read) };
    case "number":
      return { name, kind: "number", values: items.map(column.read) };
    case "boolean":
      return { name, kind: "boolean", values: items.map(column.read) };
    case "numbers":
      return { name, kind: "numbers", values: items.map(column.read) };
    case "texts":
      return { name, kind: "texts", values: items.map(column.read) };
  }
}
