/**
 * What a tensor's name says about its place in the model: which layer it is in and what it does there; and the choices
 * of layers and tensors that users write. Reads names only, never shapes or configurations.
 */
import { setting, UsageError } from "../../base/core/index.ts";

/** The place of a tensor in its model. */
export interface TensorRole {
  /** The number of its layer, from 0; absent outside layers (embeddings, last norm, head). */
  readonly layer?: number;
  /** What it does, the same in every layer: `q_proj`, `experts.w1`, `vision_tower.q_proj`, `q_proj.bias`. */
  readonly kind: string;
}

/** Segments in front of the layers that say nothing: the text model, its wrappers, and the list of layers. */
const STEMS: ReadonlySet<string> = new Set([
  ...[
    "model",
    "base_model",
    "language_model",
    "text_model",
    "transformer",
    "gpt_neox",
    "backbone",
    "decoder",
  ],
  ...["module", "_orig_mod", "layers", "layer", "blocks", "block", "h"],
]);

/** Segments of a layer that say nothing, as what lies below them has a name of its own. */
const BLOCKS: ReadonlySet<string> = new Set([
  ...["self_attn", "self_attention", "attn", "attention", "mlp", "ffn", "feed_forward"],
  ...["moe", "block_sparse_moe"],
]);

/** Names that several blocks of one layer give to their parts: there the block says which is meant. */
const SHARED_NAMES: ReadonlySet<string> = new Set([
  "c_proj",
  "proj",
  "dense",
  "norm",
  "LayerNorm",
  "layer_norm",
]);

/**
 * The layer and the kind of a tensor by its name in a checkpoint.
 *
 * - layer: the first segment between dots that is a whole number.
 * - kind: the segments below the layer (the last one where there are none), without numbers, a final `weight`, and blocks
 *   such as `self_attn` or `mlp`, unless another block has a part of that name (`attn.c_proj`, `mlp.c_proj`). In front
 *   stands the first segment above the layer that is not part of the text model, such as `vision_tower`.
 *
 * The number of a matrix in a stack of experts, as in `experts.down_proj[3]`, counts for neither.
 *
 * So a kind is the same for all layers and all experts, and differs between the parts of a layer in the models of the
 * Hugging Face library that were looked at.
 */
export function describeTensorName(name: string): TensorRole {
  // A matrix of a stack is of the stack's kind.
  const path = name.replace(/\[\d+\]$/, "").split(".");
  const segments = path.at(-1) === "weight" ? path.slice(0, -1) : path;
  const index = segments.findIndex(isWholeNumber);
  const { above, below } = splitPath(segments, index);
  const tower = above.find((segment) => !STEMS.has(segment));
  const part = below.some((segment) => SHARED_NAMES.has(segment))
    ? below
    : below.filter((segment, position) => position === below.length - 1 || !BLOCKS.has(segment));
  const kind = [...(tower === undefined ? [] : [tower]), ...part].join(".");
  return { ...(index === -1 ? {} : { layer: Number(segments[index]) }), kind: kind === "" ? name : kind };
}

/** What lies above and below the layer, without numbers; where nothing lies below, the last segment counts as that. */
function splitPath(
  segments: readonly string[],
  index: number,
): { readonly above: readonly string[]; readonly below: readonly string[] } {
  const names = segments.filter((segment) => !isWholeNumber(segment));
  const numAbove = index === -1 || index >= names.length ? names.length - 1 : index;
  return { above: names.slice(0, Math.max(0, numAbove)), below: names.slice(Math.max(0, numAbove)) };
}

/**
 * The choice of layers behind `--layers`: whole numbers and ranges with both ends, separated by commas (`0-3,7`).
 * Throws `UsageError` for anything else.
 */
export function parseLayers(text: string): (layer: number) => boolean {
  const ranges = parseLayerRanges(text);
  return (layer) => ranges.some(({ first, last }) => first <= layer && layer <= last);
}

/** The ranges behind `--layers`, in the order in which they are written. Throws as `parseLayers`. */
export function parseLayerRanges(text: string): readonly LayerRange[] {
  return text.split(",").map((part) => parseRange(part.trim(), text));
}

/**
 * The choice of tensors behind `--matrices`: names separated by commas, in which `*` stands for any characters, dots
 * included (`q_proj,*.mlp.*`). A tensor is chosen when one of them is the whole of its kind or of its name; case counts.
 * Names after a `!` leave out what they fit (`!lm_head`); where there are only such, all others are chosen.
 * Throws `UsageError` for an empty one.
 */
export function parsePatterns(text: string): (name: string) => boolean {
  const patterns = text.split(",").map((part) => part.trim());
  if (patterns.includes("") || patterns.includes("!"))
    throw new UsageError(
      `Cannot read ${setting("matrices")} "${text}": a name is empty; write names or patterns as in "q_proj,*_proj"`,
    );
  const excluded = patterns.filter((pattern) => pattern.startsWith("!")).map((pattern) => pattern.slice(1));
  const chosen = patterns.filter((pattern) => !pattern.startsWith("!"));
  return (name) => {
    const { kind } = describeTensorName(name);
    const fits = (pattern: string): boolean => matches(pattern, kind) || matches(pattern, name);
    return (chosen.length === 0 || chosen.some(fits)) && !excluded.some(fits);
  };
}

function isWholeNumber(text: string): boolean {
  return /^\d+$/.test(text);
}

/** Layers from one to another. */
export interface LayerRange {
  readonly first: number;
  /** At least `first`; belongs to the range. */
  readonly last: number;
}

function parseRange(part: string, text: string): LayerRange {
  const [, start, end] = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(part) ?? [];
  if (start === undefined) {
    const problem = part === "" ? "a number is missing" : `"${part}" is not a layer or range`;
    throw new UsageError(
      `Cannot read ${setting("layers")} "${text}": ${problem}; write numbers and ranges as in "0-3,7"`,
    );
  }
  const [first, last] = [Number(start), Number(end ?? start)];
  if (first > last)
    throw new UsageError(
      `Cannot read ${setting("layers")} "${text}": "${part}" runs backwards; write the smaller number first, as in "${last}-${first}"`,
    );
  return { first, last };
}

/** Whether all of `text` fits a pattern with `*`: its pieces occur in order, the first at the start, the last at the end. */
function matches(pattern: string, text: string): boolean {
  const [head = "", ...rest] = pattern.split("*");
  const tail = rest.pop();
  if (tail === undefined) return text === head;
  if (!text.startsWith(head)) return false;
  let position = head.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, position);
    if (found === -1) return false;
    position = found + piece.length;
  }
  return position + tail.length <= text.length && text.endsWith(tail);
}
