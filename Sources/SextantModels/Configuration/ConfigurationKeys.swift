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
    "use_flash_attention_2", "is_decoder", "tf_legacy_loss",
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

  /// Members that are inert if they are false, and say something about the model otherwise.
  private static let switches: Set<String> = [
    "is_encoder_decoder", "add_cross_attention", "tie_encoder_decoder",
  ]

  /// The inert members of a configuration.
  package static func inert(in config: JSONNode) -> Set<String> {
    guard case .object(let object) = config.value else { return inert }
    return inert.union(switches.filter { object[$0] == false })
  }

  /// Refuses configurations whose members change what every model computes, and that no model here supports:
  /// options of single layers, attention to later tokens, and heads that were removed.
  ///
  /// - Throws: `model.unsupported`, and the node's code for a value of another type.
  static func checkComputation(_ config: JSONNode) throws(Refusal) {
    try checkLayersAreAlike(config)
    try config.require("use_bidirectional_attention", toBe: false)
    try config.require("is_causal", toBe: true)
    guard let heads = try config.optionalMember("pruned_heads"),
      ![[], .object(JSONObject())].contains(heads.value)
    else { return }
    throw heads.unsupported(expected: "no removed heads")
  }

  /// Refuses configurations of transformers that give some layers options of their own.
  ///
  /// - Throws: `model.unsupported`.
  private static func checkLayersAreAlike(_ config: JSONNode) throws(Refusal) {
    guard let layers = try config.optionalMember("per_layer_config"),
      layers.value != .object(JSONObject())
    else { return }
    throw layers.unsupported(expected: "one configuration for all blocks")
  }
}
