/** The weights of adapters as differences to a base: what an adapter leaves alone is kept once. */

import { createHash } from "node:crypto";
import { UsageError } from "../../base/core/index.ts";
import {
  createLayout,
  feedParameters,
  type Model,
  type NamedParameters,
  type ParameterLayout,
} from "../../engine/model/index.ts";
import { readModel } from "../../lab/machine/index.ts";
import { isAdapterFolder } from "../../weights/checkpoint/index.ts";

/** Most bytes of weights that adapters may take, all together: half of the engine's memory. */
const mostAdapterBytes = 2 ** 31;

/** There is no room for an adapter: a sentence that whoever asked may read. */
export class NoRoomError extends UsageError {
  override readonly name = "NoRoomError";
}

/** Weights by name. */
export interface NamedWeights {
  readonly parameters: NamedParameters;
  /** Bytes of those that are not shared with the base. */
  readonly numBytes: number;
  /** SHA-256 of the parameters (hex, 16 digits). */
  readonly fingerprint: string;
}

/** The weights of a whole model. */
export function nameWeights({ config, parameters }: Model): NamedWeights {
  const layout = createLayout(config);
  const named = feedParameters(layout, parameters);
  return { parameters: named, numBytes: 0, fingerprint: hashWeights(layout, named) };
}

/**
 * The weights of an adapter to the model in the folder `base`, where they fit beside those that take `numBytes` already.
 * Throws `UsageError` or `CheckpointError` where they cannot be had.
 */
export async function loadAdapterWeights(
  path: string,
  {
    folder,
    model,
    weights,
  }: { readonly folder: string; readonly model: Model; readonly weights: NamedWeights },
  numBytes: number,
): Promise<NamedWeights> {
  if (!(await isAdapterFolder(path))) throw new UsageError("it is not a folder of an adapter");
  const loaded = await readModel(path, { base: folder });
  if (JSON.stringify(loaded.config) !== JSON.stringify(model.config))
    throw new UsageError("it belongs to a model of other sizes");
  const layout = createLayout(model.config);
  const own = Object.entries(feedParameters(layout, loaded.parameters)).filter(
    ([name, values]) => !hasSameBytes(values, weights.parameters[name]),
  );
  const ownBytes = own.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
  if (numBytes + ownBytes > mostAdapterBytes)
    throw new NoRoomError(
      `its ${ownBytes} bytes and the ${numBytes} of other adapters are more than the ${mostAdapterBytes} that there is room for; unload others first`,
    );
  // Copies: a view would keep the whole model.
  const parameters = {
    ...weights.parameters,
    ...Object.fromEntries(own.map(([name, values]) => [name, values.slice()])),
  };
  return { parameters, numBytes: ownBytes, fingerprint: hashWeights(layout, parameters) };
}

function viewBytes({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function hasSameBytes(values: Float32Array, others: Float32Array | undefined): boolean {
  return others !== undefined && viewBytes(values).equals(viewBytes(others));
}

function hashWeights({ entries }: ParameterLayout, parameters: NamedParameters): string {
  const hash = createHash("sha256");
  for (const { name } of entries) {
    const values = parameters[name];
    if (values === undefined) throw new Error(`Cannot find "${name}" among the weights`);
    hash.update(viewBytes(values));
  }
  return hash.digest("hex").slice(0, 16);
}
