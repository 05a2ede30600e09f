/** One step folder of a trainer: where its weights lie, and whether they are whole. Only headers are read. */
import { join } from "node:path";
import {
  CheckpointError,
  isAdapterFolder,
  openCheckpoint,
  openSafetensors,
  readAdapterConfig,
} from "../checkpoint/index.ts";
import { fileExists, folderExists, listFiles, readText } from "../file/index.ts";
import { isPickledWeights, type Layout } from "./layout.ts";

/** What was found in a step folder. */
export type StepState =
  | {
      readonly state: "whole";
      /** The folder of the Hugging Face files. */
      readonly weights: string;
      /** Where it lies in the step folder. */
      readonly place: string;
      readonly isAdapter: boolean;
      /** By the trainer's own state where there is one, else by the folder's name. */
      readonly step: number;
    }
  /** Still being written, or never finished. */
  | { readonly state: "partial"; readonly reason: string }
  /** Weights as pickles only, which are never loaded. */
  | { readonly state: "pickled" };

/** What is known of a step folder from outside. */
export interface StepPlace {
  readonly folder: string;
  readonly step: number;
  readonly layout: Layout;
  /** Whether the trainer writes `trainer_state.json` last, as others of its folders show. */
  readonly endsWithState: boolean;
}

/** Looks into a step folder. */
export async function inspectStep({ folder, step, layout, endsWithState }: StepPlace): Promise<StepState> {
  const place = await findPlace(folder, layout);
  if (place === undefined)
    return (await holdsPickles(folder, layout))
      ? { state: "pickled" }
      : { state: "partial", reason: "it holds no weights yet" };
  const weights = join(folder, place);
  const isAdapter = await isAdapterFolder(weights);
  const problem = await findProblem(weights, isAdapter);
  if (problem !== undefined) return { state: "partial", reason: problem };
  const written = await readGlobalStep(folder);
  if (written === "malformed" || (written === undefined && endsWithState))
    return { state: "partial", reason: "its trainer_state.json, which is written last, is not whole yet" };
  return { state: "whole", weights, place, isAdapter, step: written ?? step };
}

/** The first of a layout's places that has safetensors. */
async function findPlace(folder: string, { places }: Layout): Promise<string | undefined> {
  for (const place of places) {
    if (!(await folderExists(join(folder, place)))) continue;
    const files = await listFiles(join(folder, place));
    if (files.some((name) => name.endsWith(".safetensors") || name === "model.safetensors.index.json"))
      return place;
  }
  return undefined;
}

async function holdsPickles(folder: string, { places }: Layout): Promise<boolean> {
  for (const place of new Set(["", ...places])) {
    if (!(await folderExists(join(folder, place)))) continue;
    if ((await listFiles(join(folder, place))).some(isPickledWeights)) return true;
  }
  return false;
}

/** Why a folder of weights cannot be read as a whole; opening checks every header against its file's size. */
async function findProblem(folder: string, isAdapter: boolean): Promise<string | undefined> {
  try {
    if (isAdapter) {
      await readAdapterConfig(folder);
      await (await openSafetensors(join(folder, "adapter_model.safetensors"))).close();
    } else await (await openCheckpoint(folder)).close();
    return undefined;
  } catch (error) {
    if (error instanceof CheckpointError) return error.message;
    throw error;
  }
}

/** `global_step` of the trainer's state; "malformed" where the file is not whole. */
async function readGlobalStep(folder: string): Promise<number | "malformed" | undefined> {
  const file = join(folder, "trainer_state.json");
  if (!(await fileExists(file))) return undefined;
  try {
    const value: unknown = JSON.parse(await readText(file));
    const step =
      typeof value === "object" && value !== null && "global_step" in value ? value.global_step : undefined;
    return typeof step === "number" && Number.isSafeInteger(step) && step >= 0 ? step : undefined;
  } catch {
    return "malformed";
  }
}
