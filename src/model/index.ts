/** model: a Llama-style decoder as tensor expressions, its parameters, tokenizer, generation and folder. */
export { describeModelConfig, type ModelConfig, parseModelConfig } from "./config.ts";
export { applyHead, runSequences, type SequencePass, sequencePositions } from "./decoder.ts";
export {
  createGenerator,
  type Generation,
  type GenerationOptions,
  type GenerationRequest,
  type Generator,
  type GeneratorOptions,
} from "./generate.ts";
export { loadModel, type Model, saveModel } from "./model.ts";
export {
  createLayout,
  createValueHeadLayout,
  createWeights,
  feedParameters,
  initializeParameters,
  initializeValueHead,
  joinLayouts,
  type ParameterLayout,
  type Weights,
} from "./parameters.ts";
export { greedy, type Sampling } from "./sampling.ts";
export { createWordTokenizer, parseTokenizer, specialTokens, type Tokenizer } from "./tokenizer.ts";
