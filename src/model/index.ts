/** model: a Llama-style decoder, its parameters, tokenizer and folder; what it says next, and how it scores texts. */
export {
  appendAnswer,
  encodeExample,
  normalize,
  packSequences,
  type Sequence,
  type TokenBatch,
} from "./batch.ts";
export { hasChatTemplate, type TemplateUse, templateUses, writeChatPrompt } from "./chat-prompt.ts";
export { type ModelConfig, parseModelConfig } from "./config.ts";
export { runSequences, type SequencePass, sequencePositions } from "./decoder.ts";
export {
  createGenerator,
  type Generation,
  type GenerationOptions,
  type GenerationRequest,
  type Generator,
  type GeneratorOptions,
} from "./generate.ts";
export { findChatTemplate, loadModel, type Model, saveModel } from "./model.ts";
export {
  areFinite,
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
export { createProgramCache, type ProgramCache } from "./program-cache.ts";
export { greedy, type Sampling } from "./sampling.ts";
export { type BatchSize, type Scores, scoreTargets } from "./score-targets.ts";
export { createScorer, type Scorer } from "./scorer.ts";
export {
  createTextEngine,
  type NamedParameters,
  type Text,
  type TextEngine,
  type TextGroup,
  type TextRequest,
} from "./text-engine.ts";
export type { ScoredToken, TokenLogProb } from "./token-scores.ts";
export { createWordTokenizer, parseTokenizer, specialTokens, type Tokenizer } from "./tokenizer.ts";
