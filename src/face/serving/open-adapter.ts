/** Adapters beside the model that they belong to: what an adapter leaves alone is kept once. */

import { UsageError } from "../../base/core/index.ts";
import {
  describeModel,
  FullMemoryError,
  type ModelDescription,
  readParameters,
  type TextEngine,
  type TextGroup,
} from "../../engine/model/index.ts";
import { isAdapterFolder } from "../../weights/checkpoint/index.ts";

/** Most bytes of weights that adapters may take, all together: half of the engine's memory. */
const mostAdapterBytes = 2 ** 31;

/** There is no room for an adapter: a sentence that whoever asked may read. */
export class NoRoomError extends UsageError {
  override readonly name = "NoRoomError";
}

/** The model that adapters belong to. */
export interface AdapterBase {
  readonly folder: string;
  readonly model: Pick<ModelDescription, "config">;
  readonly group: TextGroup;
}

/**
 * Opens an adapter beside its base, where its weights fit beside those of others that take `numBytes` already. Throws `UsageError` or
 * `CheckpointError` where they cannot be had.
 */
export async function openAdapter(
  engine: Pick<TextEngine, "open">,
  path: string,
  {
    base: { folder, model, group: base },
    numBytes,
  }: { readonly base: AdapterBase; readonly numBytes: number },
): Promise<TextGroup> {
  if (!(await isAdapterFolder(path))) throw new UsageError("it is not a folder of an adapter");
  const { config } = await describeModel(path, { base: folder });
  if (JSON.stringify(config) !== JSON.stringify(model.config))
    throw new UsageError("it belongs to a model of other sizes");
  const mostOwnBytes = mostAdapterBytes - numBytes;
  try {
    return await engine.open(readParameters(path, config, { base: folder }), { base, mostOwnBytes });
  } catch (cause) {
    if (!(cause instanceof FullMemoryError)) throw cause;
    throw new NoRoomError(
      `the engine's memory has no room for it beside the base, the ${numBytes} bytes of other adapters (${mostAdapterBytes} at most) and the texts that are being answered; unload others first`,
      { cause },
    );
  }
}
