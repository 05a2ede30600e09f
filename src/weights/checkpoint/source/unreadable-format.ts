/** Formats of weights that are known and not read: what each is, and what makes a readable one of it. */

interface UnreadableFormat {
  /** Tells it by a name in the folder; folders end in a slash. */
  readonly name: RegExp;
  /** What it is and what to do, as a clause. */
  readonly reason: string;
}

/** Weights that lie in pieces among other things; files beside them are not models of their own. */
const entangled: readonly UnreadableFormat[] = [
  {
    name: /^zero_to_fp32\.py$|_optim_states\.pt$|_model_states\.pt$/,
    reason:
      "it holds a DeepSpeed checkpoint, whose weights lie in pieces beside its optimizer's; make one model of them with python zero_to_fp32.py . OUT --safe_serialization, where that script lies",
  },
  {
    name: /^iter_\d{7}\/$|^mp_rank_\d+(?:_\d+)*\/$|^common\.pt$/,
    reason:
      "it holds a Megatron checkpoint, whose tensors are those of its parallel ranks; make a Hugging Face model of it with Megatron Bridge (AutoBridge.export_ckpt) or with tools/checkpoint/convert.py of Megatron-LM",
  },
  {
    name: /^consolidated\.0[1-9]\.pth$/,
    reason:
      "it holds the ranks of a model that was split in Meta's way; make a Hugging Face model of it with convert_llama_weights_to_hf.py of transformers",
  },
];

const resave = (what: string): string =>
  `it holds ${what}; load it with its own library and save it as safetensors`;

/** Formats of other libraries, which count where there is nothing else. */
const foreign: readonly UnreadableFormat[] = [
  { name: /^flax_model.*\.msgpack$/, reason: resave("weights of Flax") },
  { name: /^tf_model.*\.h5$|\.ckpt\.index$/, reason: resave("weights of TensorFlow") },
  { name: /\.nemo$/, reason: resave("an archive of NeMo") },
  { name: /\.npz$/, reason: resave("arrays of NumPy") },
  { name: /\.onnx$/, reason: resave("a program in ONNX, whose weights are part of its graph") },
];

/** Why weights among these names can't be told from what lies beside them; `undefined` where there are none. */
export function findEntangled(names: readonly string[]): string | undefined {
  return findReason(entangled, names);
}

/** Why the only weights among these names can't be read; `undefined` where there are none. */
export function findForeign(names: readonly string[]): string | undefined {
  return findReason(foreign, names);
}

function findReason(formats: readonly UnreadableFormat[], names: readonly string[]): string | undefined {
  return formats.find(({ name }) => names.some((candidate) => name.test(candidate)))?.reason;
}
