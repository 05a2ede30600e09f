/** Which tensors a plan edits, and how: checked against both checkpoints before anything is computed. */
import { setting, UsageError } from "../../base/core/index.ts";
import {
  type CheckpointTensor,
  describeTensorName,
  type FloatDtype,
  isFloatDtype,
  parseLayerRanges,
  parsePatterns,
} from "../checkpoint/index.ts";
import type { TensorLabel } from "../spectra/index.ts";
import { demandVectors, needsSource, type VectorDemand } from "./edit.ts";
import { type Choice, describeOperation, type Operation } from "./plan.ts";

/** The tensors of a checkpoint, by name. */
export type Tensors = ReadonlyMap<string, CheckpointTensor>;

/** Both checkpoints of a plan. */
export interface TensorsOfBoth {
  readonly target: Tensors;
  /** Absent where no operation needs a source. */
  readonly source?: Tensors | undefined;
}

/** A tensor that is edited. */
export interface PlannedEdit extends TensorLabel {
  readonly shape: readonly number[];
  /** Of the target. */
  readonly dtype: FloatDtype;
  readonly operation: Operation;
  readonly numVectors: VectorDemand;
}

/**
 * The tensors that operations edit, in the order of the target. Operations of singular vectors take matrices (tensors of
 * two axes), a rollback any tensor. Without patterns an operation takes the matrices of layers, so embeddings, head and
 * norms are edited only when they are named.
 *
 * Throws `UsageError`, one sentence, for layers that are not there, patterns that match nothing or no matrix, ranks
 * beyond a matrix, a tensor that two operations take, and checkpoints that do not match.
 */
export function resolveOperations(
  operations: readonly Operation[],
  tensors: TensorsOfBoth,
): readonly PlannedEdit[] {
  if (operations.length === 0) throw new UsageError("Cannot edit by a plan without operations; give one");
  const chosen = new Map<string, Operation>();
  for (const operation of operations)
    for (const name of chooseTensors(operation, tensors.target)) {
      const other = chosen.get(name);
      if (other !== undefined)
        throw new UsageError(
          `Cannot edit ${name} by two operations (${describeOperation(other)}; ${describeOperation(operation)}); let each take other layers or matrices`,
        );
      chosen.set(name, operation);
    }
  return [...tensors.target.keys()].flatMap((name) => {
    const operation = chosen.get(name);
    return operation === undefined ? [] : [planTensor(name, operation, tensors)];
  });
}

/** The names of the tensors that an operation takes. */
function chooseTensors(operation: Operation, target: Tensors): readonly string[] {
  const labels = [...target].map(([name, { shape }]) => ({ name, ...describeTensorName(name), shape }));
  const inLayers = chooseLayers(operation, labels);
  if (operation.matrices === undefined) {
    const found = inLayers.filter(({ layer, shape }) => layer !== undefined && isMatrix(shape));
    if (found.length > 0) return found.map(({ name }) => name);
    throw new UsageError(
      `Cannot choose matrices to edit: none lies in a layer; name them with ${setting("matrices")} (matrices in a plan)`,
    );
  }
  const takesAny = operation.operation === "rollback";
  const found = operation.matrices.split(",").flatMap((pattern) => {
    const isNamed = parsePatterns(pattern);
    const named = inLayers.filter(({ name }) => isNamed(name));
    const where = operation.layers === undefined ? "" : ` in layers ${operation.layers}`;
    if (named.length === 0)
      throw new UsageError(
        `Cannot edit "${pattern.trim()}": no tensor${where} has that kind or name; there are ${listKinds(labels)}`,
      );
    const usable = named.filter(({ shape }) => isMatrix(shape) || (takesAny && !shape.includes(0)));
    if (usable.length > 0) return usable.map(({ name }) => name);
    const { name, shape = [] } = named[0] ?? {};
    throw new UsageError(
      `Cannot edit "${pattern.trim()}": ${name} ${shape.includes(0) ? "is empty; choose others" : "is not a matrix, which singular vectors need; choose others or roll it back"}`,
    );
  });
  return [...new Set(found)];
}

/** Two axes, and something in it: tensors that were saved without being gathered are empty. */
const isMatrix = (shape: readonly number[]): boolean => shape.length === 2 && !shape.includes(0);

type Label = TensorLabel & { readonly shape: readonly number[] };

function listKinds(labels: readonly Label[]): string {
  const kinds = [...new Set(labels.filter(({ shape }) => shape.length === 2).map(({ kind }) => kind))];
  const shown = kinds.slice(0, 12).join(", ");
  return kinds.length > 12 ? `${shown} and ${kinds.length - 12} more` : shown;
}

function chooseLayers({ layers }: Choice, labels: readonly Label[]): readonly Label[] {
  if (layers === undefined) return labels;
  const known = new Set(labels.flatMap(({ layer }) => (layer === undefined ? [] : [layer])));
  const last = Math.max(...known);
  const ranges = parseLayerRanges(layers);
  for (const range of ranges)
    for (const layer of [range.first, range.last])
      if (!known.has(layer))
        throw new UsageError(
          known.size === 0
            ? `Cannot edit layer ${layer}: no tensor of the checkpoint lies in a layer; leave the layers out`
            : `Cannot edit layer ${layer}: the checkpoint has layers ${Math.min(...known)} to ${last}`,
        );
  return labels.filter(
    ({ layer }) => layer !== undefined && ranges.some((range) => range.first <= layer && layer <= range.last),
  );
}

function planTensor(name: string, operation: Operation, { target, source }: TensorsOfBoth): PlannedEdit {
  const { dtype, shape } = target.get(name) ?? { dtype: "U8" as const, shape: [] };
  const refuse = (problem: string): never => {
    throw new UsageError(`Cannot edit ${name}: ${problem}`);
  };
  if (!isFloatDtype(dtype)) return refuse(`its ${dtype} numbers are not floats; choose other matrices`);
  if (needsSource(operation)) {
    const other = source?.get(name);
    if (source === undefined) return refuse("the plan names no source; add one to it (source: FOLDER)");
    if (other === undefined)
      return refuse("the source has no such tensor; give two checkpoints of one model");
    if (other.shape.join() !== shape.join())
      return refuse(
        `its shape is [${shape.join(", ")}], in the source [${other.shape.join(", ")}]; give two checkpoints of one model`,
      );
    if (!isFloatDtype(other.dtype))
      return refuse(`in the source its ${other.dtype} numbers are not floats; choose other matrices`);
  }
  const [rows = 1, columns = 1] = shape;
  const label = { name, ...describeTensorName(name) };
  const numVectors =
    shape.length === 2 ? demandVectors(operation, { name, rows, columns }) : { target: 0, source: 0 };
  return { ...label, shape, dtype, operation, numVectors };
}
