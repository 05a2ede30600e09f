/** One step folder of a trainer: where its weights lie, and whether they are whole. Only headers are read. */
import { join } from "node:path";
import { parsePythonJson } from "../base/index.ts";
import {
  type Checkpoint,
  CheckpointError,
  isAdapterFolder,
  openCheckpoint,
  openSafetensors,
  readAdapterConfig,
} from "../checkpoint/index.ts";
import { fileExists, findNewestMs, folderExists, listFiles, listFolders, readText } from "../file/index.ts";
import { findWeights } from "./nothing-found.ts";
import { findFormat, type WeightsFormat } from "./weights-format.ts";

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
  /** Weights that can't be used as they are; `isFinal`: however long one waits. */
  | { readonly state: "unusable"; readonly reason: string; readonly isFinal: boolean };

/** What is known of a step folder from outside. */
export interface StepPlace {
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
}: StepPlace): Promise<StepState | undefined> {
  const found = await findPlaces(folder, weights);
  let refused: StepState | undefined;
  for (const { place, format } of found) {
    const state = await inspectPlace(join(folder, place), place, format);
    if (state.state === "whole") {
      const times = await Promise.all(found.map((one) => findNewestMs(join(folder, one.place))));
      return await requireState(folder, { ...state, timeMs: Math.min(...times) }, endsWithState);
    }
    if (state.state === "partial") return state;
    refused ??= state;
  }
  return refused;
}

/** A place of weights in a step folder, relative to it. */
interface WeightsPlace {
  readonly place: string;
  readonly format: WeightsFormat;
}

/** Folders in a step folder in which trainers keep the weights of the model that answers, or further folders with these. */
const weightFolders =
  /^(?:actor|_actor|actor_train|policy|student|model|model_weights|weights|hf|hf_model|hf_ckpt|hf_checkpoint|huggingface|huggingface_checkpoint|safetensors|consolidated|consolidated_hf|merged|merged_hf|pretrained_model|lora|lora_adapter|adapter|adapter_model|final|mp_rank_\d+(?:_\d+)?|global_step\d+|pytorch_model_fsdp_\d+|default|dcp|sharded)$/;
const maxDepth = 4;

/** All places of weights, the best first: by format, then from outside to inside. */
async function findPlaces(folder: string, said: string | undefined): Promise<readonly WeightsPlace[]> {
  const found: (WeightsPlace & { readonly rank: number })[] = [];
  const look = async (place: string): Promise<void> => {
    const files = await listFiles(join(folder, place));
    const best = findFormat(files);
    if (best !== undefined) found.push({ place, ...best });
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
  const [only, another] = found.length === 0 ? await findWeights(folder) : [];
  if (only !== undefined && another === undefined) await look(only);
  return found.sort((a, b) => a.rank - b.rank);
}

async function listInner(folder: string, place: string): Promise<readonly string[]> {
  const names = await listFolders(join(folder, place));
  return names.filter((name) => weightFolders.test(name)).map((name) => join(place, name));
}

/** What one place of weights comes to. Here is decided what is only not whole yet, and what never will be usable. */
async function inspectPlace(weights: string, place: string, format: WeightsFormat): Promise<StepState> {
  const isSafe = format.name === "safetensors";
  const refuse = (why: string, isFinal: boolean): StepState => ({
    state: "unusable",
    isFinal,
    reason: `its weights are ${format.name}, which cannot be read${why}; ${format.remedy}`,
  });
  if (format.isForeign) return refuse("", true);
  try {
    if (await isAdapterFolder(weights))
      return isSafe ? await inspectAdapter(weights, place) : refuse(" of an adapter", true);
    const checkpoint = await openCheckpoint(weights);
    await checkpoint.close();
    return findWrapping(checkpoint) ?? { state: "whole", weights, place, isAdapter: false, timeMs: 0 };
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    // Formats of one file are torn while they are written, and nothing in them tells.
    return isSafe ? { state: "partial", reason: error.message } : refuse(` (${error.message})`, false);
  }
}

/** An adapter is whole once its weights are; what its configuration says of its kind decides whether it can be used. */
async function inspectAdapter(folder: string, place: string): Promise<StepState> {
  const path = join(folder, "adapter_config.json");
  if (!isWholeJson(await readText(path))) return { state: "partial", reason: `its ${path} is not whole yet` };
  const weights = join(folder, "adapter_model.safetensors");
  if (!(await fileExists(weights))) return { state: "partial", reason: "its adapter has no weights yet" };
  await (await openSafetensors(weights)).close();
  try {
    await readAdapterConfig(folder);
  } catch (error) {
    if (error instanceof CheckpointError) return { state: "unusable", isFinal: true, reason: error.message };
    throw error;
  }
  return { state: "whole", weights: folder, place, isAdapter: true, timeMs: 0 };
}

/** A model saved with the layers of PEFT around its own: read as it stands, it would seem not to have changed. */
function findWrapping({ tensors }: Checkpoint): StepState | undefined {
  const wrapped = [...tensors.keys()].find((name) => /\.(?:base_layer|lora_[AB])\./.test(name));
  if (wrapped === undefined) return undefined;
  return {
    state: "unusable",
    isFinal: true,
    reason: `its tensors are those of a model within PEFT (${wrapped}), base and LoRA apart; save the adapter alone or merge it before saving`,
  };
}

type WholeStep = Extract<StepState, { readonly state: "whole" }>;

/** Whole weights count once the trainer's state, which is written last, is whole as well. */
async function requireState(folder: string, whole: WholeStep, endsWithState: boolean): Promise<StepState> {
  const file = join(folder, "trainer_state.json");
  if (!(await fileExists(file))) return endsWithState ? { state: "partial", reason: notWhole } : whole;
  const text = await readText(file);
  if (!isWholeJson(text)) return { state: "partial", reason: notWhole };
  const step = readGlobalStep(text);
  return step === undefined ? whole : { ...whole, step };
}

const notWhole = "its trainer_state.json, which is written last, is not whole yet";

function isWholeJson(text: string): boolean {
  try {
    parsePythonJson(text);
    return true;
  } catch {
    return false;
  }
}

function readGlobalStep(text: string): number | undefined {
  const value = parsePythonJson(text);
  const step =
    typeof value === "object" && value !== null && "global_step" in value ? value.global_step : undefined;
  return typeof step === "number" && Number.isSafeInteger(step) && step >= 0 ? step : undefined;
}
