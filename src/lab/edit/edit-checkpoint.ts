/**
 * A plan carried out on checkpoint folders: factors come from the cache, edits are made block by block, and the result
 * appears in one rename, whole or not at all.
 */
import { realpath } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { setting, UsageError } from "../../base/core/index.ts";
import { writeFileAtomic, writeFolderAtomic } from "../../base/file/index.ts";
import { createPhases, type Effects, StoppedError } from "../../base/progress/index.ts";
import {
  type Checkpoint,
  CheckpointError,
  rewriteCheckpoint,
  type TensorBytes,
  writeSafetensors,
} from "../../weights/checkpoint/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import { openStored } from "../../weights/spectra/index.ts";
import {
  type AddedProduct,
  blend,
  checkAdaptable,
  checkAdaptableTarget,
  compareValues,
  type Departure,
  describeAdapter,
  describeOperation,
  type Edit,
  type FactorPair,
  joinAdapter,
  listAdapterTensors,
  measureDeparture,
  needsSource,
  type Plan,
  type PlannedEdit,
  planEdit,
} from "../../weights/surgery/index.ts";
import { openCache } from "../cache/index.ts";
import { type FactorReader, planWanted, prepareFactors, type WantedFactors } from "../factor/index.ts";
import { openBackend } from "../machine/index.ts";
import { type Distances, flatten, type RowTriple, writeEdited } from "./edit-tensor.ts";
import { type OpenPlan, openPlan } from "./open-plan.ts";

/** What is written: a whole checkpoint, or a LoRA adapter to the target. */
export const editForms = ["checkpoint", "lora"] as const;

/** What an edit is written as. */
export type EditForm = (typeof editForms)[number];

/** A plan, and where its result goes. */
export interface EditRequest {
  readonly plan: Plan;
  /** A folder that is not there, or empty. */
  readonly out: string;
  readonly form: EditForm;
}

/** What an edit did to a tensor, measured on what was written. */
export interface TensorReport extends Distances {
  readonly name: string;
  readonly layer?: number;
  readonly kind: string;
  readonly shape: readonly number[];
  readonly operation: string;
  /** Rank of the update at most, where it is a product of thin matrices. */
  readonly rank?: number;
  /** ‖Δσ‖ / ‖σ‖ against the target; absent for an adapter and for what is not a matrix. */
  readonly spectralShift?: number;
  /** The same against the values that the operation aimed at. */
  readonly missedValues?: number;
  /** How far the spliced singular vectors are from orthonormal, on both sides. */
  readonly departure?: Departure;
}

/** What came of a plan. */
export interface EditReport {
  readonly plan: Plan;
  readonly form: EditForm;
  readonly tensors: readonly TensorReport[];
  /** ‖edited − target‖ / ‖target‖ over all edited tensors. */
  readonly moved: number;
  readonly numUntouched: number;
  /** Files of the target that are not in the result: they hold the weights as they were. */
  readonly leftOut: readonly string[];
}

/** The file in a result that says what was done. */
const reportName = "untwist-edit.json";

/** A plan that is being carried out. */
interface EditWork {
  readonly opened: OpenPlan;
  readonly algebra: LinearAlgebra;
  readonly readFactors: FactorReader;
  readonly effects: Effects;
  readonly request: EditRequest;
}

/**
 * Carries out a plan. Throws `UsageError`, `CheckpointError` or `StoppedError`; the output folder is then as it was.
 */
export async function editCheckpoint(request: EditRequest, effects: Effects): Promise<EditReport> {
  const opened = await openPlan(request.plan);
  try {
    await requireOutside(request.out, [
      opened.target,
      ...(opened.source === undefined ? [] : [opened.source]),
    ]);
    if (request.form === "lora") {
      checkAdaptableTarget(opened.target, opened.edits);
      checkAdaptable(opened.edits, opened.target.config.model_type);
    }
    const algebra = await openBackend(effects.machine);
    const cache = openCache(algebra, effects);
    const phases = createPhases(effects, sharePhases(opened.wanted, request.form));
    const [preparing = effects, writing = effects, measuring = effects] = phases;
    const options = { cache };
    const readFactors = await prepareFactors(opened.wanted, options, preparing);
    const work: EditWork = { opened, algebra, readFactors, effects: writing, request };
    if (request.form === "lora") return await writeAdapter(work);
    const measure: Measure = (folder, edits) =>
      prepareFactors(
        edits.map(({ name, shape, dtype }) => ({ folder, name, shape, dtype, numVectors: 0 })),
        options,
        measuring,
      );
    return await writeEditedCheckpoint(work, measure);
  } finally {
    await opened.close();
  }
}

/** How much of the time of factorizing writing is guessed to take: it only divides the progress that is shown. */
const writingShare = 0.3;
/** The same of measuring what was written. */
const measuringShare = 0.5;

