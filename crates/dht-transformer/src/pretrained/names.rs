//! Names and shapes of the tensors that a model requires.

use crate::config::BertConfig;
use crate::error::WeightsProblem;

const NAMES_IN_ERRORS: usize = 8;

pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

/// Tensors that an encoder requires, in the order of computation, under the names that they have in BERT.
fn expected(config: &BertConfig) -> Vec<Expected> {
    let (hidden, middle) = (config.hidden_size, config.intermediate_size);
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| all.push(Expected { name, shape: shape.to_vec() });
    add("embeddings.word_embeddings.weight".into(), &[config.vocab_size, hidden]);
    add("embeddings.position_embeddings.weight".into(), &[config.max_position_embeddings, hidden]);
    if config.family.has_token_types() {
        add("embeddings.token_type_embeddings.weight".into(), &[config.type_vocab_size, hidden]);
    }
    add("embeddings.LayerNorm.weight".into(), &[hidden]);
    add("embeddings.LayerNorm.bias".into(), &[hidden]);
    if let Some(buckets) = config.family.relative_buckets() {
        add("encoder.relative_attention_bias.weight".into(), &[buckets, config.num_attention_heads]);
    }
    for layer in 0..config.num_hidden_layers {
        for (part, output, input) in [
            ("attention.self.query", hidden, Some(hidden)),
            ("attention.self.key", hidden, Some(hidden)),
            ("attention.self.value", hidden, Some(hidden)),
            ("attention.output.dense", hidden, Some(hidden)),
            ("attention.output.LayerNorm", hidden, None),
            ("intermediate.dense", middle, Some(hidden)),
            ("output.dense", hidden, Some(middle)),
            ("output.LayerNorm", hidden, None),
        ] {
            let shape: Vec<usize> = [output].into_iter().chain(input).collect();
            add(format!("encoder.layer.{layer}.{part}.weight"), &shape);
            add(format!("encoder.layer.{layer}.{part}.bias"), &[output]);
        }
    }
    all
}

/// Tensors of the optional parts of a model: pooler, classifier, and head for masked language modelling. `classes` is
/// the number of classes in the file.
fn optional(config: &BertConfig, classes: usize) -> [Vec<Expected>; 3] {
    let (hidden, words) = (config.hidden_size, config.vocab_size);
    let group = |tensors: &[(&str, &[usize])]| {
        tensors.iter().map(|(name, shape)| Expected { name: (*name).into(), shape: shape.to_vec() }).collect()
    };
    [
        group(&[("pooler.dense.weight", &[hidden, hidden]), ("pooler.dense.bias", &[hidden])]),
        group(&[("classifier.weight", &[classes, hidden]), ("classifier.bias", &[classes])]),
        group(&[
            ("cls.predictions.transform.dense.weight", &[hidden, hidden]),
            ("cls.predictions.transform.dense.bias", &[hidden]),
            ("cls.predictions.transform.LayerNorm.weight", &[hidden]),
            ("cls.predictions.transform.LayerNorm.bias", &[hidden]),
            ("cls.predictions.bias", &[words]),
        ]),
    ]
}

/// Returns the tensors of a model with their shapes: those that an encoder requires, and the optional tensors that are
/// present. Missing required tensors are not returned; the second value names them. `shape_of` looks up the shape of a
/// tensor that is present.
pub(crate) fn model_tensors(
    config: &BertConfig,
    shape_of: impl Fn(&str) -> Option<Vec<usize>>,
) -> (Vec<Expected>, Option<WeightsProblem>) {
    let mut tensors = expected(config);
    let shape = shape_of("classifier.bias").or_else(|| shape_of("classifier.weight"));
    let classes = shape.and_then(|shape| shape.first().copied()).unwrap_or(0);
    let [pooler, classifier, language] = optional(config, classes);
    let there = |expected: &Expected| shape_of(&expected.name).is_some();
    // A weight without its bias, or the reverse, lacks the other.
    for group in [pooler, classifier] {
        if group.iter().any(there) {
            tensors.extend(group);
        }
    }
    // Old fine-tuned models contain parts of a pre-training head.
    if language.iter().all(there) {
        tensors.extend(language);
    }
    let missing: Vec<&str> =
        tensors.iter().map(|expected| expected.name.as_str()).filter(|name| shape_of(name).is_none()).collect();
    if missing.is_empty() {
        return (tensors, None);
    }
    let mut names = missing[..missing.len().min(NAMES_IN_ERRORS)].join(", ");
    if missing.len() > NAMES_IN_ERRORS {
        names += &format!(" and {} more", missing.len() - NAMES_IN_ERRORS);
    }
    tensors.retain(|expected| shape_of(&expected.name).is_some());
    (tensors, Some(WeightsProblem::Missing { names }))
}
