/** Reverse-mode differentiation of a scalar over the graph that computes it. */
import { gradientRules, joinGradients } from "./gradient-rules.ts";
import { constant } from "./operations.ts";
import type { Primitive, Tensor } from "./primitive.ts";
import { formatShape, sizeOf } from "./shape.ts";

/** All tensors `outputs` depend on, themselves included, every one after its inputs. */
export function topologicalOrder(outputs: readonly Tensor[]): readonly Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  // An explicit stack: graphs are deeper than the call stack is safe for.
  const stack: { readonly tensor: Tensor; readonly isDone: boolean }[] = [];
  for (const output of [...outputs].reverse()) stack.push({ tensor: output, isDone: false });
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (top.isDone) order.push(top.tensor);
    if (top.isDone || seen.has(top.tensor)) continue;
    seen.add(top.tensor);
    stack.push({ tensor: top.tensor, isDone: true });
    for (const input of [...top.tensor.inputs].reverse())
      if (!seen.has(input)) stack.push({ tensor: input, isDone: false });
  }
  return order;
}

function applyRule<P extends Primitive>(
  result: Tensor<P>,
  gradient: Tensor,
): readonly (Tensor | undefined)[] {
  return gradientRules[result.primitive](result, gradient);
}

/**
 * d output / d variable for each variable, as graph nodes of the variables' shapes.
 * `output` must hold one element. A variable that it does not depend on gets zeros.
 */
export function gradients(output: Tensor, variables: readonly Tensor[]): readonly Tensor[] {
  if (sizeOf(output.shape) !== 1)
    throw new TypeError(
      `Cannot differentiate a tensor of shape ${formatShape(output.shape)}: it is not a scalar`,
    );
  const order = topologicalOrder([output]);
  const isNeeded = dependants(order, new Set(variables));
  const received = new Map<Tensor, Tensor>([[output, constant(output.shape, [1])]]);
  for (const result of [...order].reverse()) {
    const gradient = received.get(result);
    if (gradient === undefined || !isNeeded.has(result)) continue;
    const flows = applyRule(result, gradient);
    for (const [index, source] of result.inputs.entries()) {
      const flow = flows[index];
      if (flow === undefined || !isNeeded.has(source)) continue;
      const before = received.get(source);
      received.set(source, before === undefined ? flow : joinGradients(before, flow));
    }
  }
  return variables.map((variable) => received.get(variable) ?? constant(variable.shape, [0]));
}

/** The tensors of `order` whose value depends on one of `variables`. */
function dependants(order: readonly Tensor[], variables: ReadonlySet<Tensor>): ReadonlySet<Tensor> {
  const found = new Set<Tensor>();
  for (const tensor of order)
    if (variables.has(tensor) || tensor.inputs.some((source) => found.has(source))) found.add(tensor);
  return found;
}
