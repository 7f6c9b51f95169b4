//! Table of the fields in `config.json`: whether each is applied, ignored or refused.

use serde_json::{Map, Value};

use super::entry::Entry;
use super::rule::{Check, Rule, entries, find, refusals};
use crate::error::Error;

/// Differences between the `config.json` fields of a model family and those of BERT.
pub(crate) struct FamilyFields {
    /// Renamed fields, as pairs of BERT's name and the family's name.
    pub(crate) renamed: &'static [(&'static str, &'static str)],
    /// BERT's fields that the family does not have.
    pub(crate) absent: &'static [&'static str],
    /// Rules for fields that only this family has. They take precedence over the rules for BERT's fields.
    pub(crate) rules: &'static [Rule],
}

/// BERT's names of fields that other families rename, and that `transformers` also accepts under BERT's names.
pub(crate) const ALIASES: &[&str] = &["hidden_size", "num_hidden_layers", "num_attention_heads"];

const ALIAS: Rule = Rule::new(Check::Obeyed, "the shape, by another name", ALIASES);

impl FamilyFields {
    /// Finds the rule for a field by its name in `config.json`. Also returns this name as a static string.
    fn find(&self, field: &str) -> Option<(&'static Rule, &'static str)> {
        if let Some(rule) = find(self.rules, field) {
            return Some(rule);
        }
        if let Some((ours, theirs)) = self.renamed.iter().find(|(_, theirs)| *theirs == field) {
            return find(FIELDS, ours).map(|(rule, _)| (rule, *theirs));
        }
        if self.renamed.iter().any(|(ours, _)| *ours == field) {
            return find(std::slice::from_ref(&ALIAS), field);
        }
        find(FIELDS, field).filter(|(_, name)| !self.absent.contains(name))
    }
}

