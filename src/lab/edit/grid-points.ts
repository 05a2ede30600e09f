/** The repairs of a grid: its grid spelled out for the matrices of a checkpoint, with controls beside each. */

import type { Grid, RepairGrid } from "../../run/index.ts";
import { describeTensorName } from "../../weights/checkpoint/index.ts";
import {
  type Choice,
  type ControlKind,
  createControls,
  describeChoice,
  describeOperation,
  identifyOperation,
  type Operation,
  type Ranks,
  type Restore,
  resolveOperations,
  type TensorsOfBoth,
} from "../../weights/surgery/index.ts";

/** A repair to evaluate. */
export interface GridPoint {
  /** What it is called, different for every point of a grid. */
  readonly name: string;
  /** `edit`, or which control it is. */
  readonly role: "edit" | ControlKind;
  readonly operation: Operation;
  /** Of an edit: the points that are its controls, by name. */
  readonly controls?: readonly string[];
}

/** Seed of the random controls. */
const controlSeed = 1;

/**
 * All points, none twice: the repairs of all entries of the grid, then their controls. What is asked for as a repair is one,
 * also where another repair would have it as its control; identity is there once. Throws `UsageError` as
 * `resolveOperations`.
 */
export function listPoints({ grid }: RepairGrid, tensors: TensorsOfBoth): readonly GridPoint[] {
  const edits = grid.flatMap((entry): readonly EditWithControls[] =>
    "operation" in entry
      ? [{ edit: createEdit(entry), controls: [] }]
      : expand(entry, tensors).map((edit) => ({
          edit: createEdit(edit),
          controls: entry.controls ? listControls(edit, tensors) : [],
        })),
  );
  const controls = edits.flatMap((one) => one.controls);
  const identity = controls.find(({ role }) => role === "identity");
  const isKept = (point: GridPoint): boolean => point.role !== "identity" || point === identity;
  const points = new Map<string, GridPoint>();
  for (const point of [...edits.map(({ edit }) => edit), ...controls.filter(isKept)]) {
    resolveOperations([point.operation], tensors);
    const key = identifyOperation(point.operation);
    if (!points.has(key)) points.set(key, point);
  }
  // A control may be there as an edit, or as the control of another one: it is called by the name it has there.
  const nameOf = ({ operation, role }: GridPoint): string | undefined =>
    role === "identity" ? identity?.name : points.get(identifyOperation(operation))?.name;
  for (const { edit, controls: own } of edits) {
    const names = own.flatMap((control) => nameOf(control) ?? []);
    const key = identifyOperation(edit.operation);
    if (names.length > 0) points.set(key, { ...edit, controls: [...new Set(names)] });
  }
  return [...points.values()];
}

interface EditWithControls {
  readonly edit: GridPoint;
  readonly controls: readonly GridPoint[];
}

function createEdit(operation: Operation): GridPoint {
  return { name: describeOperation(operation), role: "edit", operation };
}

function expand(grid: Grid, tensors: TensorsOfBoth): readonly Restore[] {
  const edits: Restore[] = [];
  for (const choice of listChoices(grid, tensors))
    for (const what of grid.what)
      for (const strength of grid.strength)
        for (const ranks of listRankChoices(grid))
          edits.push({ operation: "restore", what, ...ranks, strength, ...choice });
  return edits;
}

/** Every combination of top and tail. Where all ranks are taken from the top, none is left for the tail. */
function listRankChoices({ top, tail }: Grid): readonly Ranks[] {
  return tail.flatMap((last) => top.map((first) => ({ top: first, tail: first === "all" ? 0 : last })));
}

function listControls(edit: Restore, tensors: TensorsOfBoth): readonly GridPoint[] {
  if (edit.what === "values") return [];
  const chosen = resolveOperations([edit], tensors);
  // Other matrices of layers that have the ranks which are meant.
  const least = Math.max(...[edit.top, edit.tail].map((amount) => (amount === "all" ? 0 : amount)));
  const candidates = resolveOperations([{ operation: "rebuild" }], tensors).filter(
    ({ shape }) => Math.min(...shape) >= least,
  );
  return createControls(edit, { chosen, candidates, seed: controlSeed }).map(({ kind, operation }) => ({
    name: kind === "elsewhere" ? nameElsewhere(edit) : describeOperation(operation),
    role: kind,
    operation,
  }));
}

/** `directions, all ranks, as many outside layer 0`. */
function nameElsewhere({ layers, matrices, ...everywhere }: Restore): string {
  return `${describeOperation(everywhere)}, as many outside ${describeChoice({ layers, matrices }).join(", ")}`;
}

/** Every combination of layers and matrices; of those spelled out here, only the ones that the model has. */
function listChoices({ layers, matrices }: Grid, { target }: TensorsOfBoth): readonly Choice[] {
  const labels = [...target]
    .filter(([, { shape }]) => shape.length === 2)
    .map(([name]) => describeTensorName(name))
    .filter(({ layer }) => layer !== undefined);
  const numbers = [...new Set(labels.map(({ layer = 0 }) => layer))].sort((a, b) => a - b);
  const kinds = [...new Set(labels.map(({ kind }) => kind))];
  const isThere = (some: string | undefined, kind: string | undefined): boolean =>
    layers !== "each" ||
    matrices !== "each" ||
    labels.some((label) => String(label.layer) === some && label.kind === kind);
  return chooseLayers(layers, numbers).flatMap((some) =>
    chooseMatrices(matrices, kinds)
      .filter((pattern) => isThere(some, pattern))
      .map((pattern) => ({
        ...(some !== undefined && { layers: some }),
        ...(pattern !== undefined && { matrices: pattern }),
      })),
  );
}

function chooseLayers(layers: Grid["layers"], numbers: readonly number[]): readonly (string | undefined)[] {
  if (layers === "all") return [undefined];
  if (layers === "each") return numbers.map(String);
  if (layers !== "cumulative") return layers;
  const [first] = numbers;
  // Written as `each` and `all` write them, so that nothing is there twice.
  return numbers.map((last, index) =>
    index === numbers.length - 1 ? undefined : index === 0 ? String(first) : `${first}-${last}`,
  );
}

function chooseMatrices(
  matrices: Grid["matrices"],
  kinds: readonly string[],
): readonly (string | undefined)[] {
  if (matrices === "all") return [undefined];
  return matrices === "each" ? kinds : matrices;
}
