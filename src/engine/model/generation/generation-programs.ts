/** What the programs of generation give: logits, and the keys and values that go into the cache. */
import { op, type Tensor } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { type LayerCache, runChunk, runDecodeStep, runSequences } from "../decoder/decoder.ts";
import { applyHead } from "../decoder/graph.ts";
import { createLayout, createWeights } from "../parameters.ts";
import { scoreHidden } from "./score-targets.ts";

function cacheOutputs(cache: readonly LayerCache[]): Record<string, Tensor> {
  return Object.fromEntries(
    cache.flatMap(({ keys, values }, layer) => [
      [`keys.${layer}`, keys],
      [`values.${layer}`, values],
    ]),
  );
}

/**
 * Size of a program that reads B texts of T tokens behind S that all share, gives keys and values of the first P of them, and scores R
 * tokens, wherever they stand.
 */
export interface PrefillSize {
  readonly B: number;
  readonly T: number;
  readonly P: number;
  readonly S: number;
  readonly R: number;
}

/**
 * Of texts "tokens" [B, T], each a prompt and what is scored behind it: the logits [B, V] after "lastRows" [B], keys and values
 * [B, K, P, D] a layer, and where R is not 0 "scores" [R]: log π of "targets" [R] after "rows" [R].
 */
export function prefillOutputs(config: ModelConfig, { B, T, P, S, R }: PrefillSize): Record<string, Tensor> {
  const weights = createWeights(createLayout(config));
  const lastRows = op.input("lastRows", [B], "int32");
  const scoredRows = op.input("rows", [R], "int32");
  const pick = (x: Tensor): Tensor => {
    const last = op.gatherRows(x, lastRows);
    return R === 0 ? last : op.concatenate([last, op.gatherRows(x, scoredRows)], 0);
  };
  const { hidden_NE: hidden, cache } = runSequences(config, weights, op.input("tokens", [B, T], "int32"), {
    numShared: S,
    pick,
  });
  const part = (start: number, end: number): Tensor => op.slice(hidden, { axis: 0, start, end });
  return {
    logits: applyHead(config, weights, part(0, B)),
    ...(R > 0 && { scores: scoreHidden(config, weights, { hidden_RE: part(B, B + R) }) }),
    ...cacheOutputs(P === T ? cache : cache.map((layer) => takeSlots(layer, P))),
  };
}

function takeSlots({ keys, values }: LayerCache, count: number): LayerCache {
  const range = { axis: 2, start: 0, end: count };
  return { keys: op.slice(keys, range), values: op.slice(values, range) };
}

/** Of one more token for each of B texts with C cache slots: its logits [B, V], keys and values. */
export function decodeOutputs(config: ModelConfig, B: number, C: number): Record<string, Tensor> {
  const { logits, fresh } = runDecodeStep(config, createWeights(createLayout(config)), { B, C });
  return { logits, ...cacheOutputs(fresh) };
}

/** Tokens that a chunk's program reads, its cache slots, those of them that it reads, and the rows that it gives logits of. */
export interface ChunkSize {
  readonly T: number;
  readonly C: number;
  readonly numPast: number;
  readonly R: number;
}

/** Of T more tokens of one text: the logits [R, V] after "rows" [R] of them, keys and values. */
export function chunkOutputs(config: ModelConfig, { R, ...size }: ChunkSize): Record<string, Tensor> {
  const weights = createWeights(createLayout(config));
  const rows = op.input("rows", [R], "int32");
  const pick = (x: Tensor): Tensor => op.gatherRows(x, rows);
  const { hidden_NE, fresh } = runChunk(config, weights, { ...size, pick });
  return { logits: applyHead(config, weights, hidden_NE), ...cacheOutputs(fresh) };
}
