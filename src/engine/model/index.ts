/** Decoders of many families: parameters and tokenizer, generation, and the likelihood of texts. */

export { FullMemoryError } from "../tensor/index.ts";
export {
  appendAnswer,
  chooseRows,
  countAnswerTokens,
  encodeExample,
  measureLength,
  normalize,
  type PackOptions,
  packSequences,
  type RowsBatch,
  type Sequence,
  type TokenBatch,
} from "./batch.ts";
export { hasChatTemplate, type TemplateUse, templateUses, writeChatPrompt } from "./chat-prompt.ts";
export type { ModelConfig } from "./config/model-config.ts";
export { createLlamaConfig } from "./config/new-config.ts";
export { parseModelConfig } from "./config/parse-config.ts";
export { runSequences } from "./decoder/decoder.ts";
export { feedPositions } from "./decoder/positions.ts";
export { createGenerator, type Generator } from "./generation/generate.ts";
export type { Generation, GenerationOptions, GenerationRequest, Policy } from "./generation/policy.ts";
export { greedy, type Sampling } from "./generation/sampling.ts";
export {
  type BatchSize,
  inputRows,
  type ScoredSize,
  type Scores,
  scoreHidden,
  scoreTargets,
} from "./generation/score-targets.ts";
export { createScorer, type Scorer } from "./generation/scorer.ts";
export {
  addAdapters,
  createLoraLayout,
  initializeLora,
  type LoraOptions,
  mergeAdapters,
  mergedPrefix,
} from "./lora.ts";
export {
  checkSize,
  describeModel,
  findChatTemplate,
  loadModel,
  type Model,
  type ModelDescription,
  readParameters,
  type StoredModel,
  saveModel,
} from "./model.ts";
export {
  areFinite,
  collectParameters,
  createLayout,
  createValueHeadLayout,
  createWeights,
  feedParameters,
  initializeParameters,
  initializeValueHead,
  joinLayouts,
  listParameters,
  type ParameterLayout,
  type ParameterSource,
  type Weights,
} from "./parameters.ts";
export { createProgramCache, type ProgramCache } from "./program-cache.ts";
export type { Text } from "./texts/text.ts";
export {
  createTextEngine,
  type TextEngine,
  type TextGroup,
} from "./texts/text-engine.ts";
export { createTextPolicy } from "./texts/text-policy.ts";
export type { ScoredToken } from "./texts/token-scores.ts";
export { createWordTokenizer, parseTokenizer, specialTokens, type Tokenizer } from "./tokenizer.ts";
