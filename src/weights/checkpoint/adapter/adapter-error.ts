/** The error of adapters that no further writing makes usable. */
import { CheckpointError } from "../checkpoint-error.ts";

/** An adapter that is whole and still cannot be opened as a model: what it is cannot be written as weights here. */
export class UnusableAdapterError extends CheckpointError {
  override readonly name = "UnusableAdapterError";
}

/** What to do with an adapter that only its own library can add to a model. */
export const mergeIt = "merge it (merge_and_unload of PEFT) and give the merged model";
