/** Edits of a model in memory: the target's parameters copied, and the edited matrices written over theirs. */

import { createLayout, type Model } from "../../engine/model/index.ts";
import { type CheckpointTensor, openCheckpoint } from "../../weights/checkpoint/index.ts";
import type { Factors, LinearAlgebra } from "../../weights/linalg/index.ts";
import {
  applyEdit,
  blend,
  needsSource,
  type Operation,
  type PlannedEdit,
  planEdit,
  resolveOperations,
} from "../../weights/surgery/index.ts";
import type { WantedFactors } from "../factor/index.ts";
import { flatten } from "./edit-tensor.ts";

/** A model and the tensors of its checkpoint. */
export interface StoredModel extends Model {
  readonly folder: string;
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
}

/** Both models of an edit, and their factors by name. */
export interface EditedModels {
  readonly target: StoredModel;
  readonly source: StoredModel;
  readonly factors: {
    readonly target: ReadonlyMap<string, Factors>;
    readonly source: ReadonlyMap<string, Factors>;
  };
}

/** The tensors of a checkpoint folder. Throws `CheckpointError`. */
export async function readTensors(folder: string): Promise<ReadonlyMap<string, CheckpointTensor>> {
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  return checkpoint.tensors;
}

/** The factors that operations need of one side: of each matrix as many vectors as any of them. */
export function listWanted(
  operations: readonly Operation[],
  models: Pick<EditedModels, "target" | "source">,
  side: "target" | "source",
): readonly WantedFactors[] {
  const wanted = new Map<string, WantedFactors>();
  const { folder, tensors } = models[side];
  for (const operation of operations) {
    // Whole tensors move without factors.
    if (operation.operation === "rollback" || (side === "source" && !needsSource(operation))) continue;
    for (const { name, shape, dtype, numVectors } of resolve(operation, models)) {
      const most = Math.max(numVectors[side], wanted.get(name)?.numVectors ?? 0);
      wanted.set(name, { folder, name, shape, dtype: tensors.get(name)?.dtype ?? dtype, numVectors: most });
    }
  }
  return [...wanted.values()];
}

/** The parameters of the edited model, and how far they moved: ‖edited − target‖ / ‖target‖ over edited tensors. */
export function editParameters(
  operation: Operation,
  models: EditedModels,
  algebra: LinearAlgebra,
): { readonly parameters: Float32Array; readonly moved: number } {
  const { config, parameters: own } = models.target;
  const parameters = own.slice();
  const places = new Map(createLayout(config).entries.map(({ name, offset }) => [name, offset]));
  let [difference, size] = [0, 0];
  for (const planned of resolve(operation, models)) {
    const offset = places.get(planned.name);
    if (offset === undefined) continue;
    const { rows, columns } = flatten(planned.shape);
    const target = own.subarray(offset, offset + rows * columns);
    const source = models.source.parameters.subarray(offset, offset + rows * columns);
    const edit = createEdit(planned, models, algebra);
    const edited = applyEdit(edit, { start: 0, end: rows, target, source }, algebra);
    parameters.set(edited.values, offset);
    for (let index = 0; index < edited.values.length; index++) {
      difference += ((edited.values[index] ?? 0) - (target[index] ?? 0)) ** 2;
      size += (target[index] ?? 0) ** 2;
    }
  }
  return { parameters, moved: size === 0 ? 0 : Math.sqrt(difference / size) };
}

function resolve(
  operation: Operation,
  { target, source }: Pick<EditedModels, "target" | "source">,
): readonly PlannedEdit[] {
  return resolveOperations([operation], { target: target.tensors, source: source.tensors });
}

function createEdit(
  { name, shape, operation }: PlannedEdit,
  { factors }: EditedModels,
  algebra: LinearAlgebra,
): ReturnType<typeof planEdit> {
  const matrix = { name, ...flatten(shape) };
  if (operation.operation === "rollback") return blend(matrix, operation.strength);
  const target = factors.target.get(name);
  if (target === undefined) throw new RangeError(`Cannot edit ${name}: its factors are not there`);
  return planEdit(operation, { target, source: factors.source.get(name) }, matrix, algebra);
}
