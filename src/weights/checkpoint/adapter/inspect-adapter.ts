/** Whether an adapter can be used at all, as far as it says so itself: its base is not asked for. */
import { describeError } from "../../../base/core/index.ts";
import { CheckpointError } from "../checkpoint-error.ts";
import { readAdapterConfig } from "./adapter-config.ts";
import { UnusableAdapterError } from "./adapter-error.ts";
import { checkParts } from "./check-parts.ts";
import { openWeights, sortAdapter } from "./open-adapted.ts";

/** What became of looking into an adapter's folder. */
export type AdapterState =
  | { readonly state: "usable" }
  /** Still being written, or damaged: a file of it cannot be read as a whole. */
  | { readonly state: "partial"; readonly reason: string }
  /** Whole, and not to be opened as a model, now or later. */
  | { readonly state: "unusable"; readonly reason: string };

/** Reads the configuration and the header of an adapter's file, and says what is in the way of using it. */
export async function inspectAdapter(folder: string): Promise<AdapterState> {
  try {
    const config = await readAdapterConfig(folder);
    const file = await openWeights(folder);
    try {
      checkParts({ folder, path: file.path, config, parts: sortAdapter(file), tensors: file.header.tensors });
    } finally {
      await file.close();
    }
    return { state: "usable" };
  } catch (error) {
    if (error instanceof UnusableAdapterError) return { state: "unusable", reason: describeError(error) };
    if (error instanceof CheckpointError) return { state: "partial", reason: describeError(error) };
    throw error;
  }
}
