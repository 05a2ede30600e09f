/** One step folder of a trainer: where its weights lie, and whether they are whole. Only headers are read. */
import { join } from "node:path";
import { describeError, parsePythonJson, toObject } from "../../base/core/index.ts";
import { fileExists, findNewestMs, folderExists, listFolders, readText } from "../../base/file/index.ts";
import {
  CheckpointError,
  findWeights,
  inspectAdapter,
  isAdapterFolder,
  openCheckpoint,
  UnusableAdapterError,
  type WeightFormat,
} from "../../weights/checkpoint/index.ts";
import { listWeights } from "./nothing-found.ts";

/** What was found in a step folder. */
export type StepState =
  | {
      readonly state: "whole";
      /** The folder of the Hugging Face files. */
      readonly weights: string;
      /** Where it lies in the step folder. */
      readonly place: string;
      readonly isAdapter: boolean;
      /** By the trainer's own state; absent where there is none. */
      readonly step?: number;
      /** When its weights were written: of several forms of them the oldest, as others are converted later. */
      readonly timeMs: number;
    }
  /** Still being written, or never finished. */
  | { readonly state: "partial"; readonly reason: string }
  /** Weights that can't be used as they are. */
  | { readonly state: "unusable"; readonly reason: string };

/** What is known of a step folder from outside. */
export interface StepLocation {
  readonly folder: string;
  /** Where the weights lie in it, where a user said so. */
  readonly weights?: string | undefined;
  /** Whether the trainer writes `trainer_state.json` last, as others of its folders show. */
  readonly endsWithState: boolean;
}

/** Looks into a step folder; `undefined` where there is no sign of weights in it. */
export async function inspectStep({
  folder,
  weights,
  endsWithState,
}: StepLocation): Promise<StepState | undefined> {
  const found = await findPlaces(folder, weights);
  let second: StepState | undefined;
  for (const { place, kind } of found) {
    const state = await inspectPlace(join(folder, place), place, kind);
    if (state.state === "partial") return second?.state === "whole" ? second : state;
    if (state.state === "unusable") second ??= state;
    else {
      const times = await Promise.all(found.map((one) => findNewestMs(join(folder, one.place))));
      const whole = await requireState(folder, { ...state, timeMs: Math.min(...times) }, endsWithState);
      // An adapter or plain files are what other tools can open as well.
      if (!state.isConverted) return whole;
      if (second?.state !== "whole") second = whole;
    }
  }
  return second;
}

/** What a folder holds: weights of a format, an adapter, or weights that are refused by name. */
type WeightsKind = WeightFormat | "adapter" | "refused";

/** The kinds, the best first. */
const kinds: readonly WeightsKind[] = ["safetensors", "adapter", "verl", "torch", "dcp", "gguf", "refused"];

/** What a folder holds; `undefined` where it has no weights of its own. */
async function findKind(folder: string): Promise<WeightsKind | undefined> {
  if (await isAdapterFolder(folder)) return "adapter";
  const found = await findWeights(folder);
  if (found.kind === "weights") return found.format;
  return found.kind === "refused" ? "refused" : undefined;
}

/** A place of weights in a step folder, relative to it. */
interface WeightsLocation {
  readonly place: string;
  readonly kind: WeightsKind;
}

/** Folders in a step folder in which trainers keep the weights of the model that answers, or further folders with these. */
const weightFolders =
  /^(?:actor|_actor|actor_train|policy|student|model|model_weights|weights|hf|hf_model|hf_ckpt|hf_checkpoint|huggingface|huggingface_checkpoint|safetensors|consolidated|consolidated_hf|merged|merged_hf|pretrained_model|lora|lora_adapter|adapter|adapter_model|final|global_step\d+|default|dcp|sharded)$/;
const maxDepth = 4;

/** All places of weights, the best first: by format, then from outside to inside. */
async function findPlaces(folder: string, said: string | undefined): Promise<readonly WeightsLocation[]> {
  const found: WeightsLocation[] = [];
  const look = async (place: string): Promise<void> => {
    const kind = await findKind(join(folder, place));
    if (kind !== undefined) found.push({ place, kind });
  };
  if (said !== undefined) {
    if (await folderExists(join(folder, said))) await look(said);
    return found;
  }
  let level: readonly string[] = [""];
  for (let depth = 0; depth <= maxDepth && level.length > 0; depth++) {
    for (const place of level) await look(place);
    const next = await Promise.all(level.map((place) => listInner(folder, place)));
    level = next.flat();
  }
  // Where no place has a known name, the only one there is will do.
  const [only, another] = found.length === 0 ? await listWeights(folder) : [];
  if (only !== undefined && another === undefined) await look(only);
  return found.sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
}

async function listInner(folder: string, place: string): Promise<readonly string[]> {
  const names = await listFolders(join(folder, place));
  return names.filter((name) => weightFolders.test(name)).map((name) => join(place, name));
}

/** What one place of weights comes to. Here is decided what is only not whole yet, and what will not be usable. */
async function inspectPlace(weights: string, place: string, kind: WeightsKind): Promise<PlaceState> {
  const whole = { state: "whole", weights, place, isAdapter: kind === "adapter", timeMs: 0 } as const;
  if (kind === "adapter") {
    const state = await inspectAdapter(weights);
    return state.state === "usable" ? { ...whole, isConverted: false } : state;
  }
  try {
    const checkpoint = await openCheckpoint(weights);
    await checkpoint.close();
    return { ...whole, isConverted: checkpoint.isConverted === true };
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const isFinal = kind === "refused" || error instanceof UnusableAdapterError;
    return { state: isFinal ? "unusable" : "partial", reason: describeError(error) };
  }
}

/** The same of one place; `isConverted`: whether other tools would not open it as the model that is read here. */
type PlaceState =
  | Exclude<StepState, { readonly state: "whole" }>
  | (WholeStep & { readonly isConverted: boolean });

type WholeStep = Extract<StepState, { readonly state: "whole" }>;

/** Whole weights count once the trainer's state, which is written last, is whole as well. */
async function requireState(folder: string, whole: WholeStep, endsWithState: boolean): Promise<StepState> {
  const file = join(folder, "trainer_state.json");
  if (!(await fileExists(file))) return endsWithState ? { state: "partial", reason: notWhole } : whole;
  const state = parseState(await readText(file));
  if (state === undefined) return { state: "partial", reason: notWhole };
  const { global_step: step } = state;
  return typeof step === "number" && Number.isSafeInteger(step) && step >= 0 ? { ...whole, step } : whole;
}

const notWhole = "its trainer_state.json, which is written last, is not whole yet";

/** The state's fields; `undefined` where its JSON ends too early. */
function parseState(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return toObject(parsePythonJson(text));
  } catch {
    return undefined;
  }
}
