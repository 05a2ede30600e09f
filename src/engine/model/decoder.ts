/**
 * The decoder as tensor expressions: whole sequences (training, prefill) and one token at a time (decode).
 * Axes: B sequences, T tokens, N = B·T rows, E hidden, H heads, K key–value heads, G = H/K, D head size,
 * C cache slots, V vocabulary.
 */
import { op, type Rotation, type Tensor } from "../tensor/index.ts";
import type { ModelConfig } from "./config.ts";
import type { Weights } from "./parameters.ts";

/** Added to the scores of positions that must not be attended to. */
const masked = -1e9;

/** Keys and values of one layer. */
export interface LayerCache {
  /** [B, K, length, D], after rotation. */
  readonly keys: Tensor;
  /** [B, K, length, D] */
  readonly values: Tensor;
}

/** What a pass over whole sequences gives. */
export interface SequencePass {
  /** Final normalized hidden states, [N, E], rows in (sequence, token) order. */
  readonly hidden_NE: Tensor;
  readonly cache: readonly LayerCache[];
}

/**
 * Cosines and sines [positions, D/2] of rotary frequencies θ^(−2i/D) (Su et al. 2021), times `scale`: rotating
 * queries by tables scaled with D^−½ scales the attention scores at no cost.
 */
function rotationTables(
  config: ModelConfig,
  { numPositions, scale }: { readonly numPositions: number; readonly scale: number },
): Pick<Rotation, "cosine" | "sine"> {
  const half = config.headSize / 2;
  const angle = (index: number): number =>
    Math.floor(index / half) * config.ropeTheta ** (-(index % half) / half);
  const table = (f: (angle: number) => number): Tensor =>
    op.constant(
      [numPositions, half],
      Float32Array.from({ length: numPositions * half }, (_, index) => scale * f(angle(index))),
    );
  return { cosine: table(Math.cos), sine: table(Math.sin) };
}

/** x Wᵀ for the weight of that name, and its bias where it has one. */
function linear(weights: Weights, name: string, x: Tensor): Tensor {
  const product = op.matmul(x, weights.get(`${name}.weight`), { transposeRight: true });
  return weights.has(`${name}.bias`) ? op.add(product, weights.get(`${name}.bias`)) : product;
}

/** SwiGLU (Shazeer 2020): (silu(x Wgᵀ) ∘ x Wuᵀ) Wdᵀ. */
function applyMlp(weights: Weights, prefix: string, x_NE: Tensor): Tensor {
  const gate = linear(weights, `${prefix}.gate_proj`, x_NE);
  const up = linear(weights, `${prefix}.up_proj`, x_NE);
  const activated = op.multiply(op.multiply(gate, op.sigmoid(gate)), up);
  return linear(weights, `${prefix}.down_proj`, activated);
}

/** Scaled queries [B, H, T, D], and keys and values [B, K, T, D] of a layer. */
type Heads = readonly [Tensor, Tensor, Tensor];
type Attend = (layer: number, heads: Heads) => Tensor;

interface PassOptions {
  readonly config: ModelConfig;
  readonly weights: Weights;
  /** int32 token ids, [B, T]. */
  readonly tokens: Tensor;
  /** Position of every token, int32, [B, T], and how many positions there may be. */
  readonly positions: Tensor;
  readonly numPositions: number;
  /** Returns the attention output [B, H, T, D] of a layer. */
  readonly attend: Attend;
}

/** Rotations of queries (which also scales attention scores) and of keys. */
interface Rotations {
  readonly ofQueries: Rotation;
  readonly ofKeys: Rotation;
}

function createRotations({ config, positions, numPositions }: PassOptions): Rotations {
  return {
    ofQueries: { ...rotationTables(config, { numPositions, scale: config.headSize ** -0.5 }), positions },
    ofKeys: { ...rotationTables(config, { numPositions, scale: 1 }), positions },
  };
}

function runLayers(options: PassOptions): Tensor {
  const { config, weights, tokens } = options;
  const rotations = createRotations(options);
  const [B = 0, T = 0] = tokens.shape;
  const { hiddenSize: E, normEpsilon: epsilon } = config;
  let x_NE = op.reshape(op.gatherRows(weights.get("model.embed_tokens.weight"), tokens), [B * T, E]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const prefix = `model.layers.${layer}`;
    const attentionInput = op.rmsNorm(x_NE, weights.get(`${prefix}.input_layernorm.weight`), { epsilon });
    x_NE = op.add(x_NE, applyAttention({ ...options, rotations }, layer, attentionInput));
    const mlpInput = op.rmsNorm(x_NE, weights.get(`${prefix}.post_attention_layernorm.weight`), { epsilon });
    x_NE = op.add(x_NE, applyMlp(weights, `${prefix}.mlp`, mlpInput));
  }
  return op.rmsNorm(x_NE, weights.get("model.norm.weight"), { epsilon });
}

