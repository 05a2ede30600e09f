/** The activations of feed-forward layers, under the names that configurations have for them. */
import { op, type Tensor } from "../../tensor/index.ts";

/** x σ(x) (Elfwing et al. 2018). */
function silu(x: Tensor): Tensor {
  return op.multiply(x, op.sigmoid(x));
}

/** x Φ(x) with the normal distribution's Φ (Hendrycks & Gimpel 2016). */
function gelu(x: Tensor): Tensor {
  return op.multiply(op.multiply(x, 0.5), op.add(op.erf(op.multiply(x, Math.SQRT1_2)), 1));
}

/** Its approximation by a hyperbolic tangent. */
function tanhGelu(x: Tensor): Tensor {
  const cube = op.multiply(op.multiply(x, x), x);
  const inner = op.multiply(op.add(x, op.multiply(cube, 0.044715)), Math.sqrt(2 / Math.PI));
  return op.multiply(op.multiply(x, 0.5), op.add(op.tanh(inner), 1));
}

/** Its approximation by a sigmoid: x σ(1.702 x). */
function quickGelu(x: Tensor): Tensor {
  return op.multiply(x, op.sigmoid(op.multiply(x, 1.702)));
}

/** Every activation by each of its names in transformers. */
export const activations = {
  silu,
  swish: silu,
  gelu,
  gelu_python: gelu,
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  gelu_python_tanh: tanhGelu,
  gelu_accurate: tanhGelu,
  quick_gelu: quickGelu,
  relu: op.relu,
  relu2: (x: Tensor) => op.multiply(op.relu(x), op.relu(x)),
  sigmoid: op.sigmoid,
  tanh: op.tanh,
  linear: (x: Tensor) => x,
} as const;

/** The name of an activation. */
export type ActivationName = keyof typeof activations;
