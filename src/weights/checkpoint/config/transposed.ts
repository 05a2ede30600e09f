/** Which architectures store matrices with inputs as rows, where nothing but the model's type tells it. */

/** Whether its linear layers are stored so (Conv1D). */
export function hasConv1D(modelType: unknown): boolean {
  return (
    typeof modelType === "string" &&
    ["gpt2", "openai-gpt", "imagegpt", "decision_transformer"].includes(modelType)
  );
}

/** Whether its packed experts are stored so. */
export function packsTransposed(modelType: string): boolean {
  return /^(?:gpt_oss|llama4|aria|qwen3_vl_moe|openai_privacy_filter)/.test(modelType);
}