function applyAttention(
  options: PassOptions & { readonly rotations: Rotations },
  layer: number,
  x_NE: Tensor,
): Tensor {
  const { config, weights, tokens, rotations, attend } = options;
  const [B = 0, T = 0] = tokens.shape;
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = config;
  const prefix = `model.layers.${layer}.self_attn`;
  const project = (name: string, numHeads: number): Tensor => {
    const rows = op.reshape(linear(weights, `${prefix}.${name}`, x_NE), [B, T, numHeads, D]);
    return op.transpose(rows, [0, 2, 1, 3]);
  };
  const q_BHTD = op.rotate(project("q_proj", H), rotations.ofQueries);
  const k_BKTD = op.rotate(project("k_proj", K), rotations.ofKeys);
  const context = attend(layer, [q_BHTD, k_BKTD, project("v_proj", K)]);
  return linear(weights, `${prefix}.o_proj`, op.reshape(op.transpose(context, [0, 2, 1, 3]), [B * T, H * D]));
}

/** 0 on and below the diagonal, `masked` above, once for each query head of a group: [G·T, T]. */
function causalMask(T: number, G: number): Tensor {
  const allowed = (index: number): boolean => index % T <= Math.floor(index / T) % T;
  return op.constant(
    [G * T, T],
    Float32Array.from({ length: G * T * T }, (_, index) => (allowed(index) ? 0 : masked)),
  );
}

/**
 * The decoder over whole sequences, each starting at position 0. Shorter ones are padded on the right: causal
 * attention keeps padding from reaching what precedes it. With `numShared` S, all of them follow the same S tokens, which were read
 * before: their keys and values are inputs, "shared.keys.N" [K, D, S] and "shared.values.N" [K, S, D] a layer.
 */
export function runSequences(
  config: ModelConfig,
  weights: Weights,
  tokens: Tensor,
  numShared = 0,
): SequencePass {
  const [B = 0, T = 0] = tokens.shape;
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = config;
  const [G, S] = [H / K, numShared];
  const positions = op.input("positions", [B, T], "int32");
  const mask = causalMask(T, G);
  const cache: LayerCache[] = [];
  const attend: Attend = (layer, [q, keys, values]) => {
    cache.push({ keys, values });
    // The queries of a group are neighbors, so that a group is simply more rows against the same keys.
    const q_BKND = op.reshape(q, [B, K, G * T, D]);
    const own = op.add(op.matmul(q_BKND, keys, { transposeRight: true }), mask);
    if (S === 0) return op.reshape(op.matmul(op.softmax(own), values), [B, H, T, D]);
    const past = multiplyShared(q_BKND, op.input(`shared.keys.${layer}`, [K, D, S]));
    const attention = op.softmax(op.concatenate([past, own], -1));
    const fromPast = multiplyShared(
      op.slice(attention, { axis: 3, start: 0, end: S }),
      op.input(`shared.values.${layer}`, [K, S, D]),
    );
    const fromOwn = op.matmul(op.slice(attention, { axis: 3, start: S, end: S + T }), values);
    return op.reshape(op.add(fromPast, fromOwn), [B, H, T, D]);
  };
  const hidden_NE = runLayers({ config, weights, tokens, positions, numPositions: S + T, attend });
  return { hidden_NE, cache };
}

/** x [B, K, N, I] times what all sequences share, [K, I, J]: [B, K, N, J]. A head's rows of all sequences are one matrix. */
function multiplyShared(x: Tensor, shared: Tensor): Tensor {
  const [B = 0, K = 0, N = 0, I = 0] = x.shape;
  const byHead = op.reshape(op.transpose(x, [1, 0, 2, 3]), [K, B * N, I]);
  const product = op.reshape(op.matmul(byHead, shared), [K, B, N, shared.shape[2] ?? 0]);
  return op.transpose(product, [1, 0, 2, 3]);
}

/** The positions that `runSequences` is fed with: T from `start` on for each of B sequences. */
export function sequencePositions(B: number, T: number, start = 0): Int32Array {
  return Int32Array.from({ length: B * T }, (_, index) => start + (index % T));
}

/** Inputs and outputs of one decoding step. */
export interface DecodeStep {
  /** [B, V] */
  readonly logits: Tensor;
  /** Keys and values of the new token, [B, K, 1, D] a layer. */
  readonly fresh: readonly LayerCache[];
}

