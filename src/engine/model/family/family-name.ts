/** The families that the engine runs, by their `model_type` in transformers. */
export const familyNames = [
  "llama",
  "smollm3",
  "mistral",
  "ministral",
  "ministral3",
  "qwen2",
  "qwen3",
  "qwen3_moe",
  "mixtral",
  "gemma2",
  "gemma3_text",
  "phi3",
  "olmo",
  "olmo2",
  "olmo3",
  "granite",
  "gpt_neox",
  "gpt2",
] as const;
/** A family's name. */
export type FamilyName = (typeof familyNames)[number];
