/** Fields of a `config.json` that change nothing that is computed here: how it was saved and trained, how answers are chosen, what it is called. */

/** How it was saved, by what, and what it is called. */
const ofSaving = `
  transformers_version transformers.js_config model_type name_or_path auto_map auto_class dtype torch_dtype
  params_dtype save_dtype license tags task_specific_params custom_pipelines unsloth_version unsloth_fixed
  unsloth_training_args training_args trl_version peft_version mergekit_version model_id base_model
  finetuning_task problem_type language revision id2label label2id num_labels tokenizer_class prefix
  processor_class image_processor_type
`;

/** What matters in training only, and how others compute. */
const ofTraining = `
  attention_dropout hidden_dropout hidden_dropout_prob attention_probs_dropout_prob classifier_dropout
  embd_pdrop attn_pdrop resid_pdrop embedding_dropout residual_dropout ffn_dropout dropout
  initializer_range initializer_factor init_std embed_init_std init_method_std initializer_scale
  router_aux_loss_coef router_jitter_noise output_router_logits aux_loss_alpha z_loss_coefficient
  gradient_checkpointing pretraining_tp tensor_parallel max_grad_norm layerdrop label_smoothing
  use_flash_attn use_flash_attention use_flash_attention_2 flash_attn flash_attention use_sdpa fused_mlp
  fused_qkv fused_rms_norm use_fused_rms_norm use_fused_cross_entropy use_liger_kernel attn_implementation
  attention_implementation experts_implementation is_llama_config neftune_noise_alpha use_unpadded_loss
  ignore_index
`;

/** How answers are chosen, and lengths that limit nothing. */
const ofGeneration = `
  use_cache do_sample temperature top_k top_p min_p typical_p top_h epsilon_cutoff eta_cutoff max_length
  min_length max_new_tokens min_new_tokens num_beams num_beam_groups diversity_penalty length_penalty
  early_stopping repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size
  encoder_repetition_penalty exponential_decay_length_penalty bad_words_ids suppress_tokens
  begin_suppress_tokens forced_bos_token_id forced_eos_token_id decoder_start_token_id num_return_sequences
  output_scores remove_invalid_values return_dict_in_generate output_attentions output_hidden_states
  return_dict use_return_dict assistant_confidence_threshold assistant_lookbehind target_lookbehind
  num_assistant_tokens num_assistant_tokens_schedule cache_implementation renormalize_logits penalty_alpha
  low_memory bos_token_id sep_token_id cls_token_id unk_token_id mask_token_id chunk_size_feed_forward
  max_window_size max_sequence_length model_max_length seq_length tokenizer_model_max_length user_token_id
  assistant_token_id system_token_id use_mtp chat_template
`;

/** Of other uses of the same model. */
const ofOtherHeads = `
  summary_type summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout is_decoder
  cross_attention_hidden_size torchscript tie_encoder_decoder use_bfloat16 tf_legacy_loss
`;

const harmless: ReadonlySet<string> = new Set(
  [ofSaving, ofTraining, ofGeneration, ofOtherHeads].flatMap((names) => names.trim().split(/\s+/)),
);

/** Whether a field changes nothing that is computed here; those that begin with "_" are the libraries' own notes. */
export function isHarmless(name: string): boolean {
  return name.startsWith("_") || harmless.has(name);
}
