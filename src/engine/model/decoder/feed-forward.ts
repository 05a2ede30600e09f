/** The feed-forward part of a layer: a gated or plain perceptron, or a mixture of them. */
import { op, type Tensor } from "../../tensor/index.ts";
import { activations } from "./activation.ts";
import { applyLinear, type LayerGraph } from "./graph.ts";

/** What the feed-forward part of a layer makes of hidden states [N, E]. */
export function applyFeedForward(graph: LayerGraph, x_NE: Tensor): Tensor {
  if (graph.layer.isSparse === true) return applyExperts(graph, x_NE);
  const { gate, up, down, holdsGate } = graph.family.names.feedForward;
  if (holdsGate === true) return applyLinear(graph, down, applyHalves(graph, applyLinear(graph, up, x_NE)));
  if (gate === undefined) return applyLinear(graph, down, activate(graph, applyLinear(graph, up, x_NE)));
  return applyGated(graph, { gate, up, down }, x_NE);
}

/** (f(x Wgᵀ) ∘ x Wuᵀ) Wdᵀ (Shazeer 2020). */
function applyGated(
  graph: LayerGraph,
  { gate, up, down }: Readonly<Record<"gate" | "up" | "down", string>>,
  x_NE: Tensor,
): Tensor {
  const gated = activate(graph, applyLinear(graph, gate, x_NE));
  return applyLinear(graph, down, op.multiply(gated, applyLinear(graph, up, x_NE)));
}

/** f(first half) ∘ second half. */
function applyHalves(graph: LayerGraph, x: Tensor): Tensor {
  const width = (x.shape[1] ?? 0) / 2;
  const [gate, up] = [0, width].map((start) => op.slice(x, { axis: 1, start, end: start + width }));
  if (gate === undefined || up === undefined) throw new RangeError("Cannot halve a tensor");
  return op.multiply(activate(graph, gate), up);
}

function activate({ config }: LayerGraph, x: Tensor): Tensor {
  return activations[config.activation ?? "silu"](x);
}

/**
 * Σₑ p(e) · expert e, over the experts whose router probability is among the largest (Shazeer et al. 2017). All experts are computed, and those
 * that a token does not go through count 0: exact, and the more wasteful the fewer are chosen.
 */
function applyExperts(graph: LayerGraph, x_NE: Tensor): Tensor {
  const { experts } = graph.config;
  const names = graph.family.names.experts;
  if (experts === undefined || names === undefined)
    throw new TypeError("Cannot build a sparse layer: the model has no experts");
  const probabilities = op.softmax(applyLinear(graph, names.router, x_NE));
  const chosen = op.multiply(probabilities, op.markLargest(probabilities, experts.numChosen));
  const shares = experts.isNormalized ? op.divide(chosen, op.sum(chosen, [-1])) : chosen;
  const parts = Array.from({ length: experts.numExperts }, (_, expert) => {
    const name = (part: string): string => part.replace("#", String(expert));
    const { gate, up, down } = names;
    const output = applyGated(graph, { gate: name(gate), up: name(up), down: name(down) }, x_NE);
    return op.multiply(output, op.slice(shares, { axis: 1, start: expert, end: expert + 1 }));
  });
  return parts.reduce((sum, part) => op.add(sum, part));
}
