/** model: a Llama-style decoder as tensor expressions, its parameters, tokenizer and generation. */
export { describeModelConfig, type ModelConfig, parseModelConfig } from "./config.ts";
export { applyHead, runSequences, type SequencePass, sequencePositions } from "./decoder.ts";
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