/// Rules for the fields that `transformers` 5 reads from `config.json`, and for fields that earlier releases and other
/// programs write.
const FIELDS: &[Rule] = &[
    Rule::new(Check::Obeyed, "the family", &["model_type"]),
    Rule::new(Check::Obeyed, "the class: only sequence classifiers are used as classifiers", &["architectures"]),
    Rule::new(
        Check::Obeyed,
        "the shape",
        &[
            "vocab_size",
            "max_position_embeddings",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "type_vocab_size",
        ],
    ),
    Rule::new(Check::Obeyed, "the non-linearity", &["hidden_act"]),
    Rule::new(Check::Obeyed, "ε of the layer norms", &["layer_norm_eps"]),
    Rule::new(Check::Obeyed, "training alone", &["hidden_dropout_prob", "attention_probs_dropout_prob"]),
    Rule::new(Check::Obeyed, "training alone: fresh weights", &["initializer_range"]),
    Rule::new(Check::Harmless, "no padding is computed", &["pad_token_id"]),
    Rule::new(Check::Obeyed, "the classes", &["id2label", "label2id", "num_labels"]),
    Rule::new(
        Check::Only(&["single_label_classification", "multi_label_classification", "regression"]),
        "the task",
        &["problem_type"],
    ),
    Rule::new(Check::Obeyed, "the tokenizer's class, where tokenizer_config.json names none", &["tokenizer_class"]),
    Rule::new(
        Check::Obeyed,
        "a field of this project",
        &["classifier_pooling", "kept_heads", "kept_neurons", "kept_dimensions"],
    ),
    // Fields that are refused if they are set.
    Rule::new(
        Check::Only(&["absolute"]),
        "positions relative to each other are not computed (transformers 5 ignores them too)",
        &["position_embedding_type"],
    ),
    Rule::new(
        Check::Empty,
        "a decoder sees no later token, and is not computed",
        &["is_decoder", "is_encoder_decoder", "add_cross_attention", "cross_attention_hidden_size"],
    ),
    Rule::new(
        Check::Empty,
        "the tensors must have all heads: save the model again without the pruned ones in `config.json`",
        &["pruned_heads"],
    ),
    Rule::new(
        Check::Empty,
        "quantized weights are not read: save the model again in float32",
        &["quantization_config", "compression_config", "quantization"],
    ),
    Rule::new(Check::Empty, "layers that differ from each other are not computed", &["per_layer_config"]),
    Rule::new(Check::Empty, "rotary positions are not computed", &["rope_parameters", "rope_scaling", "rope_theta"]),
    Rule::new(Check::Empty, "local attention is not computed", &["layer_types", "sliding_window", "attention_window"]),
    Rule::new(Check::Empty, "weights of adapters are not read: merge them into the model", &["peft_config"]),
    Rule::new(Check::Empty, "fields under other names are not read", &["attribute_map"]),
    Rule::new(Check::Empty, "configurations of other releases are not read", &["configuration_files"]),
    Rule::new(Check::Empty, "code in a directory is never run, and may compute another model", &["auto_map"]),
    // Fields that are known to have no effect on outputs.
    Rule::new(Check::Harmless, "training alone", &["classifier_dropout", "gradient_checkpointing", "head_dropout"]),
    Rule::new(
        Check::Harmless,
        "the weights may be of any floating-point type and products are in float32, where transformers 5 computes in this type",
        &["dtype", "torch_dtype", "use_bfloat16"],
    ),
    Rule::new(
        Check::Harmless,
        "the same numbers, computed in parts",
        &["chunk_size_feed_forward", "attn_implementation", "_attn_implementation", "_attn_implementation_autoset"],
    ),
    Rule::new(
        Check::Harmless,
        "ties concern a head over the vocabulary",
        &["tie_word_embeddings", "tie_encoder_decoder", "tie_weights_", "tie_last_hidden_states"],
    ),
    Rule::new(
        Check::Harmless,
        "numbers of tokens that the tokenizer gives",
        &["bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "unk_token_id"],
    ),
    Rule::new(
        Check::Harmless,
        "the form of an answer in Python",
        &["output_hidden_states", "output_attentions", "output_past", "return_dict", "torchscript", "use_cache"],
    ),
    Rule::new(
        Check::Harmless,
        "a note",
        &[
            "_name_or_path",
            "name_or_path",
            "_commit_hash",
            "transformers_version",
            "finetuning_task",
            "task_specific_params",
            "_num_labels",
            "language",
            "name",
            "sentence_transformers",
            "directionality",
            "pooler_fc_size",
            "pooler_num_attention_heads",
            "pooler_num_fc_layers",
            "pooler_size_per_head",
            "pooler_type",
            "tf_legacy_loss",
            "experts_implementation",
        ],
    ),
    Rule::new(
        Check::Harmless,
        "sentence-transformers applies it to the outputs; transformers does not",
        &["sbert_ce_default_activation_function"],
    ),
    Rule::new(
        Check::Harmless,
        "generation alone",
        &[
            "max_length",
            "min_length",
            "do_sample",
            "early_stopping",
            "num_beams",
            "num_beam_groups",
            "temperature",
            "top_k",
            "top_p",
            "typical_p",
            "repetition_penalty",
            "length_penalty",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "bad_words_ids",
            "num_return_sequences",
            "output_scores",
            "return_dict_in_generate",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "remove_invalid_values",
            "exponential_decay_length_penalty",
            "suppress_tokens",
            "begin_suppress_tokens",
            "diversity_penalty",
            "decoder_start_token_id",
            "prefix",
        ],
    ),
];

/// Creates an account entry (name, treatment and reason) for each field of a `config.json`.
pub(crate) fn config_entries(family: &FamilyFields, fields: &Map<String, Value>) -> Vec<Entry> {
    entries(|field| family.find(field), "config.json", fields)
}

/// Creates an [`Error::Argument`] for each field of a `config.json` that prevents loading.
pub(crate) fn config_refusals(family: &FamilyFields, fields: &Map<String, Value>) -> Vec<Error> {
    refusals(|field| family.find(field), fields)
}
