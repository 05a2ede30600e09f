/** One training step: forward and backward pass in one program, then the optimizer. */
import { requireItem } from "../base/core/index.ts";
import { feedParameters, type ParameterLayout, type Weights } from "../engine/model/index.ts";
import {
  type CompileOptions,
  compile,
  gradients,
  requireOutput,
  type Tensor,
  type TensorData,
} from "../engine/tensor/index.ts";
import type { Optimizer, TrainingState } from "./optimizer.ts";

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

/** A compiled training step: (state, batch) → (state, metrics). The state that it is given is used up: its vectors become those of the result. */
export interface TrainingStep {
  run(
    state: TrainingState,
    feeds: Readonly<Record<string, TensorData>>,
    learningRate: number,
  ): Promise<StepResult>;
  release(): Promise<void>;
}

/** A flat vector for the gradient of a layout, which the programs of a trainer take turns in; made at its first use. */
export interface GradientBuffer {
  /** Its blocks, in the order of the layout. */
  take(): readonly Float32Array[];
}

/** Creates a buffer. */
export function createGradientBuffer(layout: ParameterLayout): GradientBuffer {
  let blocks: readonly Float32Array[] | undefined;
  return {
    take: () => {
      blocks ??= Object.values(feedParameters(layout, new Float32Array(layout.size)));
      return blocks;
    },
  };
}

/** What a training step is made of. */
export interface TrainingStepParts {
  readonly layout: ParameterLayout;
  /** The graph inputs of the layout's blocks that the objective was built from. */
  readonly weights: Weights;
  readonly objective: Objective;
  readonly optimizer: Optimizer;
  readonly buffer: GradientBuffer;
  /** Factors on the updates of the layout's blocks (default 1 for each). */
  readonly updateFactors?: readonly number[];
}

/** Of a model as large, a step takes gigabytes. It would keep them twice: as its first run took them, and as the next ones do. */
const manyParameters = 2 ** 24;

/** Compiles the step. The parameters must be finite; the result is exact for the same state and feeds. */
export async function compileTrainingStep(
  { layout, weights, objective, optimizer, buffer, updateFactors }: TrainingStepParts,
  options: CompileOptions,
): Promise<TrainingStep> {
  const blocks = gradients(objective.loss, weights.tensors);
  const outputs = Object.fromEntries(blocks.map((block, index) => [`gradient.${index}`, block]));
  const program = await compile(
    { ...prefixKeys(objective.metrics, "metric."), ...outputs, loss: objective.loss },
    { ...options, waitsActively: true, keepsMemory: layout.size < manyParameters },
  );
  return {
    run: async (before, feeds, learningRate) => {
      const gradient = buffer.take();
      const into = Object.fromEntries(gradient.map((block, index) => [`gradient.${index}`, block]));
      const results = await program.run({ ...feeds, ...feedParameters(layout, before.parameters) }, into);
      const moved = optimizer.apply(before, gradient, { learningRate, updateFactors });
      const metrics = Object.keys(results).filter((name) => name.startsWith("metric."));
      return {
        ...moved,
        loss: requireItem(requireOutput(results, "loss"), 0),
        metrics: Object.fromEntries(
          metrics.map((name) => [name.slice("metric.".length), requireOutput(results, name)]),
        ),
      };
    },
    release: () => program.release(),
  };
}

function prefixKeys(tensors: Readonly<Record<string, Tensor>>, prefix: string): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]));
}
