/** What of a model is trained: all of it, or adapters beside weights that stay as they are. */
import { createRandom } from "../base/core/index.ts";
import {
  addAdapters,
  createLayout,
  createLoraLayout,
  createProgramCache,
  createWeights,
  feedParameters,
  initializeLora,
  type LoraOptions,
  type ModelConfig,
  mergeAdapters,
  mergedPrefix,
  type ParameterLayout,
  type Weights,
} from "../engine/model/index.ts";
import type { Cores } from "../engine/parallel/index.ts";
import { compile, requireOutput, type Tensor } from "../engine/tensor/index.ts";

/** Parts of a model that are trained, and how to come from them to the model and back. */
export interface TrainedModel {
  /** Of the vector that is trained. */
  readonly layout: ParameterLayout;
  /** All that objectives are built from, as graph inputs. */
  readonly weights: Weights;
  /** The graph inputs of the layout's blocks. */
  readonly trained: readonly Tensor[];
  /** What else programs are fed with: the weights that stay. */
  readonly frozen: Readonly<Record<string, Float32Array>>;
  /** Parameters in all, those that stay included. */
  readonly numParameters: number;
  /** The vector that training of the model with these parameters starts from. Throws `RangeError` for others than those that adapters are made for. */
  start(parameters: Float32Array): Float32Array;
  /** The model's parameters. The array may be that of the vector: it is read before the next step. */
  merge(vector: Float32Array): Promise<Float32Array>;
  release(): Promise<void>;
}

/** All of a model, or adapters on it where there are options for them. */
export function createTrainedModel(
  config: ModelConfig,
  { lora, cores }: { readonly lora?: AdaptedOptions | undefined; readonly cores: Cores },
): TrainedModel {
  return lora === undefined ? trainWhole(config) : trainAdapters(config, lora, cores);
}

/** All of a model. */
function trainWhole(config: ModelConfig): TrainedModel {
  const layout = createLayout(config);
  const weights = createWeights(layout);
  return {
    layout,
    weights,
    trained: weights.tensors,
    frozen: {},
    numParameters: layout.size,
    start: (parameters) => parameters,
    merge: async (vector) => vector,
    release: async () => undefined,
  };
}

/** Adapters, the parameters beside which they are trained, and what their start is drawn from. */
export interface AdaptedOptions extends LoraOptions {
  readonly parameters: Float32Array;
  readonly seed: number;
}

function trainAdapters(config: ModelConfig, options: AdaptedOptions, cores: Cores): TrainedModel {
  const modelLayout = createLayout(config);
  const layout = createLoraLayout(config, options);
  const adapters = createWeights(layout);
  const weights = addAdapters(createWeights(modelLayout), adapters, options);
  const frozen = feedParameters(modelLayout, options.parameters);
  const programs = createProgramCache((_: object) =>
    compile(mergeAdapters(config, weights), { numThreads: cores.count, keepsMemory: false }),
  );
  return {
    layout,
    weights,
    trained: adapters.tensors,
    frozen,
    numParameters: modelLayout.size + layout.size,
    start: (parameters) => {
      if (parameters !== options.parameters)
        throw new RangeError("Cannot start: the adapters are made for other parameters");
      return initializeLora(layout, createRandom(options.seed, "adapters"));
    },
    merge: async (vector) => {
      const program = await programs.find({});
      const parameters = options.parameters.slice();
      const into = feedParameters(modelLayout, parameters);
      const matrices: Readonly<Record<string, Float32Array>> = await program.run({
        ...frozen,
        ...feedParameters(layout, vector),
      });
      for (const [name, values] of Object.entries(matrices))
        requireOutput(into, name.slice(mergedPrefix.length)).set(values);
      return parameters;
    },
    release: () => programs.release(),
  };
}