/** The costs of factorizing, writing and measuring; where nothing is factorized, writing is all. */
function sharePhases(wanted: readonly WantedFactors[], form: EditForm): readonly number[] {
  const cost = wanted.reduce((sum, one) => sum + planWanted(one).cost, 0);
  return [cost, Math.max(1, writingShare * cost), form === "lora" ? 0 : measuringShare * cost];
}

/** Finds the singular values of edited matrices in a folder. */
type Measure = (folder: string, edits: readonly PlannedEdit[]) => Promise<FactorReader>;

/** A result inside of what it is made from would change what it is made from. */
async function requireOutside(out: string, checkpoints: readonly Checkpoint[]): Promise<void> {
  const place = await resolveExisting(resolve(out));
  for (const { folder } of checkpoints) {
    const way = relative(await realpath(folder), place);
    if (way === "" || !(way === ".." || way.startsWith("../") || resolve(way) === way))
      throw new UsageError(
        `Cannot write into "${out}": it lies inside the checkpoint "${folder}"; choose another ${setting("out")}`,
      );
  }
}

/** A path with the links of its existing part followed. */
async function resolveExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await resolveExisting(parent), relative(parent, path));
  }
}

/** An edit, and the factors that it was made from where the tensor is a matrix. */
interface Prepared {
  readonly edit: Edit;
  readonly factors: FactorPair | undefined;
}

async function prepareEdit(
  planned: PlannedEdit,
  { opened: { target, source }, readFactors, algebra }: Pick<EditWork, "opened" | "readFactors" | "algebra">,
): Promise<Prepared> {
  const { name, shape, operation } = planned;
  const matrix = { name, ...flatten(shape) };
  if (shape.length !== 2) {
    const strength = "strength" in operation ? operation.strength : 1;
    return { edit: blend(matrix, strength), factors: undefined };
  }
  const factors = {
    target: await readFactors({ folder: target.folder, name, shape }),
    source:
      source === undefined || !needsSource(operation)
        ? undefined
        : await readFactors({ folder: source.folder, name, shape }),
  };
  return { edit: planEdit(operation, factors, matrix, algebra), factors };
}

/** What is known of an edited tensor once it is written. */
interface Written {
  readonly planned: PlannedEdit;
  readonly report: TensorReport;
  /** ‖target‖. */
  readonly size: number;
  readonly targetValues?: Float64Array;
  readonly intended?: Float64Array;
}

/** The bytes of an edited tensor; returns what came of it. */
async function* streamEdit(
  planned: PlannedEdit,
  { edit, factors }: Prepared,
  { opened, algebra }: Pick<EditWork, "opened" | "algebra">,
): AsyncGenerator<Uint8Array, Written, void> {
  const { name, layer, kind, shape, operation } = planned;
  const departure =
    operation.operation === "restore" && factors !== undefined
      ? measureDeparture(operation, factors, algebra)
      : undefined;
  const isLowRank = edit.ofTarget === 1 && edit.ofSource === 0;
  const label = { name, ...(layer !== undefined && { layer }), kind, shape };
  const stored = {
    target: openStored(opened.target, name),
    source:
      opened.source !== undefined && needsSource(operation) ? openStored(opened.source, name) : undefined,
  };
  const refuse = (rows: RowTriple): never => refuseNonFinite(planned, rows, opened);
  const { distances, size } = yield* withTurns(writeEdited(edit, stored, { algebra, refuse }));
  const report = {
    ...label,
    operation: describeOperation(operation),
    ...(isLowRank && { rank: Math.min(edit.left.columns, ...shape) }),
    ...distances,
    ...(departure !== undefined && { departure }),
  };
  return {
    planned,
    size,
    report,
    ...(factors !== undefined && { targetValues: factors.target.values }),
    ...(edit.intended !== undefined && { intended: edit.intended }),
  };
}

/** The same values with a turn of the event loop after each: Ctrl-C is heard between blocks. */
async function* withTurns<Value, Result>(
  values: Generator<Value, Result, void>,
): AsyncGenerator<Value, Result, void> {
  for (;;) {
    const { done, value } = values.next();
    if (done === true) return value;
    yield value;
    await new Promise((resume) => setImmediate(resume));
  }
}

/** Says whose values are not finite: the source's, the target's, or only those that the edit would give. */
function refuseNonFinite(
  { name, dtype, operation }: PlannedEdit,
  { own, other }: RowTriple,
  { target, source }: OpenPlan,
): never {
  const isBroken = (values: Float32Array | undefined): boolean =>
    values?.some((value) => !Number.isFinite(value)) ?? false;
  const broken = isBroken(own) ? target : isBroken(other) ? source : undefined;
  if (broken !== undefined)
    throw new CheckpointError(
      "it holds values that are NaN or infinite; repair the checkpoint, or choose other tensors",
      { path: broken.folder, tensor: name },
    );
  throw new UsageError(
    `Cannot edit ${name}: ${describeOperation(operation)} gives numbers beyond ${dtype}; take a smaller factor`,
  );
}

