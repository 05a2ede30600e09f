/** What `untwist follow` found: trainings with their steps, how each is known, and what to do next. */
import { quoteForShell } from "../../../base/core/index.ts";
import type { ModelOutline } from "../../../lab/comparison/index.ts";
import {
  describeLineageFile,
  type FollowedDifference,
  type FollowedTraining,
  type FollowReport,
} from "../../../lab/follow/index.ts";
import type { Output } from "../output.ts";
import { formatTable } from "./table.ts";

/** What is shown of a followed run. */
interface ShownRun {
  readonly report: FollowReport;
  /** The model's, where a checkpoint is there. */
  readonly outline: ModelOutline | undefined;
  /** What the last checkpoints say otherwise than the base. */
  readonly differences: readonly FollowedDifference[];
}

/** Screen lines of a followed run. */
export function formatFollowed(
  { report, outline, differences }: ShownRun,
  { paint }: Pick<Output, "paint">,
): readonly string[] {
  const path = quoteForShell(report.folder.path);
  return [
    ...formatTable(listRows(report, paint)),
    "",
    ...describeFound(report, paint),
    ...describeBase(report),
    ...differences.flatMap(({ checkpoint, texts }) =>
      texts.map((text) => `${checkpoint} beside the base: ${text}`),
    ),
    ...describeAssumption(report.trainings),
    ...(outline === undefined ? [] : ["", ...formatOutline(outline, paint)]),
    "",
    `${report.added.length} checkpoints new, ${report.lineage.length} in all; their weights stay where they are`,
    `Next:  untwist eval ${path} --environment items:FOLDER${chooseWay(report.trainings, outline)}        what each checkpoint can do on your questions (docs/follow.md), ID and OOD`,
    `       untwist spectra ${path}        what changed in the weights`,
    `       untwist studio ${path}         all of it in the browser`,
  ];
}

/** The base and each training, in a line each. */
function listRows(
  { trainings, lineage }: FollowReport,
  paint: Output["paint"],
): readonly (readonly string[])[] {
  const base = lineage.find(({ stage }) => stage === "base");
  return [
    ...(base === undefined ? [] : [[paint("bold", "base"), "", "", paint("dim", base.path)]]),
    ...trainings.map((training) => [
      paint("bold", training.branch ?? "sft"),
      describeSteps(training),
      describeStart(training),
      paint("dim", training.found.folder),
    ]),
  ];
}

/** How each training is known, and what of it is not used. */
function describeFound(
  { trainings, gone, leftOut }: FollowReport,
  paint: Output["paint"],
): readonly string[] {
  const layout = (trainers: string | undefined): string =>
    trainers === undefined ? "" : `; laid out as by ${trainers}`;
  return [
    ...trainings.map(({ branch = "sft", stage, because, found }) =>
      paint("dim", `${branch} is taken for ${stage.toUpperCase()} as ${because}${layout(found.trainers)}`),
    ),
    ...trainings.flatMap(({ found }) => found.notes),
    ...trainings.flatMap(({ found }) =>
      found.partial.map(({ folder, reason }) => `Left alone for now: ${folder}: ${reason}`),
    ),
    ...leftOut.map(({ folder, reason }) => `Left out: ${folder}: ${reason}`),
    ...trainings.flatMap(({ found }) =>
      found.log.unread.map(({ file, problem }) => `Could not read the log ${file}: ${problem}`),
    ),
    ...gone.map(
      ({ id, path }) => `Gone since it was followed: ${id} (${path}); what was measured of it stays`,
    ),
  ];
}

/** What is missing of the base. */
function describeBase({ lineage, missingBase }: FollowReport): readonly string[] {
  if (missingBase !== undefined)
    return [
      `The base model is given as "${missingBase}", which is not a folder here; to compare with it, give its folder by --base`,
    ];
  return lineage.some(({ stage }) => stage === "base")
    ? []
    : ["No base model is known; to compare with it, give its folder by --base"];
}

/** How the checkpoints can be asked: models that the embedded engine does not run take a server. */
function chooseWay(trainings: readonly FollowedTraining[], outline: ModelOutline | undefined): string {
  if (outline === undefined || outline.isEmbedded) return "";
  const checkpoints = trainings.flatMap(({ found }) => found.checkpoints);
  return checkpoints.length > 0 && checkpoints.every(({ isAdapter }) => isAdapter)
    ? " --lora-endpoint http://127.0.0.1:8000"
    : " --serve 'vllm serve {path} --port {port}'";
}

function describeSteps({ found: { checkpoints } }: FollowedTraining): string {
  const steps = checkpoints.map(({ step }) => step);
  const [first] = steps;
  const last = steps.at(-1);
  const what = checkpoints.some(({ isAdapter }) => isAdapter) ? "adapter" : "checkpoint";
  if (first === undefined || last === undefined) return "no whole checkpoint yet";
  return steps.length === 1
    ? `1 ${what}, step ${first}`
    : `${steps.length} ${what}s, steps ${first} to ${last}`;
}

function describeStart({ from, isStartAssumed }: FollowedTraining): string {
  if (from === undefined) return "";
  return `from sft-${from}${isStartAssumed ? " (assumed)" : ""}`;
}

function describeAssumption(trainings: readonly FollowedTraining[]): readonly string[] {
  if (!trainings.some(({ isStartAssumed }) => isStartAssumed)) return [];
  return [
    "",
    "Where RL started is not written in its folder; if it is not the SFT end, say so by --lineage FILE with:",
    ...describeLineageFile(trainings)
      .split("\n")
      .map((line) => `  ${line}`),
  ];
}

function formatOutline(
  { layers, kinds, numTensors }: ModelOutline,
  paint: Output["paint"],
): readonly string[] {
  const inLayers = kinds.filter(({ numLayers }) => numLayers > 0);
  const outside = kinds.filter(({ numLayers }) => numLayers === 0);
  const show = ({ kind, shapes }: ModelOutline["kinds"][number]): string =>
    `${kind} ${paint("dim", shapes.map((shape) => shape.join("×")).join(" or "))}`;
  const list = (some: typeof kinds): string => some.map(show).join(", ");
  return [
    `The names of its ${numTensors} tensors say: ${layers.length} layers`,
    ...(inLayers.length === 0 ? [] : [`  in layers  ${list(inLayers)}`]),
    ...(outside.length === 0 ? [] : [`  outside    ${list(outside)}`]),
    paint(
      "dim",
      "  where that is wrong, name tensors in full or by patterns: --matrices 'model.layers.*.q.weight'",
    ),
  ];
}

/** The same for programs. */
export function describeFollowed({ report, outline, differences }: ShownRun): unknown {
  const { folder, trainings, lineage, added, gone, leftOut, missingBase } = report;
  return {
    run: folder.path,
    trainings: trainings.map(({ found, parts, ...training }) => ({
      ...training,
      folder: found.folder,
      ...(parts.length > 1 && { folders: parts.map((part) => part.folder) }),
      trainers: found.trainers,
      steps: found.checkpoints.map(({ step }) => step),
      partial: found.partial,
      notes: found.notes,
      unreadLogs: found.log.unread,
    })),
    checkpoints: lineage,
    added: added.map(({ id }) => id),
    gone: gone.map(({ id }) => id),
    leftOut: leftOut.map(({ step, folder: unused, reason }) => ({ step, folder: unused, reason })),
    ...(missingBase !== undefined && { missingBase }),
    differences,
    ...(outline !== undefined && { model: outline }),
  };
}
