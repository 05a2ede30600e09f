/**
 * Whether a checkpoint's weights are quantized: stored as small numbers whose meaning lies in scales beside them, so that neither can
 * be compared with anything by itself. Told by the layouts' published names and number formats; nothing is dequantized.
 */
import { toObject } from "../../../base/core/index.ts";
import { fileExists } from "../../../base/file/index.ts";
import { CheckpointError, quote } from "../checkpoint-error.ts";
import { type Dtype, isFloatDtype } from "../dtype.ts";
import type { Checkpoint, CheckpointTensor } from "../open-checkpoint.ts";
import { readJsonFile } from "./read-json.ts";

/** How a checkpoint is quantized. */
interface Quantization {
  /** As people call it: `GPTQ`, `8-bit floats with scales`. */
  readonly method: string;
  /** The first tensor that shows it. */
  readonly tensor: string;
}

type Tensors = Checkpoint["tensors"];

/** Ends of names that layouts of quantization use. The first that fits tells. */
const ends: readonly { readonly end: RegExp; readonly method: string }[] = [
  { end: /\.(?:g_idx|qweight|qzeros)$/, method: "GPTQ or AWQ" },
  { end: /\.(?:(?:nested_)?(?:absmax|quant_map)|quant_state\.\w+)$/, method: "bitsandbytes, 4 bits" },
  { end: /\.(?:SCB|weight_format)$/, method: "bitsandbytes, 8 bits" },
  { end: /\.W_q$/, method: "HQQ" },
  { end: /\._(?:data|scale|shift)$/, method: "quanto" },
  { end: /\.weight_(?:packed|zero_point|global_scale)$/, method: "compressed-tensors" },
  { end: /_proj_(?:blocks|scales)$/, method: "MXFP4" },
  { end: /weight[:_]+(?:qdata|data_impl|tensor_impl)\b/, method: "torchao" },
  { end: /(?:[._]weight_scale(?:s|_2)?|[._]scale_inv)$/, method: "small numbers with scales" },
];

/** What number formats tell by themselves. */
function describeFormat(name: string, { dtype, shape }: CheckpointTensor): string | undefined {
  if (/^F[468]_/.test(dtype) || dtype === "F4")
    return dtype.startsWith("F8") ? "8-bit floats" : "4-bit floats";
  const isSmall = (["I8", "U8", "I32", "U32", "I16", "U16"] as readonly Dtype[]).includes(dtype);
  return isSmall && shape.length >= 2 && /\.weight$/.test(name) ? `integers of format ${dtype}` : undefined;
}

/** How the tensors show that they are quantized; `undefined` where none does. */
function findQuantizedTensor(tensors: Tensors): Quantization | undefined {
  for (const { end, method } of ends)
    for (const name of tensors.keys()) if (end.test(stripSlice(name))) return { method, tensor: name };
  for (const [name, tensor] of tensors) {
    const method = describeFormat(stripSlice(name), tensor);
    if (method !== undefined) return { method, tensor: name };
  }
  return undefined;
}

const stripSlice = (name: string): string => name.replace(/\[\d+\]$/, "");

/** Files beside the weights that say how they were quantized, and the field of `config.json` with the same content. */
const configFiles = ["quantize_config.json", "quant_config.json", "hf_quant_config.json"] as const;

/** The method that the configuration names: `gptq`, `fp8`; `undefined` where it names none. */
async function readMethod({ folder, config }: Checkpoint): Promise<string | undefined> {
  const nested = [config, config.text_config, config.llm_config].map(toObject);
  const own = nested.map((fields) => fields.quantization_config ?? fields.compression_config);
  for (const fields of own.map(toObject)) {
    const method = nameMethod(fields);
    if (method !== undefined) return method;
  }
  for (const name of configFiles) {
    if (!(await fileExists(`${folder}/${name}`))) continue;
    const fields = await readJsonFile(`${folder}/${name}`, "correct the file or download it again");
    return nameMethod({ ...fields, ...toObject(fields.quantization) }) ?? name;
  }
  return undefined;
}

function nameMethod(fields: Readonly<Record<string, unknown>>): string | undefined {
  if (Object.keys(fields).length === 0) return undefined;
  const named = fields.quant_method ?? fields.quant_algo ?? fields.quant_library;
  const bits =
    fields.bits ?? (fields.load_in_4bit === true ? 4 : fields.load_in_8bit === true ? 8 : undefined);
  const method = typeof named === "string" ? named : "a method without a name";
  return typeof bits === "number" ? `${method}, ${bits} bits` : method;
}

/**
 * Throws `CheckpointError` for a checkpoint whose weights are quantized. One that only says so in its configuration, while every
 * tensor is a plain float without scales, passes: it was dequantized, and its numbers mean what they say.
 */
export async function requireUnquantized(checkpoint: Checkpoint): Promise<void> {
  const found = findQuantizedTensor(checkpoint.tensors);
  const method = await readMethod(checkpoint);
  const doubtful = [...checkpoint.tensors].find(
    ([, { dtype, shape }]) => !isFloatDtype(dtype) && dtype !== "BOOL" && dtype !== "I64" && shape.length > 0,
  );
  const tensor = found?.tensor ?? (method === undefined ? undefined : doubtful?.[0]);
  if (tensor === undefined) return;
  throw new CheckpointError(
    `its weights are quantized (${method ?? found?.method ?? "unknown"}; ${quote(tensor)}): what the stored numbers mean lies in scales beside them; give the model in BF16, F16 or F32, as transformers' model.dequantize() and save_pretrained() write it`,
    { path: checkpoint.folder },
  );
}
