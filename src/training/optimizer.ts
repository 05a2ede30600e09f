/** Optimizers: what a gradient does to the parameters. They work on plain vectors, in one pass over all of them. */
/** All that training is: saving it is resuming it. */
export interface TrainingState {
  /** Steps taken. */
  readonly step: number;
  /** The flat parameter vector. */
  readonly parameters: Float32Array;
  /** The optimizer's vectors, by name: one element per parameter. */
  readonly slots: Readonly<Record<string, Float32Array>>;
}

/** A state at step 0 with an optimizer that has seen nothing. The parameters are copied. */
export function startTraining(parameters: Float32Array, optimizer: Optimizer): TrainingState {
  const slots = optimizer.slots.map((name) => [name, new Float32Array(parameters.length)]);
  return { step: 0, parameters: parameters.slice(), slots: Object.fromEntries(slots) };
}

/** The gradient of consecutive parts of the flat vector, in order; together they cover it. */
export type Gradient = readonly Float32Array[];

/** Numbers of a step. */
export interface StepOptions {
  readonly learningRate: number;
  /** Factors on the updates of the gradient's parts (default 1 for each). */
  readonly updateFactors?: readonly number[] | undefined;
}

/** A rule that turns a gradient into the next state. */
export interface Optimizer {
  /** Names of its state vectors, which start at 0. */
  readonly slots: readonly string[];
  /** The state after one more step, and the norm of the gradient as it came. The vectors are changed in place: the state before is used up. */
  apply(
    state: TrainingState,
    gradient: Gradient,
    options: StepOptions,
  ): { readonly state: TrainingState; readonly gradientNorm: number };
}

/** Settings of AdamW with gradient clipping. */
export interface AdamWOptions {
  /** Decay rates of the moments, and the constant in the denominator. */
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Longer gradients are scaled down to this norm. */
  readonly maxGradientNorm: number;
}

/**
 * Adam with bias-corrected moments (Kingma & Ba 2015) and decoupled weight decay on every parameter (Loshchilov & Hutter 2019), after
 * clipping the gradient by its norm (Pascanu et al. 2013): torch.optim.AdamW after torch.nn.utils.clip_grad_norm_.
 */
export function adamW(options: AdamWOptions): Optimizer {
  return {
    slots: ["firstMoment", "secondMoment"],
    apply: (state, gradient, { learningRate, updateFactors }) => {
      const gradientNorm = globalNorm(gradient);
      const scalars = readScalars(options, { step: state.step + 1, learningRate, gradientNorm });
      requireWhole(gradient, state);
      const [first, second] = [readSlot(state, "firstMoment"), readSlot(state, "secondMoment")];
      let offset = 0;
      for (const [index, part] of gradient.entries()) {
        const take = (vector: Float32Array): Float32Array => vector.subarray(offset, offset + part.length);
        const block = { parameters: take(state.parameters), first: take(first), second: take(second) };
        moveBlock(block, part, scaleUpdate(scalars, updateFactors?.[index] ?? 1));
        offset += part.length;
      }
      return { state: { ...state, step: state.step + 1 }, gradientNorm };
    },
  };
}

function readSlot({ slots }: TrainingState, name: string): Float32Array {
  const slot = slots[name];
  if (slot === undefined) throw new RangeError(`Cannot find the optimizer state "${name}"`);
  return slot;
}

function requireWhole(gradient: Gradient, { parameters }: TrainingState): void {
  const length = gradient.reduce((sum, part) => sum + part.length, 0);
  if (length !== parameters.length)
    throw new RangeError(`Cannot move ${parameters.length} parameters by a gradient of ${length}`);
}

/** The Euclidean norm of all parts together. */
export function globalNorm(gradient: Gradient): number {
  let total = 0;
  for (const part of gradient) total += sumOfSquares(part);
  return Math.sqrt(total);
}

function sumOfSquares(values: Float32Array): number {
  let total = 0;
  // A plain loop: there may be hundreds of millions.
  for (let index = 0; index < values.length; index++) total += (values[index] ?? 0) ** 2;
  return total;
}

/** What is the same for all parameters in a step. */
interface Scalars {
  readonly clip: number;
  readonly beta1: number;
  readonly beta2: number;
  /** 1 / √(1 − β₂ᵗ) */
  readonly rootScale: number;
  readonly epsilon: number;
  /** learningRate / (1 − β₁ᵗ) */
  readonly rate: number;
  /** learningRate · weightDecay */
  readonly decay: number;
}

function readScalars(
  { beta1, beta2, epsilon, weightDecay, maxGradientNorm }: AdamWOptions,
  { step, learningRate, gradientNorm }: Readonly<Record<"step" | "learningRate" | "gradientNorm", number>>,
): Scalars {
  return {
    clip: Math.min(1, maxGradientNorm / (gradientNorm + 1e-6)),
    beta1,
    beta2,
    epsilon,
    rootScale: 1 / Math.sqrt(1 - beta2 ** step),
    rate: learningRate / (1 - beta1 ** step),
    decay: learningRate * weightDecay,
  };
}

function scaleUpdate(scalars: Scalars, factor: number): Scalars {
  return { ...scalars, rate: scalars.rate * factor, decay: scalars.decay * factor };
}

/** Parts of the vectors of a state. */
interface Block {
  readonly parameters: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** Moves a block in place, in one pass: there may be hundreds of millions of parameters. */
function moveBlock({ parameters, first, second }: Block, gradient: Float32Array, scalars: Scalars): void {
  const { clip, beta1, beta2, rootScale, epsilon, rate, decay } = scalars;
  for (let index = 0; index < gradient.length; index++) {
    const slope = (gradient[index] ?? 0) * clip;
    const mean = beta1 * (first[index] ?? 0) + (1 - beta1) * slope;
    const square = beta2 * (second[index] ?? 0) + (1 - beta2) * slope * slope;
    const parameter = parameters[index] ?? 0;
    first[index] = mean;
    second[index] = square;
    parameters[index] =
      parameter - ((rate * mean) / (Math.sqrt(square) * rootScale + epsilon) + decay * parameter);
  }
}
