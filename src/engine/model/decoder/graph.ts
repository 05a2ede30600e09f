/** A decoder whose graph is being built, and the small parts that its layers are made of. */
import { requireItem } from "../../../base/core/index.ts";
import { op, type Tensor } from "../../tensor/index.ts";
import type { LayerConfig, ModelConfig } from "../config/model-config.ts";
import { families } from "../family/families.ts";
import type { Family } from "../family/family.ts";
import type { Adapter, Weights } from "../parameters.ts";

/** A decoder whose graph is being built. */
export interface DecoderGraph {
  readonly config: ModelConfig;
  readonly family: Family;
  readonly weights: Weights;
}

/** A layer of it. */
export interface LayerGraph extends DecoderGraph {
  readonly index: number;
  readonly layer: LayerConfig;
}

/** The decoder of that config, with its weights. */
export function createDecoderGraph(config: ModelConfig, weights: Weights): DecoderGraph {
  return { config, weights, family: families[config.family] };
}

/** One of its layers. Throws `RangeError` where there is none of that number. */
export function takeLayer(graph: DecoderGraph, index: number): LayerGraph {
  return { ...graph, index, layer: requireItem(graph.config.layers, index) };
}

/** The full name of a part of a layer. */
export function nameInLayer({ family, index }: LayerGraph, part: string): string {
  return `${family.names.layers}.${index}.${part}`;
}

/** x Wᵀ of a layer's matrix [outputs, inputs], or x W where the family stores inputs as rows, and its bias where it has one. */
export function applyLinear(graph: LayerGraph, part: string, x: Tensor): Tensor {
  const name = nameInLayer(graph, part);
  return multiplyWeight(graph, name, { x, hasInputRows: graph.family.hasInputRows ?? false });
}

/** Logits [rows, V] of hidden states [rows, E]; a tied head is the embedding matrix. */
export function applyHead(config: ModelConfig, weights: Weights, hidden: Tensor): Tensor {
  const graph = createDecoderGraph(config, weights);
  const { names } = graph.family;
  const name = config.isTied ? names.embedding : names.head;
  const logits = scale(multiplyWeight(graph, name, { x: hidden, hasInputRows: false }), config.logitScale);
  return cap(logits, config.logitCap);
}

function multiplyWeight(
  { weights }: DecoderGraph,
  name: string,
  { x, hasInputRows }: { readonly x: Tensor; readonly hasInputRows: boolean },
): Tensor {
  const product = op.matmul(x, weights.get(`${name}.weight`), { transposeRight: !hasInputRows });
  const adapter = weights.findAdapter(name);
  const adapted = adapter === undefined ? product : op.add(product, applyAdapter(adapter, x));
  return weights.has(`${name}.bias`) ? op.add(adapted, weights.get(`${name}.bias`)) : adapted;
}

/** scale · x Aᵀ Bᵀ */
function applyAdapter({ down, up, scale }: Adapter, x: Tensor): Tensor {
  const narrow = op.matmul(x, down, { transposeRight: true });
  return op.matmul(narrow, up, { transposeRight: true, scale });
}

/** The norm of that name over the last axis. */
export function applyNorm({ config, family, weights }: DecoderGraph, name: string, x: Tensor): Tensor {
  const epsilon = config.normEpsilon;
  switch (family.norm) {
    case "rms":
      return op.rmsNorm(x, weights.get(`${name}.weight`), { epsilon });
    case "shifted":
      return op.rmsNorm(x, op.add(weights.get(`${name}.weight`), 1), { epsilon });
    case "plain":
      return op.standardize(x, { epsilon });
    case "layer": {
      const scaled = op.multiply(op.standardize(x, { epsilon }), weights.get(`${name}.weight`));
      return op.add(scaled, weights.get(`${name}.bias`));
    }
  }
}

/** A layer's norm, where it has that one. */
export function applyLayerNorm(graph: LayerGraph, part: string | undefined, x: Tensor): Tensor {
  return part === undefined ? x : applyNorm(graph, nameInLayer(graph, part), x);
}

/** factor · x, where there is a factor. */
export function scale(x: Tensor, factor: number | undefined): Tensor {
  return factor === undefined || factor === 1 ? x : op.multiply(x, factor);
}

/** c tanh(x / c), where there is a cap c (Gemma 2). */
export function cap(x: Tensor, limit: number | undefined): Tensor {
  return limit === undefined ? x : op.multiply(op.tanh(op.multiply(x, 1 / limit)), limit);
}
