/** All tensors that a model needs, from a checkpoint folder that may call them otherwise. */
import { requireValue } from "../../base/core/index.ts";
import { type OpenOptions, openCheckpoint } from "./checkpoint.ts";
import { CheckpointError, quote } from "./checkpoint-error.ts";
import type { Checkpoint, CheckpointTensor } from "./open-checkpoint.ts";

/** Tensors that a model needs. */
export interface ExpectedTensors {
  /** The shape of each by its name. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /**
   * The name that a tensor of a checkpoint has here, given all that the checkpoint holds; undefined for one that the model has no use for.
   * Default: its own.
   */
  readonly rename?: (name: string, all: ReadonlyMap<string, unknown>) => string | undefined;
}

/** A tensor's numbers in as much memory as its file has for them: the bits of bfloat16, or 32-bit floats. */
export type StoredNumbers = Float32Array | Uint16Array;

/**
 * The tensors of a checkpoint with their names here, one by one in the order of the shapes that are expected. Throws
 * `CheckpointError` naming file and tensor when one is missing, extra or of another shape, before it gives the first.
 */
export async function* readTensors(
  folder: string,
  { shapes, rename = (name) => name }: ExpectedTensors,
  options: OpenOptions = {},
): AsyncGenerator<readonly [name: string, data: StoredNumbers], void, void> {
  const checkpoint = await openCheckpoint(folder, options);
  try {
    const stored = nameStored(checkpoint, rename);
    checkTensors(checkpoint, { shapes, stored });
    for (const name of shapes.keys()) yield [name, await readStored(checkpoint, requireValue(stored, name))];
  } finally {
    await checkpoint.close();
  }
}

async function readStored(checkpoint: Checkpoint, name: string): Promise<StoredNumbers> {
  const isComputed = checkpoint.computed?.has(name) === true;
  if (isComputed || checkpoint.tensors.get(name)?.dtype !== "BF16")
    return (await checkpoint.readTensor(name)).data;
  const bytes = await checkpoint.readBytes(name);
  const aligned = bytes.byteOffset % Uint16Array.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / Uint16Array.BYTES_PER_ELEMENT);
}

/** What each tensor of a checkpoint is called in it, by its name here. Throws `CheckpointError` for two of one name. */
function nameStored(
  { folder, tensors }: Checkpoint,
  rename: NonNullable<ExpectedTensors["rename"]>,
): ReadonlyMap<string, string> {
  const stored = new Map<string, string>();
  for (const [name, { file }] of tensors) {
    const known = rename(name, tensors);
    const other = known === undefined ? undefined : stored.get(known);
    if (other !== undefined)
      throw new CheckpointError(`it is there twice, also as ${quote(other)}; remove one of them`, {
        path: `${folder}/${file}`,
        tensor: name,
      });
    if (known !== undefined) stored.set(known, name);
  }
  return stored;
}

function checkTensors(
  { folder, tensors }: Checkpoint,
  {
    shapes,
    stored,
  }: { readonly shapes: ExpectedTensors["shapes"]; readonly stored: ReadonlyMap<string, string> },
): void {
  const remedy = "use a checkpoint of this model and size";
  for (const [tensor, shape] of shapes) {
    const found = tensors.get(stored.get(tensor) ?? tensor);
    if (found === undefined)
      throw new CheckpointError(`it is missing; ${remedy}`, { path: modelPath(folder, tensors), tensor });
    if (found.shape.length !== shape.length || found.shape.some((size, axis) => size !== shape[axis]))
      throw new CheckpointError(
        `its shape is [${found.shape.join(", ")}], the model needs [${shape.join(", ")}]; ${remedy}`,
        { path: `${folder}/${found.file}`, tensor },
      );
  }
  for (const [name, tensor] of stored)
    if (!shapes.has(name))
      throw new CheckpointError(`the model has no such tensor; ${remedy}`, {
        path: `${folder}/${tensors.get(tensor)?.file}`,
        tensor,
      });
}

/** The file a missing tensor is missing from, where there is only one. */
function modelPath(folder: string, tensors: ReadonlyMap<string, CheckpointTensor>): string {
  const [file, ...more] = new Set([...tensors.values()].map((tensor) => tensor.file));
  return file === undefined || more.length > 0 ? folder : `${folder}/${file}`;
}
