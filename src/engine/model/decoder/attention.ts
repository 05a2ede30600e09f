/**
 * Causal attention with grouped queries (Vaswani et al. 2017; Ainslie et al. 2023). Axes: B sequences, T tokens, N = B·T rows, E hidden,
 * H heads, K key–value heads, G = H/K, D head size, C cache slots, S shared tokens.
 */
import { op, type Tensor } from "../../tensor/index.ts";
import { applyLinear, applyNorm, cap, type LayerGraph, nameInLayer } from "./graph.ts";
import type { Rotate } from "./positions.ts";

/** Added to the scores of positions that must not be attended to. */
export const masked = -1e9;

/** Scaled queries [B, H, T, D], and keys and values [B, K, T, D] of a layer. */
export interface Heads {
  readonly queries: Tensor;
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** The tokens that a pass reads, and how their positions enter. */
export interface AttentionPass {
  readonly B: number;
  readonly T: number;
  readonly rotate: Rotate;
  /** Returns the attention output [B, H, T, D] of a layer. */
  readonly attend: (graph: LayerGraph, heads: Heads) => Tensor;
}

/** Leaves rows out, or gives them as they are. */
export type PickRows = (x: Tensor) => Tensor;

/** What attention makes of hidden states [N, E], at the rows that are picked. */
export function applyAttention(
  graph: LayerGraph,
  pass: AttentionPass,
  { x_NE, pick }: { readonly x_NE: Tensor; readonly pick: PickRows },
): Tensor {
  const { numHeads: H, headSize: D } = graph.config;
  const { B, T, attend } = pass;
  const context = attend(graph, projectHeads(graph, pass, x_NE));
  const rows = op.reshape(op.transpose(context, [0, 2, 1, 3]), [B * T, H * D]);
  return applyLinear(graph, graph.family.names.attention.output, pick(rows));
}

function projectHeads(graph: LayerGraph, { B, T, rotate }: AttentionPass, x_NE: Tensor): Heads {
  const { config, family, layer } = graph;
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = config;
  const { queries, keys, values } = project(graph, x_NE);
  const { norms } = family.names;
  const split = (rows: Tensor, numHeads: number, norm?: string): Tensor => {
    const heads = op.reshape(normalizeHeads(graph, limit(graph, rows), norm), [B, T, numHeads, D]);
    return op.transpose(family.headNorm === "head" ? applyHeadNorm(graph, heads, norm) : heads, [0, 2, 1, 3]);
  };
  return {
    queries: rotate(split(queries, H, norms.queries), layer.rope, attentionScale(graph)),
    keys: rotate(split(keys, K, norms.keys), layer.rope),
    values: split(values, K),
  };
}

function attentionScale({ config, index }: LayerGraph): number {
  const { attentionScale: scale = config.headSize ** -0.5, scalesByLayer = false } = config;
  return scalesByLayer ? scale / (index + 1) : scale;
}

/** A norm over all heads of a token. */
function normalizeHeads(graph: LayerGraph, rows: Tensor, norm: string | undefined): Tensor {
  return graph.family.headNorm === "projection" ? applyHeadNorm(graph, rows, norm) : rows;
}

function applyHeadNorm(graph: LayerGraph, x: Tensor, norm: string | undefined): Tensor {
  return norm === undefined ? x : applyNorm(graph, nameInLayer(graph, norm), x);
}

/** Values cut at the model's limit, where it has one. */
function limit({ config: { projectionLimit: most } }: LayerGraph, x: Tensor): Tensor {
  return most === undefined ? x : op.maximum(op.minimum(x, most), -most);
}

/** Queries [N, H·D], keys and values [N, K·D]. */
function project(graph: LayerGraph, x_NE: Tensor): Heads {
  const names = graph.family.names.attention;
  if (!("all" in names))
    return {
      queries: applyLinear(graph, names.query, x_NE),
      keys: applyLinear(graph, names.key, x_NE),
      values: applyLinear(graph, names.value, x_NE),
    };
  const { numHeads: H, numKeyValueHeads: K, headSize: D } = graph.config;
  const all = applyLinear(graph, names.all, x_NE);
  const N = all.shape[0] ?? 0;
  if (names.order === "by-part") {
    const take = (start: number, width: number): Tensor =>
      op.slice(all, { axis: 1, start: start * D, end: (start + width) * D });
    return { queries: take(0, H), keys: take(H, K), values: take(H + K, K) };
  }
  const byHead = op.reshape(all, [N, H, 3, D]);
  const take = (part: number): Tensor =>
    op.reshape(op.slice(byHead, { axis: 2, start: part, end: part + 1 }), [N, H * D]);
  return { queries: take(0), keys: take(1), values: take(2) };
}

/** Scores of queries and keys, capped where the model caps them. */
export function capScores({ config }: LayerGraph, scores: Tensor): Tensor {
  return cap(scores, config.attentionCap);
}

/**
 * What keeps queries from keys: 0 where query `start` + t may attend to key k, else `masked`, once for each query head of a group,
 * [G·T, numKeys]. A query attends to itself and what precedes it, as far back as its window reaches.
 */
export function causalMask({
  T,
  G,
  numKeys,
  start,
  window = Number.POSITIVE_INFINITY,
}: {
  readonly T: number;
  readonly G: number;
  readonly numKeys: number;
  readonly start: number;
  readonly window?: number | undefined;
}): Tensor {
  const values = Float32Array.from({ length: G * T * numKeys }, (_, index) => {
    const query = start + (Math.floor(index / numKeys) % T);
    const key = index % numKeys;
    return key <= query && query - key < window ? 0 : masked;
  });
  return op.constant([G * T, numKeys], values);
}

/**
 * What keeps T new tokens from slots of a cache that are not filled, or that their window does not reach: 0 or `masked`, [B, 1, 1, C], or
 * [B, 1, G·T, C] with a window. `lengths` [B, 1, 1, 1] are the filled slots.
 */
export function cacheMask(
  lengths: Tensor,
  { C, T, G, window }: Readonly<Record<"C" | "T" | "G", number>> & { readonly window?: number | undefined },
): Tensor {
  const ends = op.constant(
    [1, 1, 1, C],
    Float32Array.from({ length: C }, (_, slot) => slot + 1),
  );
  const isFilled = op.lessOrEqual(ends, lengths);
  if (window === undefined) return op.multiply(op.subtract(1, isFilled), masked);
  // The query at position length + t reaches slots from length + t − window + 1 on.
  const offsets = op.constant(
    [1, 1, G * T, 1],
    Float32Array.from({ length: G * T }, (_, row) => (row % T) - window + 2),
  );
  const isNear = op.lessOrEqual(op.add(lengths, offsets), ends);
  return op.multiply(op.subtract(1, op.multiply(isFilled, isNear)), masked);
}
