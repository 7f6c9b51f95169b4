//! Treatment of the unused tensors in a weight file: ignored or refused.

use super::entry::Treatment;

/// Known tensors that do not affect a classifier: each item is a part of their names, and the reason why they are
/// ignored.
const UNUSED: &[(&str, &str)] = &[
    ("position_ids", "numbers of positions, which are counted anew"),
    ("embeddings.token_type_ids", "types of tokens, which come from the tokenizer"),
    ("cls.predictions.", "the head of pre-training on masked tokens"),
    ("cls.seq_relationship.", "the head of pre-training on pairs of sentences"),
    ("lm_head.", "the head of pre-training on masked tokens"),
    ("vocab_transform.", "the head of pre-training on masked tokens"),
    ("vocab_layer_norm.", "the head of pre-training on masked tokens"),
    ("vocab_projector.", "the head of pre-training on masked tokens"),
    ("pooler.dense.", "a pooler that the classifier has no use for"),
    ("pre_classifier.", "the dense layer of a classifier's head"),
    ("classifier.", "the head of a classifier, which a training run replaces"),
    ("qa_outputs.", "the head of a model that marks answers in texts"),
];

/// Known tensors that prevent loading: each item is a part of their names, and the reason. Such tensors would change
/// the encoder in a way that this crate does not compute.
const REFUSED: &[(&str, &str)] = &[
    ("lora_", "a weight of an adapter: merge it into the model"),
    ("adapter", "a weight of an adapter: merge it into the model"),
    ("prompt_", "a weight of an adapter: merge it into the model"),
    ("prefix_tuning", "a weight of an adapter: merge it into the model"),
    (".base_layer.", "a weight of a model with an adapter: merge the adapter into the model"),
    ("distance_embedding", "positions relative to each other, which are not computed"),
    ("crossattention", "attention of a decoder, which is not computed"),
    (".SCB", "the scale of a quantized weight: save the model again in float32"),
    (".qweight", "a quantized weight: save the model again in float32"),
    (".weight_scale", "the scale of a quantized weight: save the model again in float32"),
    (".absmax", "the scale of a quantized weight: save the model again in float32"),
    (".quant_state", "the state of a quantized weight: save the model again in float32"),
    (".parametrizations.", "a parametrized weight: save the model again with plain weights"),
];

/// Prefixes of the tensor names in an encoder.
const ENCODER: [&str; 3] = ["encoder.", "embeddings.", "transformer."];

/// Decides how an unused tensor is treated, and why. `name` must not have the prefix of the model family.
pub(crate) fn unused_tensor(name: &str) -> (Treatment, &'static str) {
    let inside = |part: &&(&str, &str)| name.contains(part.0);
    if let Some((_, reason)) = REFUSED.iter().find(inside) {
        return (Treatment::Refused, reason);
    }
    if let Some((_, reason)) = UNUSED.iter().find(inside) {
        return (Treatment::Harmless, reason);
    }
    if ENCODER.iter().any(|start| name.starts_with(start)) {
        return (Treatment::Refused, "a part of the encoder that its configuration does not have");
    }
    (Treatment::Unknown, "no tensor of this model")
}