async function writeEditedCheckpoint(work: EditWork, measure: Measure): Promise<EditReport> {
  const { opened, request, effects } = work;
  const { target, edits, plan } = opened;
  const written: Written[] = [];
  const edit = async function* (planned: PlannedEdit): AsyncGenerator<Uint8Array, void, void> {
    written.push(yield* streamEdit(planned, await prepareEdit(planned, work), work));
  };
  const tensors = new Map<string, TensorBytes>(edits.map((planned) => [planned.name, () => edit(planned)]));
  const total = [...target.tensors.keys()].reduce((sum, name) => sum + target.openBytes(name).length, 0);
  let done = 0;
  const onBytes = (count: number): void => {
    if (effects.signal.aborted) throw new StoppedError();
    done += count;
    effects.report({ kind: "progress", work: "edit", what: "writing", doneFraction: done / total });
  };
  const report = { plan, form: request.form, numUntouched: target.tensors.size - edits.length };
  return await writeFolderAtomic(request.out, async (folder) => {
    const metadata = { "untwist.plan": JSON.stringify(plan) };
    const leftOut = await rewriteCheckpoint(target, folder, { tensors, metadata, onBytes });
    const reports = await measureValues(written, folder, measure);
    const finished = { ...report, tensors: reports, moved: measureMove(written), leftOut };
    await writeFileAtomic(join(folder, reportName), `${JSON.stringify(finished, null, 2)}\n`);
    return finished;
  });
}

/** How far all tensors moved together, as a fraction of what they were. */
function measureMove(written: readonly Written[]): number {
  const [difference, size] = written.reduce(
    ([squares, all], one) => [squares + (one.report.toTarget * one.size) ** 2, all + one.size ** 2],
    [0, 0],
  );
  return size === 0 ? 0 : Math.sqrt(difference / size);
}

/** The reports with the singular values that the written matrices really have. */
async function measureValues(
  written: readonly Written[],
  folder: string,
  measure: Measure,
): Promise<readonly TensorReport[]> {
  const matrices = written.filter(({ targetValues }) => targetValues !== undefined);
  const readFactors = await measure(
    folder,
    matrices.map(({ planned }) => planned),
  );
  const reports: TensorReport[] = [];
  for (const { planned, report, targetValues, intended } of written) {
    if (targetValues === undefined) {
      reports.push(report);
      continue;
    }
    const { values } = await readFactors({ ...planned, folder });
    reports.push({
      ...report,
      spectralShift: compareValues(values, targetValues),
      ...(intended !== undefined && { missedValues: compareValues(values, intended) }),
    });
  }
  return reports;
}

/** How far an edit would move its tensor; nothing of it is kept. */
async function measureEdit(planned: PlannedEdit, prepared: Prepared, work: EditWork): Promise<Written> {
  const blocks = streamEdit(planned, prepared, work);
  for (;;) {
    if (work.effects.signal.aborted) throw new StoppedError();
    const { done, value } = await blocks.next();
    if (done === true) return value;
  }
}

async function writeAdapter(work: EditWork): Promise<EditReport> {
  const { opened, request, effects } = work;
  const { plan, target, edits } = opened;
  const products: AddedProduct[] = [];
  const written: Written[] = [];
  for (const [index, planned] of edits.entries()) {
    const prepared = await prepareEdit(planned, work);
    products.push({ ...prepared.edit, name: planned.name });
    written.push(await measureEdit(planned, prepared, work));
    const doneFraction = (index + 1) / edits.length;
    effects.report({ kind: "progress", work: "edit", what: planned.name, doneFraction });
  }
  const kept = products.filter(({ left }) => left.columns > 0);
  if (kept.length === 0)
    throw new UsageError(
      `Cannot write an adapter: the plan changes nothing; leave ${setting("form")} out, or take more ranks`,
    );
  const untouched = target.tensors.size - edits.length;
  const tensors = written.map((one) => one.report);
  const moved = measureMove(written);
  const report = { plan, form: request.form, tensors, moved, numUntouched: untouched, leftOut: [] };
  const { adapter } = target;
  const added = adapter === undefined ? kept : joinAdapter(kept, adapter);
  await writeFolderAtomic(request.out, async (folder) => {
    const config = describeAdapter(added, adapter?.base ?? plan.target);
    await writeFileAtomic(join(folder, "adapter_config.json"), `${JSON.stringify(config, null, 2)}\n`);
    await writeSafetensors(join(folder, "adapter_model.safetensors"), listAdapterTensors(added), {
      format: "pt",
      "untwist.plan": JSON.stringify(plan),
    });
    await writeFileAtomic(join(folder, reportName), `${JSON.stringify(report, null, 2)}\n`);
  });
  return report;
}
