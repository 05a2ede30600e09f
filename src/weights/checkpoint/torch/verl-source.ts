/**
 * Weights as FSDP's processes hold them and verl saves them, a file for each: every tensor is a DTensor, put together by its placements
 * (torch.distributed.tensor: `Shard(dim)` divides an axis as `torch.chunk` does, `Replicate` holds copies).
 */
import { CheckpointError, quote } from "../checkpoint-error.ts";
import { numBytesOf } from "../dtype.ts";
import type { CheckpointTensor } from "../open-checkpoint.ts";
import type { WeightFiles } from "../source/find-weights.ts";
import { openAll } from "../source/open-files.ts";
import { findGap, joinPieces, type TensorPiece } from "../source/tensor-piece.ts";
import type { WeightSource } from "../source/weight-source.ts";
import type { Shard, StoredTensor } from "./stored-tensor.ts";
import { createPiece, readTorchWeights, type TorchWeights } from "./torch-source.ts";

const REMEDY =
  "save the step again, or merge it with python -m verl.model_merger merge --backend fsdp --local_dir <actor> --target_dir <out>";

/** Opens the files of all processes. Throws `CheckpointError` where one is missing or their parts do not fit. */
export async function openVerlSource({ folder, files }: WeightFiles): Promise<WeightSource> {
  const names = listRanks(folder, files);
  const { sources, close } = await openAll(names.map((name) => `${folder}/${name}`));
  try {
    const ranks = sources.map((source) => readTorchWeights(source));
    const wholes = new Map<string, Whole>();
    for (const name of ranks[0]?.tensors.keys() ?? []) wholes.set(name, joinRanks(ranks, name));
    for (const { path, tensors } of ranks)
      for (const tensor of tensors.keys())
        if (!wholes.has(tensor))
          throw new CheckpointError(`the file of rank 0 lacks it; ${REMEDY}`, { path, tensor });
    const [file = ""] = names;
    const tensors = [...wholes].map(
      ([name, { dtype, shape }]) =>
        [name, { dtype, shape, file }] as const satisfies [string, CheckpointTensor],
    );
    return {
      tensors: new Map(tensors),
      openBytes: (name) => {
        const whole = wholes.get(name);
        if (whole === undefined) throw new RangeError(`Cannot open tensor ${quote(name)}: it was not listed`);
        return joinPieces(whole.pieces, { shape: whole.shape, width: numBytesOf(whole.dtype, 1) });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The names of the files in the order of their ranks. */
function listRanks(folder: string, files: readonly string[]): readonly string[] {
  const sizes = new Set(files.map((name) => Number(/world_size_(\d+)_/.exec(name)?.[1])));
  const [size = 0, ...others] = sizes;
  if (others.length > 0)
    throw new CheckpointError(
      `it holds the files of ${[...sizes].join(" and of ")} processes; remove those of the older step`,
      { path: folder },
    );
  if (size > files.length + mostMissing)
    throw new CheckpointError(`it holds ${files.length} files of ${size} processes; ${REMEDY}`, {
      path: folder,
    });
  return Array.from({ length: size }, (_, rank) => {
    const name = `model_world_size_${size}_rank_${rank}.pt`;
    if (!files.includes(name))
      throw new CheckpointError(`there is no ${name} beside it, of ${size} processes; ${REMEDY}`, {
        path: `${folder}/${files[0]}`,
      });
    return name;
  });
}

/** A name can claim any number of processes. */
const mostMissing = 10_000;

interface Whole {
  readonly dtype: CheckpointTensor["dtype"];
  readonly shape: readonly number[];
  readonly pieces: readonly TensorPiece[];
}

interface Part {
  readonly weights: TorchWeights;
  readonly tensor: StoredTensor;
  readonly rank: number;
}

/** A tensor whose parts are with all ranks. */
function joinRanks(ranks: readonly TorchWeights[], name: string): Whole {
  const parts = ranks.map((weights, rank): Part => {
    const tensor = weights.tensors.get(name);
    if (tensor !== undefined) return { weights, tensor, rank };
    throw new CheckpointError(`the file lacks it, that of rank 0 has it; ${REMEDY}`, {
      path: weights.path,
      tensor: name,
    });
  });
  const [first] = parts;
  if (first === undefined) throw new RangeError(`Cannot join tensor ${quote(name)}: there are no parts`);
  const { dtype, shape: own, shard } = first.tensor;
  const refuse = (problem: string, path = first.weights.path): never => {
    throw new CheckpointError(`${problem}; ${REMEDY}`, { path, tensor: name });
  };
  if (shard === undefined) {
    if (ranks.length > 1) refuse("it does not say which part of the whole it is");
    return { dtype, shape: own, pieces: [createPiece(first.weights, first.tensor)] };
  }
  const coordinates = parts.map(({ weights, tensor, rank }) => {
    if (tensor.dtype !== dtype || tensor.shard?.shape.join() !== shard.shape.join())
      refuse("it is of another format or shape than that of rank 0", weights.path);
    const numAxes = shard.placements.length;
    const coordinate = tensor.shard?.coordinate ?? (numAxes === 1 ? [rank] : undefined);
    return coordinate?.length === numAxes
      ? coordinate
      : refuse("it does not say where in the mesh its process is", weights.path);
  });
  const mesh = shard.placements.map((_, axis) =>
    coordinates.reduce((most, coordinate) => Math.max(most, (coordinate[axis] ?? 0) + 1), 1),
  );
  const pieces = parts.flatMap(({ weights, tensor }, index) => {
    const coordinate = coordinates[index] ?? [];
    const isCopy = shard.placements.some((axis, at) => axis === undefined && coordinate[at] !== 0);
    if (isCopy) return [];
    const { offsets, sizes } = placePart(shard, { mesh, coordinate });
    if (sizes.join() !== tensor.shape.join())
      refuse(
        `its part is [${tensor.shape.join(", ")}] where [${sizes.join(", ")}] is expected`,
        weights.path,
      );
    return [createPiece(weights, tensor, offsets)];
  });
  const gap = findGap(pieces, shard.shape);
  return gap === undefined ? { dtype, shape: shard.shape, pieces } : refuse(gap);
}

/** Which rectangle of the whole a process holds. */
function placePart(
  { shape, placements }: Shard,
  { mesh, coordinate }: { readonly mesh: readonly number[]; readonly coordinate: readonly number[] },
): { readonly offsets: readonly number[]; readonly sizes: readonly number[] } {
  const [offsets, sizes] = [shape.map(() => 0), [...shape]];
  for (const [at, axis] of placements.entries()) {
    if (axis === undefined) continue;
    const size = sizes[axis] ?? 0;
    const step = Math.ceil(size / (mesh[at] ?? 1));
    const from = Math.min(step * (coordinate[at] ?? 0), size);
    offsets[axis] = (offsets[axis] ?? 0) + from;
    sizes[axis] = Math.min(step, size - from);
  }
  return { offsets, sizes };
}
