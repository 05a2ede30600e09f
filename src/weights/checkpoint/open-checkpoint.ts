/** What an open checkpoint folder is, whether its tensors lie in its files or are made when they are read. */
import type { Dtype, ReadableBytes } from "./dtype.ts";
import type { TensorData } from "./safetensors/safetensors-read.ts";

/** What an adapter adds to one tensor: left · right, the scale in `left`. */
export interface LowRankUpdate {
  /** [rows, rank], in C order. */
  readonly left: Float64Array;
  /** [rank, columns], in C order. */
  readonly right: Float64Array;
  readonly rank: number;
}

/** What a checkpoint says of one tensor. */
export interface CheckpointTensor {
  /** The number format. */
  readonly dtype: Dtype;
  /** The axes' sizes, outermost first. */
  readonly shape: readonly number[];
  /** The name of the file in the folder that holds it. */
  readonly file: string;
}

/** What the tensors of an opened adapter are made of. */
export interface AdapterOrigin {
  /** The folder of its base model, whose files hold all tensors but the changed ones as they are. */
  readonly base: string;
  /** The folder of the model below all adapters: its base, unless that is an adapter itself. */
  readonly model: string;
  /** What it adds, by name of the tensor. */
  readonly updates: ReadonlyMap<string, LowRankUpdate>;
  /** Names of the tensors that it makes in another way: held as a whole, scaled, by rows, or added to what it holds. */
  readonly replaced: ReadonlySet<string>;
}

/** An open checkpoint folder. Whoever opens it closes it. */
export interface Checkpoint {
  /** Where it is: a folder, or a single file of weights. */
  readonly folder: string;
  /** `config.json` as it stands, or what the weights say of themselves; empty where neither is there. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Every tensor of the checkpoint, by name. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /**
   * Present where the tensors do not lie under their names in safetensors files of the folder: in other formats, or in a model that
   * holds an adapter's factors beside its weights. Such a checkpoint is written again as one new file.
   */
  readonly isConverted?: true;
  /** Tensors that are computed when they are read, as an adapter's sums: their number format is that of no file. */
  readonly computed?: ReadonlySet<string>;
  /** Of a LoRA adapter: what it was made of. */
  readonly adapter?: AdapterOrigin;
  /** A tensor's values as 32-bit floats. Throws `CheckpointError` when there is none or it is not a float. */
  readTensor(name: string): Promise<TensorData>;
  /** A tensor's bytes as stored, whatever its format. Throws `CheckpointError` when there is none. */
  readBytes(name: string): Promise<Uint8Array>;
  /** A tensor's bytes to be read range by range while the thread waits. Throws `CheckpointError` when there is none. */
  openBytes(name: string): ReadableBytes;
  /** Closes all files; reads after that fail. */
  close(): Promise<void>;
}
