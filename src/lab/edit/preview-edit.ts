/** What a plan would do, without doing it: which tensors, how far apart they are, memory and time. */

import { type Effects, StoppedError } from "../../base/progress/index.ts";
import { createMatrix, type LinearAlgebra } from "../../weights/linalg/index.ts";
import { openStored } from "../../weights/spectra/index.ts";
import {
  checkAdaptable,
  checkAdaptableTarget,
  describeOperation,
  limitRank,
  needsSource,
  type Plan,
  type PlannedEdit,
} from "../../weights/surgery/index.ts";
import { planWanted } from "../factor/index.ts";
import { openBackend } from "../machine/index.ts";
import type { EditRequest } from "./edit-checkpoint.ts";
import { measureDistance } from "./edit-tensor.ts";
import { type OpenPlan, openPlan } from "./open-plan.ts";

/** A tensor that would be edited. */
export interface TensorPreview {
  readonly name: string;
  readonly shape: readonly number[];
  readonly operation: string;
  /** Singular directions that the edit needs of the target, of as many as there are. */
  readonly numVectors: number;
  /** ‖target − source‖ / ‖target‖: what a whole rollback would move; absent without a source. */
  readonly apart?: number;
}

/** What would be done, and what it takes. */
export interface EditPreview {
  readonly plan: Plan;
  readonly tensors: readonly TensorPreview[];
  readonly numUntouched: number;
  /** Size of the weights to write. */
  readonly numBytes: number;
  /** Largest memory of one step, about. */
  readonly memoryBytes: number;
  /** Time, about, when nothing is in the cache yet. */
  readonly seconds: number;
}

/** Checks a plan and says what it would do. Throws as `openPlan`, and `StoppedError`. */
export async function previewEdit(
  { plan, form }: Omit<EditRequest, "out">,
  effects: Effects,
): Promise<EditPreview> {
  const opened = await openPlan(plan);
  try {
    if (form === "lora") {
      checkAdaptableTarget(opened.target, opened.edits);
      checkAdaptable(opened.edits, opened.target.config.model_type);
    }
    const { target, edits, wanted } = opened;
    const tensors: TensorPreview[] = [];
    for (const edit of edits) {
      if (effects.signal.aborted) throw new StoppedError();
      tensors.push(describe(edit, opened));
      const doneFraction = tensors.length / edits.length;
      effects.report({ kind: "progress", work: "edit", what: `read ${edit.name}`, doneFraction });
      await new Promise((resume) => setImmediate(resume));
    }
    const speed = measureSpeed(await openBackend(effects.machine), effects);
    const cost = wanted.reduce((sum, one) => sum + planWanted(one).cost, 0);
    const numBytes =
      form === "lora"
        ? edits.reduce((sum, edit) => sum + adapterBytes(edit), 0)
        : [...target.tensors.keys()].reduce((sum, name) => sum + target.openBytes(name).length, 0);
    return {
      plan,
      tensors,
      numUntouched: target.tensors.size - edits.length,
      numBytes,
      memoryBytes: Math.max(...wanted.map((one) => planWanted(one).bytes), ...edits.map(editBytes)),
      // Factorizing both sides, the values of the result, writing at the speed of a slow disk.
      seconds: (factorizingSlowdown * 1.5 * cost) / speed + numBytes / slowDisk,
    };
  } finally {
    await opened.close();
  }
}

/** Bytes per second of a slow disk. */
const slowDisk = 2e8;
/** How much slower than products factorizations are, per multiplication. */
const factorizingSlowdown = 1.2;

function describe(
  { name, shape, operation, numVectors }: PlannedEdit,
  { target, source }: OpenPlan,
): TensorPreview {
  const preview = { name, shape, operation: describeOperation(operation), numVectors: numVectors.target };
  if (source === undefined || !needsSource(operation)) return preview;
  return { ...preview, apart: measureDistance(openStored(target, name), openStored(source, name)) };
}

/** Memory for the factors of both sides and the thin matrices of an edit. */
function editBytes({ shape, numVectors }: PlannedEdit): number {
  const [rows = 1, columns = 1] = shape;
  return 8 * 2 * (rows + columns) * (numVectors.target + numVectors.source) + 3 * 2 ** 24;
}

/** 32-bit floats of lora_A and lora_B. */
function adapterBytes({ name, shape, operation }: PlannedEdit): number {
  const [rows = 1, columns = 1] = shape;
  return 4 * limitRank(operation, { name, rows, columns }) * (rows + columns);
}

/** Multiplications a second in a product of two matrices: the second of two runs. */
function measureSpeed(algebra: LinearAlgebra, effects: Effects): number {
  const size = algebra.name === "lapack" ? 1024 : 128;
  const matrix = createMatrix(size, size, new Float64Array(size * size).fill(1));
  algebra.multiply(matrix, matrix);
  const startMs = effects.now();
  algebra.multiply(matrix, matrix);
  return size ** 3 / Math.max(1e-6, (effects.now() - startMs) / 1000);
}
