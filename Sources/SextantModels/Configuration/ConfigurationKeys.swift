import SextantBytes

/// Members of published configurations that no model here reads.
package enum ConfigurationKeys {
  /// Members that cannot change the values that a model computes, for any architecture: names, the
  /// way in which a program stores and runs it, training, and settings of generation.
  ///
  /// Tokens that begin and end texts are not the model's business: conversion reads them elsewhere.
  package static let inert: Set<String> = [
    // Names.
    "_name_or_path", "name_or_path", "_commit_hash", "architectures", "auto_map", "model_type",
    "transformers_version", "tokenizer_class", "prefix", "finetuning_task", "unsloth_version",
    "unsloth_fixed",
    // The way in which a program stores and runs it.
    "torch_dtype", "dtype", "use_cache", "use_bfloat16", "torchscript", "return_dict",
    "output_attentions", "output_hidden_states", "output_scores", "return_dict_in_generate",
    "chunk_size_feed_forward", "gradient_checkpointing", "pretraining_tp", "attn_implementation",
    "_attn_implementation", "_attn_implementation_autoset", "_flash_attn_2_enabled",
    "use_flash_attention_2", "is_decoder", "is_encoder_decoder", "add_cross_attention",
    "cross_attention_hidden_size", "tie_encoder_decoder", "pruned_heads", "tf_legacy_loss",
    "remove_invalid_values", "max_position_embeddings",
    // Training and other tasks.
    "initializer_range", "attention_dropout", "hidden_dropout", "classifier_dropout",
    "attention_dropout_prob", "attention_probs_dropout_prob", "hidden_dropout_prob", "id2label",
    "label2id", "num_labels", "problem_type", "task_specific_params",
    // Tokens and generation.
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id",
    "cls_token_id", "mask_token_id", "decoder_start_token_id", "forced_bos_token_id",
    "forced_eos_token_id", "begin_suppress_tokens", "suppress_tokens", "bad_words_ids",
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
    "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "num_return_sequences",
  ]

  /// Refuses configurations of transformers that give some layers options of their own.
  ///
  /// - Throws: `model.unsupported`.
  static func checkLayersAreAlike(_ config: JSONNode) throws(Refusal) {
    guard let layers = try config.optionalMember("per_layer_config"),
      layers.value != .object(JSONObject())
    else { return }
    throw layers.unsupported(expected: "one configuration for all blocks")
  }
}
