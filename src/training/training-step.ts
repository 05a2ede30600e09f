/** One training step as one program: forward, backward, clipping and the optimizer in a single run. */
import { requireItem } from "../base/core/index.ts";
import { feedParameters, type ParameterLayout, type Weights } from "../engine/model/index.ts";
import {
  type CompileOptions,
  compile,
  gradients,
  op,
  type Program,
  requireOutput,
  type Tensor,
  type TensorData,
} from "../engine/tensor/index.ts";
import { globalNorm, type Transformation } from "./optimizer.ts";

/** All that training is: saving it is resuming it. */
export interface TrainingState {
  /** Steps taken. */
  readonly step: number;
  /** The flat parameter vector. */
  readonly parameters: Float32Array;
  /** The optimizer's vectors, by name. */
  readonly slots: Readonly<Record<string, Float32Array>>;
}

/** A state at step 0 with an optimizer that has seen nothing. */
export function startTraining(parameters: Float32Array, optimizer: Transformation): TrainingState {
  const slots = optimizer.slots.map((name) => [name, new Float32Array(parameters.length)]);
  return { step: 0, parameters, slots: Object.fromEntries(slots) };
}

/** What to minimize, and what else to report of the same pass. */
export interface Objective {
  /** One element. */
  readonly loss: Tensor;
  /** Further outputs, by name. */
  readonly metrics: Readonly<Record<string, Tensor>>;
}

/** What a step gives beside the new state; arrays are the objective's metrics. */
export interface StepResult {
  readonly state: TrainingState;
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly gradientNorm: number;
  readonly metrics: Readonly<Record<string, Float32Array>>;
}

/** A compiled training step: (state, batch) → (state, metrics). */
export interface TrainingStep {
  run(
    state: TrainingState,
    feeds: Readonly<Record<string, TensorData>>,
    learningRate: number,
  ): Promise<StepResult>;
  release(): Promise<void>;
}

/** What a training step is made of. */
export interface TrainingStepParts {
  readonly layout: ParameterLayout;
  /** The graph inputs of the layout's blocks that the objective was built from. */
  readonly weights: Weights;
  readonly objective: Objective;
  readonly optimizer: Transformation;
  /** Factor on the update of each parameter, in the order of the flat vector (default 1 everywhere). */
  readonly updateScale?: Float32Array;
}

/** Compiles the step. The parameters must be finite; the result is exact for the same state and feeds. */
export async function compileTrainingStep(
  { layout, weights, objective, optimizer, updateScale }: TrainingStepParts,
  options: CompileOptions,
): Promise<TrainingStep> {
  const vector = (name: string): Tensor => op.input(name, [layout.size]);
  const gradient = op.concatenate(
    gradients(objective.loss, weights.tensors).map((block) =>
      op.reshape(block, [block.shape.reduce((a, b) => a * b, 1)]),
    ),
    0,
  );
  const parameters = vector("parameters");
  const slots = Object.fromEntries(optimizer.slots.map((name) => [name, vector(name)]));
  const scalars = { learningRate: op.input("learningRate", [1]), step: op.input("step", [1]) };
  const { update, slots: newSlots } = optimizer.apply({ update: gradient, parameters, slots, scalars });
  const scaled =
    updateScale === undefined ? update : op.multiply(update, op.constant([layout.size], updateScale));
  const program = await compile(
    {
      ...prefixKeys(objective.metrics, "metric."),
      ...prefixKeys(newSlots, "new."),
      newParameters: op.add(parameters, scaled),
      loss: objective.loss,
      gradientNorm: globalNorm(gradient),
    },
    { ...options, waitsActively: true },
  );
  return { run: createRunner(program, { layout, optimizer }), release: () => program.release() };
}

function createRunner(
  program: Program,
  { layout, optimizer }: Pick<TrainingStepParts, "layout" | "optimizer">,
): TrainingStep["run"] {
  return async (state, feeds, learningRate) => {
    const step = state.step + 1;
    const results = await program.run({
      ...feeds,
      ...feedParameters(layout, state.parameters),
      ...state.slots,
      parameters: state.parameters,
      learningRate: Float32Array.of(learningRate),
      step: Float32Array.of(step),
    });
    const read = (name: string): Float32Array => requireOutput(results, name);
    const slots = Object.fromEntries(optimizer.slots.map((name) => [name, read(`new.${name}`)]));
    const metrics = Object.keys(results).filter((name) => name.startsWith("metric."));
    return {
      state: { step, parameters: read("newParameters"), slots },
      loss: requireItem(read("loss"), 0),
      gradientNorm: requireItem(read("gradientNorm"), 0),
      metrics: Object.fromEntries(metrics.map((name) => [name.slice("metric.".length), read(name)])),
    };
  };
}

function prefixKeys(tensors: Readonly<Record<string, Tensor>>, prefix: string): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]));
}
