/**
 * Optimizers as an algebra (after Optax): a transformation turns a gradient into an update and carries its
 * state in named vectors. All work on the flat parameter vector, inside the training step's graph.
 */
import { op, type Tensor } from "../engine/tensor/index.ts";

/** What a transformation sees: vectors of one element per parameter, and numbers fed at every step. */
export interface UpdateContext {
  /** The gradient, or what earlier transformations of the chain made of it. */
  readonly update: Tensor;
  readonly parameters: Tensor;
  /** The state vectors, by name. */
  readonly slots: Readonly<Record<string, Tensor>>;
  /** Scalars, by name (see `StepScalars`). */
  readonly scalars: Readonly<Record<keyof StepScalars, Tensor>>;
}

/** Numbers that change from step to step and are fed to the graph. */
export interface StepScalars {
  readonly learningRate: number;
  /** The step being taken, from 1. */
  readonly step: number;
}

/** A gradient transformation; its state vectors start at 0. */
export interface Transformation {
  readonly slots: readonly string[];
  apply(context: UpdateContext): {
    readonly update: Tensor;
    readonly slots: Readonly<Record<string, Tensor>>;
  };
}

/** Applies the transformations in order. Names of state vectors must differ. */
export function chain(...transformations: readonly Transformation[]): Transformation {
  return {
    slots: transformations.flatMap(({ slots }) => slots),
    apply: (context) => {
      let update = context.update;
      let slots: Readonly<Record<string, Tensor>> = {};
      for (const transformation of transformations) {
        const result = transformation.apply({ ...context, update });
        update = result.update;
        slots = { ...slots, ...result.slots };
      }
      return { update, slots };
    },
  };
}

/** The Euclidean norm of a vector, as one element. */
export function globalNorm(vector: Tensor): Tensor {
  const row = op.reshape(vector, [1, vector.shape[0] ?? 0]);
  return op.reshape(op.sqrt(op.matmul(row, row, { transposeRight: true })), [1]);
}

/** g · min(1, maxNorm / (‖g‖ + 1e-6)), as PyTorch's clip_grad_norm_ (Pascanu et al. 2013). */
export function clipByGlobalNorm(maxNorm: number): Transformation {
  return {
    slots: [],
    apply: ({ update }) => {
      const factor = op.minimum(op.divide(maxNorm, op.add(globalNorm(update), 1e-6)), op.constant([1], [1]));
      return { update: op.multiply(update, factor), slots: {} };
    },
  };
}

/** Decay rates of Adam's moments and the constant in its denominator. */
export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** m̂ / (√v̂ + ε) with bias-corrected moments (Adam, Kingma & Ba 2015). */
export function scaleByAdam({ beta1, beta2, epsilon }: AdamOptions): Transformation {
  const moving = (before: Tensor, now: Tensor, beta: number): Tensor =>
    op.add(op.multiply(before, beta), op.multiply(now, 1 - beta));
  // 1 − βᵗ = 1 − e^(t ln β)
  const correction = (step: Tensor, beta: number): Tensor =>
    op.subtract(1, op.exp(op.multiply(step, Math.log(beta))));
  return {
    slots: ["firstMoment", "secondMoment"],
    apply: ({ update, slots: before, scalars: { step } }) => {
      const first = moving(readSlot(before, "firstMoment"), update, beta1);
      const second = moving(readSlot(before, "secondMoment"), op.multiply(update, update), beta2);
      const firstScale = op.reciprocal(correction(step, beta1));
      const rootScale = op.sqrt(op.reciprocal(correction(step, beta2)));
      const denominator = op.add(op.multiply(op.sqrt(second), rootScale), epsilon);
      const slots = { firstMoment: first, secondMoment: second };
      return { update: op.multiply(op.divide(first, denominator), firstScale), slots };
    },
  };
}

function readSlot(slots: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const slot = slots[name];
  if (slot === undefined) throw new RangeError(`Cannot find the optimizer state "${name}"`);
  return slot;
}

/** update + weightDecay · parameters (decoupled weight decay, Loshchilov & Hutter 2019). */
export function addDecayedWeights(weightDecay: number): Transformation {
  return {
    slots: [],
    apply: ({ update, parameters }) => ({
      update: weightDecay === 0 ? update : op.add(update, op.multiply(parameters, weightDecay)),
      slots: {},
    }),
  };
}

/** −learningRate · update: the direction to move in. */
export function scaleByLearningRate(): Transformation {
  return {
    slots: [],
    apply: ({ update, scalars }) => ({
      update: op.multiply(update, op.negate(scalars.learningRate)),
      slots: {},
    }),
  };
}

/** Settings of AdamW with gradient clipping. */
export interface AdamWOptions extends AdamOptions {
  readonly weightDecay: number;
  readonly maxGradientNorm: number;
}

/** Clipping, Adam, decoupled weight decay on every parameter, learning rate: torch.optim.AdamW's update. */
export function adamW(options: AdamWOptions): Transformation {
  return chain(
    clipByGlobalNorm(options.maxGradientNorm),
    scaleByAdam(options),
    addDecayedWeights(options.weightDecay),
    scaleByLearningRate(),
  );
}