/**
 * One more token for each of B sequences. Inputs: "tokens" and "positions" [B, 1] (int32), "lengths"
 * [B, 1, 1, 1] (float, filled cache slots) and per layer "past.keys.N" [B, K, D, C] and "past.values.N" [B, K, C, D]. The cache is only
 * read: the caller writes the fresh keys and values into it, so that no step copies it.
 */
export function runDecodeStep(
  config: ModelConfig,
  weights: Weights,
  size: { readonly B: number; readonly C: number },
): DecodeStep {
  const { B, C } = size;
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = config;
  const G = H / K;
  const tokens = op.input("tokens", [B, 1], "int32");
  const positions = op.input("positions", [B, 1], "int32");
  const bias = maskUnfilled(B, C);
  const fresh: LayerCache[] = [];
  const attend: Attend = (layer, [q, keys, values]) => {
    fresh.push({ keys, values });
    const pastKeys = op.input(`past.keys.${layer}`, [B, K, D, C]);
    const pastValues = op.input(`past.values.${layer}`, [B, K, C, D]);
    // Transposed keys make this a plain product, for whose single rows there is a fast path.
    const q_BKGD = op.reshape(q, [B, K, G, D]);
    const past = op.matmul(q_BKGD, pastKeys);
    const own = op.sum(op.multiply(q_BKGD, keys), [-1]);
    const attention = op.softmax(op.concatenate([op.add(past, bias), own], -1));
    const fromPast = op.matmul(op.slice(attention, { axis: 3, start: 0, end: C }), pastValues);
    const fromOwn = op.multiply(op.slice(attention, { axis: 3, start: C, end: C + 1 }), values);
    return op.reshape(op.add(fromPast, fromOwn), [B, H, 1, D]);
  };
  const hidden = runLayers({ config, weights, tokens, positions, numPositions: C + 1, attend });
  return { logits: applyHead(config, weights, hidden), fresh };
}

/** What a pass over a part of one sequence gives. */
export interface ChunkPass {
  /** Final normalized hidden states, [T, E]. */
  readonly hidden_NE: Tensor;
  /** Keys and values of the new tokens, [1, K, T, D] a layer. */
  readonly fresh: readonly LayerCache[];
}

/**
 * T more tokens of one sequence whose earlier ones lie in a cache of C slots: long prompts are read in parts, so that no part
 * takes long or needs much memory. Inputs as those of `runDecodeStep` for one row, but for "tokens" and "positions" [1, T].
 */
export function runChunk(
  config: ModelConfig,
  weights: Weights,
  { T, C }: { readonly T: number; readonly C: number },
): ChunkPass {
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = config;
  const G = H / K;
  const tokens = op.input("tokens", [1, T], "int32");
  const positions = op.input("positions", [1, T], "int32");
  const bias = maskUnfilled(1, C);
  const mask = causalMask(T, G);
  const fresh: LayerCache[] = [];
  const attend: Attend = (layer, [q, keys, values]) => {
    fresh.push({ keys, values });
    const q_BKND = op.reshape(q, [1, K, G * T, D]);
    const past = op.add(op.matmul(q_BKND, op.input(`past.keys.${layer}`, [1, K, D, C])), bias);
    const own = op.add(op.matmul(q_BKND, keys, { transposeRight: true }), mask);
    const attention = op.softmax(op.concatenate([past, own], -1));
    const fromPast = op.matmul(
      op.slice(attention, { axis: 3, start: 0, end: C }),
      op.input(`past.values.${layer}`, [1, K, C, D]),
    );
    const fromOwn = op.matmul(op.slice(attention, { axis: 3, start: C, end: C + T }), values);
    return op.reshape(op.add(fromPast, fromOwn), [1, H, T, D]);
  };
  const hidden_NE = runLayers({ config, weights, tokens, positions, numPositions: C + T, attend });
  return { hidden_NE, fresh };
}

/** What keeps attention from the slots that are not filled: 0 or `masked`, [B, 1, 1, C]; reads "lengths". */
function maskUnfilled(B: number, C: number): Tensor {
  const slots = op.constant(
    [1, 1, 1, C],
    Float32Array.from({ length: C }, (_, slot) => slot + 1),
  );
  const isFilled = op.lessOrEqual(slots, op.input("lengths", [B, 1, 1, 1]));
  return op.multiply(op.subtract(1, isFilled), masked);
}

/** Logits [rows, V] of hidden states [rows, E]; a tied head is the embedding matrix. */
export function applyHead(config: ModelConfig, weights: Weights, hidden: Tensor): Tensor {
  return linear(weights, config.isTied ? "model.embed_tokens" : "lm_head", hidden);
}
