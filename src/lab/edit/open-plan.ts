/** Plans and the checkpoints they name, checked together before anything is computed or written. */
import { type Checkpoint, type CheckpointTensor, openCheckpoint } from "../../weights/checkpoint/index.ts";
import { needsSource, type Plan, type PlannedEdit, resolveOperations } from "../../weights/surgery/index.ts";
import type { WantedFactors } from "../factor/index.ts";

/** A plan with its checkpoints open. Whoever opens it closes it. */
export interface OpenPlan {
  readonly plan: Plan;
  readonly target: Checkpoint;
  /** Absent where no operation needs one. */
  readonly source: Checkpoint | undefined;
  readonly edits: readonly PlannedEdit[];
  /** Every factorization that the edits need. */
  readonly wanted: readonly WantedFactors[];
  close(): Promise<void>;
}

/** Opens the checkpoints of a plan. Throws `CheckpointError`, and `UsageError` as `resolveOperations`. */
export async function openPlan(plan: Plan): Promise<OpenPlan> {
  const opened: Checkpoint[] = [];
  const open = async (folder: string): Promise<Checkpoint> => {
    // What is written takes the base's formats, as merging an adapter does.
    const checkpoint = await openCheckpoint(folder, { merged: "rounded" });
    opened.push(checkpoint);
    return checkpoint;
  };
  const close = async (): Promise<void> => {
    for (const checkpoint of opened) await checkpoint.close();
  };
  try {
    const target = await open(plan.target);
    const isNeeded = plan.source !== undefined && plan.operations.some(needsSource);
    const source = isNeeded ? await open(plan.source) : undefined;
    const edits = resolveOperations(plan.operations, { target: target.tensors, source: source?.tensors });
    return { plan, target, source, edits, wanted: listFactors(edits, { target, source }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function listFactors(
  edits: readonly PlannedEdit[],
  { target, source }: Pick<OpenPlan, "target" | "source">,
): readonly WantedFactors[] {
  return edits.flatMap(({ name, shape, dtype, operation, numVectors }) => {
    // Whole tensors move without factors; their values are still wanted, to compare the result with.
    if (shape.length !== 2) return [];
    const own = { folder: target.folder, name, shape, dtype, numVectors: numVectors.target };
    if (source === undefined || !needsSource(operation)) return [own];
    const other: CheckpointTensor | undefined = source.tensors.get(name);
    const sourceDtype = other?.dtype ?? dtype;
    return [own, { folder: source.folder, name, shape, dtype: sourceDtype, numVectors: numVectors.source }];
  });
}
