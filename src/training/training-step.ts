/** One training step: forward and backward pass in one program, over the parts of a batch, then the optimizer. */
import { requireItem } from "../base/core/index.ts";
import { feedParameters, type ParameterLayout } from "../engine/model/index.ts";
import { type Cores, createSummedProgram, type Feeds } from "../engine/parallel/index.ts";
import { gradients, requireOutput, type Tensor } from "../engine/tensor/index.ts";
import type { Optimizer, TrainingState } from "./optimizer.ts";
import type { TrainedModel } from "./trained-model.ts";

/** What to minimize, and what else to report of the same pass: sums over rows, so that those of a batch's parts add up to the whole. */
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

/** A compiled training step: (state, parts of a batch) → (state, metrics). The state that it is given is used up: its vectors become those of the result. */
export interface TrainingStep {
  run(state: TrainingState, parts: readonly Feeds[], learningRate: number): Promise<StepResult>;
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
  readonly model: Pick<TrainedModel, "layout" | "trained" | "frozen" | "numParameters">;
  readonly objective: Objective;
  readonly optimizer: Optimizer;
  readonly buffer: GradientBuffer;
  /** Factors on the updates of the layout's blocks (default 1 for each). */
  readonly updateFactors?: readonly number[];
}

/** Compiles the step. The parameters must be finite; the result is exact for the same state and feeds. */
export async function compileTrainingStep(
  { model, objective, optimizer, buffer, updateFactors }: TrainingStepParts,
  cores: Cores,
): Promise<TrainingStep> {
  const { layout, trained, frozen, numParameters } = model;
  const blocks = gradients(objective.loss, trained);
  const outputs = Object.fromEntries(blocks.map((block, index) => [`gradient.${index}`, block]));
  const program = await createSummedProgram(
    { ...prefixKeys(objective.metrics, "metric."), ...outputs, loss: objective.loss },
    { cores, numParameters },
  );
  return {
    run: async (before, parts, learningRate) => {
      const gradient = buffer.take();
      const into = Object.fromEntries(gradient.map((block, index) => [`gradient.${index}`, block]));
      const results = await program.run(
        parts,
        { ...frozen, ...feedParameters(layout, before.parameters) },
        into,
      );
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
