/** What an adapter is placed with, and what it makes of each tensor. */
import type { Checkpoint, CheckpointTensor } from "../open-checkpoint.ts";
import type { SafetensorsFile, TensorData } from "../safetensors/safetensors-read.ts";
import type { AdapterConfig } from "./adapter-config.ts";
import type { AdapterParts } from "./adapter-parts.ts";
import type { Change } from "./merge/merged-tensor.ts";

/** Where a tensor is read from: the base, or the adapter's own file. */
export interface TensorSource {
  readonly from: "base" | "adapter";
  /** Its name there. */
  readonly key: string;
}

/** One tensor of the adapted model that is not the base's. */
export interface AdaptedTensor {
  readonly source: TensorSource;
  /** Absent where the source is taken as it is. */
  readonly change?: Change;
}

/** All that an adapter is placed with. */
export interface AdapterContents {
  readonly folder: string;
  readonly config: AdapterConfig;
  readonly parts: AdapterParts;
  readonly base: Checkpoint;
  /** What holds the adapter's tensors. */
  readonly file: Pick<SafetensorsFile, "path" | "openBytes" | "readTensor"> & {
    readonly tensors: ReadonlyMap<string, Pick<CheckpointTensor, "dtype" | "shape">>;
  };
}

/** The factors of a module in memory, and the key that errors name. */
export interface ReadFactors {
  readonly first: TensorData;
  readonly second: TensorData;
  readonly bias: TensorData | undefined;
  readonly magnitude: TensorData | undefined;
}

/** A change of a tensor, by the tensor's name. */
export type NamedChange = readonly [string, Change];
