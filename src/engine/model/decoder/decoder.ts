/**
 * The decoder as tensor expressions: whole sequences (training, prefill), parts of one, and one token at a time (decode).
 * Axes: B sequences, T tokens, N = B·T rows, E hidden, H heads, K key–value heads, G = H/K, D head size, C cache slots, V vocabulary.
 */
import { op, type Tensor } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { Weights } from "../parameters.ts";
import {
  type AttentionPass,
  applyAttention,
  cacheMask,
  capScores,
  causalMask,
  type PickRows,
} from "./attention.ts";
import { applyFeedForward } from "./feed-forward.ts";
import {
  applyHead,
  applyLayerNorm,
  applyNorm,
  createDecoderGraph,
  type DecoderGraph,
  type LayerGraph,
  scale,
  takeLayer,
} from "./graph.ts";
import { createRotations, type Places } from "./positions.ts";

/** Keys and values of one layer. */
export interface LayerCache {
  /** [B, K, length, D], after rotation. */
  readonly keys: Tensor;
  /** [B, K, length, D] */
  readonly values: Tensor;
}

/** What a pass over whole sequences gives. */
export interface SequencePass {
  /** Final normalized hidden states, [N, E], rows in (sequence, token) order; or those that are picked. */
  readonly hidden_NE: Tensor;
  readonly cache: readonly LayerCache[];
}

/** A pass over tokens: what is read, where, and how it attends. */
interface Pass extends Places {
  /** int32 token ids, [B, T]. */
  readonly tokens: Tensor;
  readonly attend: AttentionPass["attend"];
  /** The rows whose hidden states are wanted in the end; absent: all. */
  readonly pick?: PickRows | undefined;
}

/** Final normalized hidden states [N, E], or of the wanted rows: what follows attention in the last layer is done for those only. */
function runLayers(graph: DecoderGraph, pass: Pass): Tensor {
  const rotate = createRotations(pass);
  const attentionPass = { ...pass, rotate };
  let x_NE = embed(graph, pass);
  const last = graph.config.layers.length - 1;
  for (const index of graph.config.layers.keys()) {
    const pick = index === last ? pass.pick : undefined;
    x_NE = applyLayer(takeLayer(graph, index), attentionPass, { x_NE, pick: pick ?? keepAll });
  }
  return applyNorm(graph, graph.family.names.finalNorm, x_NE);
}

function embed({ config, family, weights }: DecoderGraph, { B, T, tokens, positions }: Pass): Tensor {
  const { names } = family;
  const table = weights.get(`${names.embedding}.weight`);
  const rows = op.reshape(op.gatherRows(table, tokens), [B * T, config.hiddenSize]);
  const scaled = scale(rows, config.embeddingScale);
  if (names.positions === undefined) return scaled;
  const learned = op.gatherRows(weights.get(`${names.positions}.weight`), positions);
  return op.add(scaled, op.reshape(learned, [B * T, config.hiddenSize]));
}

const keepAll: PickRows = (x) => x;

function applyLayer(
  graph: LayerGraph,
  pass: AttentionPass,
  { x_NE, pick }: { readonly x_NE: Tensor; readonly pick: PickRows },
): Tensor {
  const { residualScale, isParallel = false } = graph.config;
  const { norms } = graph.family.names;
  const attentionInput = applyLayerNorm(graph, norms.beforeAttention, x_NE);
  const attended = applyAttention(graph, pass, { x_NE: attentionInput, pick });
  const before = pick(x_NE);
  const middle = op.add(before, scale(applyLayerNorm(graph, norms.afterAttention, attended), residualScale));
  const fedInput = applyLayerNorm(graph, norms.beforeFeedForward, isParallel ? before : middle);
  const fed = applyLayerNorm(graph, norms.afterFeedForward, applyFeedForward(graph, fedInput));
  return op.add(middle, scale(fed, residualScale));
}

/** Masks by the window of a layer, each made once a pass. */
function byWindow(create: (window: number | undefined) => Tensor): (graph: LayerGraph) => Tensor {
  const made = new Map<number | undefined, Tensor>();
  return ({ layer: { window } }) => {
    const mask = made.get(window) ?? create(window);
    made.set(window, mask);
    return mask;
  };
}

