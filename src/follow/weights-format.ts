/** In which format a folder keeps weights, by the names of its files, and how safetensors are got out of the others. */

/** A way to keep weights. */
export interface WeightsFormat {
  /** As a clause: `its weights are …`. */
  readonly name: string;
  /** What to do where these weights cannot be read. */
  readonly remedy: string;
  /** Whether it can never be read here, however whole. */
  readonly isForeign: boolean;
}

interface FormatRule extends WeightsFormat {
  /** A file that shows it. */
  readonly file: RegExp;
}

const resave =
  "load the model and save it again with save_pretrained(..., safe_serialization=True), or train with save_safetensors";

/** The formats, best first: where a folder holds several, the first counts. */
const formats: readonly FormatRule[] = [
  {
    name: "safetensors",
    file: /\.safetensors$|^model\.safetensors\.index\.json$/,
    isForeign: false,
    remedy: "save it again",
  },
  {
    name: "shards of FSDP, as verl pickles them",
    file: /^model_world_size_\d+_rank_\d+\.pt$/,
    isForeign: false,
    remedy:
      "add hf_model to the trainer's checkpoint.save_contents, or merge each step once with python -m verl.model_merger merge --backend fsdp --local_dir <step>/actor --target_dir <step>/actor/huggingface",
  },
  {
    name: "a checkpoint of Megatron",
    file: /^(?:common|model_optim_rng|distrib_optim)\.pt$/,
    isForeign: true,
    remedy: "export it to a Hugging Face folder with Megatron Bridge (AutoBridge.export_ckpt)",
  },
  {
    name: "a distributed checkpoint of PyTorch (DCP)",
    file: /\.distcp$|^\.metadata$/,
    isForeign: false,
    remedy:
      "convert it once with python -m torch.distributed.checkpoint.format_utils dcp_to_torch <folder> model.pt, and save the model with save_pretrained",
  },
  {
    name: "pickled partitions of DeepSpeed",
    file: /_(?:model|optim)_states\.pt$/,
    isForeign: true,
    remedy:
      "put them together with DeepSpeed's zero_to_fp32.py <checkpoint> <out> --safe_serialization, or train so that whole models are saved (OpenRLHF: --ckpt.save_hf, which writes global_step<n>_hf folders; Hugging Face: stage3_gather_16bit_weights_on_model_save)",
  },
  { name: "a GGUF file", file: /\.gguf$/, isForeign: false, remedy: "give the model that it was made from" },
  {
    name: "those of JAX, TensorFlow or NeMo",
    file: /\.(?:msgpack|h5|npz|nemo|ot)$|^_METADATA$/,
    isForeign: true,
    remedy: "export the model to a Hugging Face folder with its framework's own converter",
  },
  {
    name: "pickles of PyTorch",
    file: /\.(?:bin|pt|pth|ckpt)$/,
    isForeign: false,
    remedy: resave,
  },
];

/** Pickles and tables that hold no weights. */
const others =
  /^(?:optim|scheduler|rng_state|training_args|scaler|data\.|dataloader|trainer_state|random_states|extra_state|train_state|meta)/;

/** The best format among a folder's files, and its rank (0 is best); `undefined` where there are no weights. */
export function findFormat(
  files: readonly string[],
): { readonly format: WeightsFormat; readonly rank: number } | undefined {
  const names = files.filter((name) => !others.test(name));
  const rank = formats.findIndex(({ file }) => names.some((name) => file.test(name)));
  const format = formats[rank];
  return format === undefined ? undefined : { format, rank };
}
