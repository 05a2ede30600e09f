/** The repairs of a sweep: its grid spelled out for the matrices of a checkpoint, with controls beside each. */

import type { Grid, SweepPlan } from "../run/index.ts";
import { describeTensorName } from "../spectra/index.ts";
import {
  type Choice,
  type ControlKind,
  createControls,
  describeOperation,
  type Operation,
  type Restore,
  resolveOperations,
  type TensorsOfBoth,
} from "../surgery/index.ts";

/** A repair to evaluate. */
export interface SweepPoint {
  /** What it is called, different for every point of a sweep. */
  readonly name: string;
  /** `edit`, or which control it is. */
  readonly role: "edit" | ControlKind;
  readonly operation: Operation;
}

/** Seed of the random controls. */
const controlSeed = 1;

/**
 * All points, none twice: for each entry of the grid its repairs, then their controls. Identity is there once. Throws
 * `UsageError` as `resolveOperations`.
 */
export function listPoints({ grid }: SweepPlan, tensors: TensorsOfBoth): readonly SweepPoint[] {
  const points = new Map<string, SweepPoint>();
  let hasIdentity = false;
  for (const entry of grid)
    for (const point of "operation" in entry ? [createEdit(entry)] : expand(entry, tensors)) {
      if (point.role === "identity" && hasIdentity) continue;
      hasIdentity ||= point.role === "identity";
      resolveOperations([point.operation], tensors);
      const key = JSON.stringify(point.operation);
      if (!points.has(key)) points.set(key, point);
    }
  return [...points.values()];
}

function createEdit(operation: Operation): SweepPoint {
  return { name: describeOperation(operation), role: "edit", operation };
}

function expand(grid: Grid, tensors: TensorsOfBoth): readonly SweepPoint[] {
  const edits: Restore[] = [];
  for (const choice of listChoices(grid, tensors))
    for (const what of grid.what)
      for (const strength of grid.strength)
        for (const tail of grid.tail)
          for (const top of grid.top)
            edits.push({ operation: "restore", what, top, tail, strength, ...choice });
  const controls = grid.controls ? edits.flatMap((edit) => listControls(edit, tensors)) : [];
  return [...edits.map(createEdit), ...controls];
}

function listControls(edit: Restore, tensors: TensorsOfBoth): readonly SweepPoint[] {
  if (edit.what === "values") return [];
  const { layers: _, matrices: __, ...everywhere } = edit;
  const chosen = resolveOperations([edit], tensors);
  const candidates = resolveOperations([everywhere], tensors);
  return createControls(edit, { chosen, candidates, seed: controlSeed }).map(({ kind, operation }) => ({
    name: kind === "elsewhere" ? nameElsewhere(edit) : describeOperation(operation),
    role: kind,
    operation,
  }));
}

/** `directions, all ranks, not layer 0`. */
function nameElsewhere(edit: Restore): string {
  const everywhere = describeOperation({ ...edit, layers: undefined, matrices: undefined });
  return `${everywhere}, not ${describeOperation(edit).slice(everywhere.length + 2)}`;
}

/** Every combination of layers and matrices. */
function listChoices({ layers, matrices }: Grid, { target }: TensorsOfBoth): readonly Choice[] {
  const labels = [...target]
    .filter(([, { shape }]) => shape.length === 2)
    .map(([name]) => describeTensorName(name))
    .filter(({ layer }) => layer !== undefined);
  const numbers = [...new Set(labels.map(({ layer = 0 }) => layer))].sort((a, b) => a - b);
  const kinds = [...new Set(labels.map(({ kind }) => kind))];
  return chooseLayers(layers, numbers).flatMap((some) =>
    chooseMatrices(matrices, kinds).map((pattern) => ({
      ...(some !== undefined && { layers: some }),
      ...(pattern !== undefined && { matrices: pattern }),
    })),
  );
}

function chooseLayers(layers: Grid["layers"], numbers: readonly number[]): readonly (string | undefined)[] {
  if (layers === "all") return [undefined];
  if (layers === "each") return numbers.map(String);
  if (layers !== "cumulative") return layers;
  // The first alone is among `each`, all together are `all`: what lies between is new.
  return numbers.slice(1, -1).map((last) => `${numbers[0]}-${last}`);
}

function chooseMatrices(
  matrices: Grid["matrices"],
  kinds: readonly string[],
): readonly (string | undefined)[] {
  if (matrices === "all") return [undefined];
  return matrices === "each" ? kinds : matrices;
}