/** What a pass over whole sequences may leave out. */
export interface SequenceOptions {
  /** Tokens that all sequences begin with, and that were read before (default 0). */
  readonly numShared?: number;
  /** The rows of [N, E] whose hidden states are wanted; absent: all. */
  readonly pick?: PickRows;
}

/**
 * The decoder over whole sequences, each starting at position 0. Shorter ones are padded on the right: causal
 * attention keeps padding from reaching what precedes it. With `numShared` S, all of them follow the same S tokens, which were read
 * before: their keys and values are inputs, "shared.keys.N" [K, D, S] and "shared.values.N" [K, S, D] a layer. Further inputs are those
 * of `feedPositions`.
 */
export function runSequences(
  config: ModelConfig,
  weights: Weights,
  tokens: Tensor,
  { numShared = 0, pick }: SequenceOptions = {},
): SequencePass {
  const [B = 0, T = 0] = tokens.shape;
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = config;
  const [G, S] = [H / K, numShared];
  const ownMask = byWindow((window) => causalMask({ T, G, numKeys: T, start: 0, window }));
  const pastMask = byWindow((window) => causalMask({ T, G, numKeys: S, start: S, window }));
  const cache: LayerCache[] = [];
  const attend: AttentionPass["attend"] = (graph, { queries, keys, values }) => {
    cache.push({ keys, values });
    // The queries of a group are neighbors, so that a group is simply more rows against the same keys.
    const q_BKND = op.reshape(queries, [B, K, G * T, D]);
    const scores = capScores(graph, op.matmul(q_BKND, keys, { transposeRight: true }));
    const own = op.add(scores, ownMask(graph));
    if (S === 0) return op.reshape(op.matmul(op.softmax(own), values), [B, H, T, D]);
    const { index, layer } = graph;
    const pastScores = capScores(graph, multiplyShared(q_BKND, op.input(`shared.keys.${index}`, [K, D, S])));
    const past = layer.window === undefined ? pastScores : op.add(pastScores, pastMask(graph));
    const attention = op.softmax(op.concatenate([past, own], -1));
    const fromPast = multiplyShared(
      op.slice(attention, { axis: 3, start: 0, end: S }),
      op.input(`shared.values.${index}`, [K, S, D]),
    );
    const fromOwn = op.matmul(op.slice(attention, { axis: 3, start: S, end: S + T }), values);
    return op.reshape(op.add(fromPast, fromOwn), [B, H, T, D]);
  };
  const positions = op.input("positions", [B, T], "int32");
  const pass = { B, T, tokens, positions, numPositions: S + T, attend, pick };
  return { hidden_NE: runLayers(createDecoderGraph(config, weights), pass), cache };
}

/** x [B, K, N, I] times what all sequences share, [K, I, J]: [B, K, N, J]. A head's rows of all sequences are one matrix. */
function multiplyShared(x: Tensor, shared: Tensor): Tensor {
  const [B = 0, K = 0, N = 0, I = 0] = x.shape;
  const byHead = op.reshape(op.transpose(x, [1, 0, 2, 3]), [K, B * N, I]);
  const product = op.reshape(op.matmul(byHead, shared), [K, B, N, shared.shape[2] ?? 0]);
  return op.transpose(product, [1, 0, 2, 3]);
}

/** Inputs and outputs of one decoding step. */
export interface DecodeStep {
  /** [B, V] */
  readonly logits: Tensor;
  /** Keys and values of the new token, [B, K, 1, D] a layer. */
  readonly fresh: readonly LayerCache[];
}

/**
 * One more token for each of B sequences. Inputs: "tokens" [B, 1] (int32), those of `feedPositions`, "lengths"
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
  const lengths = op.input("lengths", [B, 1, 1, 1]);
  const bias = byWindow((window) => cacheMask(lengths, { C, T: 1, G, window }));
  const fresh: LayerCache[] = [];
  const attend: AttentionPass["attend"] = (graph, { queries, keys, values }) => {
    fresh.push({ keys, values });
    const pastKeys = op.input(`past.keys.${graph.index}`, [B, K, D, C]);
    const pastValues = op.input(`past.values.${graph.index}`, [B, K, C, D]);
    // Transposed keys make this a plain product, for whose single rows there is a fast path.
    const q_BKGD = op.reshape(queries, [B, K, G, D]);
    const past = op.add(capScores(graph, op.matmul(q_BKGD, pastKeys)), bias(graph));
    const own = capScores(graph, op.sum(op.multiply(q_BKGD, keys), [-1]));
    const attention = op.softmax(op.concatenate([past, own], -1));
    const fromPast = op.matmul(op.slice(attention, { axis: 3, start: 0, end: C }), pastValues);
    const fromOwn = op.multiply(op.slice(attention, { axis: 3, start: C, end: C + 1 }), values);
    return op.reshape(op.add(fromPast, fromOwn), [B, H, 1, D]);
  };
  const [tokens, positions] = [op.input("tokens", [B, 1], "int32"), op.input("positions", [B, 1], "int32")];
  const pass = { B, T: 1, tokens, positions, numPositions: C + 1, attend };
  const hidden = runLayers(createDecoderGraph(config, weights), pass);
  return { logits: applyHead(config, weights, hidden), fresh };
}

/** What a pass over a part of one sequence gives. */
export interface ChunkPass {
  /** Final normalized hidden states, [T, E], or those that are picked. */
  readonly hidden_NE: Tensor;
  /** Keys and values of the new tokens, [1, K, T, D] a layer. */
  readonly fresh: readonly LayerCache[];
}

/** Size of a pass over a part of a sequence. */
export interface ChunkOptions {
  readonly T: number;
  /** Slots of the cache, and how many of them, from the first on, may be filled: the others are not read. */
  readonly C: number;
  readonly numPast: number;
  /** The rows of [T, E] whose hidden states are wanted. */
  readonly pick: PickRows;
}

/**
 * T more tokens of one sequence whose earlier ones lie in a cache of C slots: long prompts are read in parts, so that no part
 * takes long or needs much memory. Inputs as those of `runDecodeStep` for one row, but for "tokens" and positions of T tokens.
 */
export function runChunk(
  config: ModelConfig,
  weights: Weights,
  { T, C, numPast: P, pick }: ChunkOptions,
): ChunkPass {
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = config;
  const G = H / K;
  const lengths = op.input("lengths", [1, 1, 1, 1]);
  const bias = byWindow((window) => cacheMask(lengths, { C: P, T, G, window }));
  const mask = byWindow((window) => causalMask({ T, G, numKeys: T, start: 0, window }));
  const fresh: LayerCache[] = [];
  const attend: AttentionPass["attend"] = (graph, { queries, keys, values }) => {
    fresh.push({ keys, values });
    const q_BKND = op.reshape(queries, [1, K, G * T, D]);
    const scores = capScores(graph, op.matmul(q_BKND, keys, { transposeRight: true }));
    const own = op.add(scores, mask(graph));
    if (P === 0) return op.reshape(op.matmul(op.softmax(own), values), [1, H, T, D]);
    const filled = { start: 0, end: P };
    const pastKeys = op.slice(op.input(`past.keys.${graph.index}`, [1, K, D, C]), { axis: 3, ...filled });
    const pastValues = op.slice(op.input(`past.values.${graph.index}`, [1, K, C, D]), { axis: 2, ...filled });
    const past = op.add(capScores(graph, op.matmul(q_BKND, pastKeys)), bias(graph));
    const attention = op.softmax(op.concatenate([past, own], -1));
    const fromPast = op.matmul(op.slice(attention, { axis: 3, ...filled }), pastValues);
    const fromOwn = op.matmul(op.slice(attention, { axis: 3, start: P, end: P + T }), values);
    return op.reshape(op.add(fromPast, fromOwn), [1, H, T, D]);
  };
  const [tokens, positions] = [op.input("tokens", [1, T], "int32"), op.input("positions", [1, T], "int32")];
  const pass = { B: 1, T, tokens, positions, numPositions: C + T, attend, pick };
  return { hidden_NE: runLayers(createDecoderGraph(config, weights), pass), fresh };
}
