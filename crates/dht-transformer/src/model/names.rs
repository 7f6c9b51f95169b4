//! Tensor names in Hugging Face's files and in this crate. They differ only for Q, K and V, which are one matrix in
//! this crate.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::config::BertConfig;
use crate::error::{Error, Result};

pub(crate) const WORD: &str = "embeddings.word_embeddings.weight";
pub(crate) const POSITION: &str = "embeddings.position_embeddings.weight";
pub(crate) const TOKEN_TYPE: &str = "embeddings.token_type_embeddings.weight";
pub(crate) const EMBEDDING_SCALE: &str = "embeddings.LayerNorm.weight";
pub(crate) const EMBEDDING_SHIFT: &str = "embeddings.LayerNorm.bias";

/// Name of the table of relative-position biases, which only some model families have.
pub(crate) const RELATIVE_BIAS: &str = "encoder.relative_attention_bias.weight";

/// Name of the weight in which a layer packs Q, K and V. The name of a layer's tensor has the prefix
/// `encoder.layer.{i}.` for layer i.
pub(crate) const QKV: &str = "attention.self.qkv.weight";
pub(crate) const QKV_BIAS: &str = "attention.self.qkv.bias";
pub(crate) const OUTPUT: &str = "attention.output.dense.weight";
pub(crate) const OUTPUT_BIAS: &str = "attention.output.dense.bias";
pub(crate) const ATTENTION_SCALE: &str = "attention.output.LayerNorm.weight";
pub(crate) const ATTENTION_SHIFT: &str = "attention.output.LayerNorm.bias";
pub(crate) const UP: &str = "intermediate.dense.weight";
pub(crate) const UP_BIAS: &str = "intermediate.dense.bias";
pub(crate) const DOWN: &str = "output.dense.weight";
pub(crate) const DOWN_BIAS: &str = "output.dense.bias";
pub(crate) const FEED_FORWARD_SCALE: &str = "output.LayerNorm.weight";
pub(crate) const FEED_FORWARD_SHIFT: &str = "output.LayerNorm.bias";

const LAYER_TENSORS: [&str; 12] = [
    QKV,
    QKV_BIAS,
    OUTPUT,
    OUTPUT_BIAS,
    ATTENTION_SCALE,
    ATTENTION_SHIFT,
    UP,
    UP_BIAS,
    DOWN,
    DOWN_BIAS,
    FEED_FORWARD_SCALE,
    FEED_FORWARD_SHIFT,
];

pub(crate) fn of_layer(layer: usize, tensor: &str) -> String {
    format!("encoder.layer.{layer}.{tensor}")
}

/// Splits the full name of a tensor into the layer number and the name within the layer. Returns `None` for a tensor
/// that is not part of a layer.
pub(crate) fn in_layer(name: &str) -> Option<(usize, &str)> {
    let (layer, tensor) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
    Some((layer.parse().ok()?, tensor))
}

/// Names of all tensors of an encoder in this crate, from the embeddings to the last layer.
pub(crate) fn all(config: &BertConfig) -> Vec<String> {
    let token_type = config.family.has_token_types().then_some(TOKEN_TYPE);
    let embeddings = [WORD, POSITION].into_iter().chain(token_type).chain([EMBEDDING_SCALE, EMBEDDING_SHIFT]);
    let layers = (0..config.num_hidden_layers).flat_map(|layer| LAYER_TENSORS.map(|tensor| of_layer(layer, tensor)));
    let relative_bias = config.family.relative_buckets().map(|_| RELATIVE_BIAS);
    embeddings.chain(relative_bias).map(String::from).chain(layers).collect()
}

/// Shape of a tensor before pruning. `name` is its name in this crate.
pub(crate) fn shape(config: &BertConfig, name: &str) -> Vec<usize> {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    match name {
        WORD => return vec![config.vocab_size, hidden],
        POSITION => return vec![config.max_position_embeddings, hidden],
        TOKEN_TYPE => return vec![config.type_vocab_size, hidden],
        EMBEDDING_SCALE | EMBEDDING_SHIFT => return vec![hidden],
        RELATIVE_BIAS => {
            return config.family.relative_buckets().into_iter().chain([config.num_attention_heads]).collect();
        }
        _ => {}
    }
    let tensor = name.splitn(4, '.').nth(3).unwrap_or(name);
    match tensor {
        QKV => vec![3 * hidden, hidden],
        QKV_BIAS => vec![3 * hidden],
        OUTPUT => vec![hidden, hidden],
        UP => vec![ffn, hidden],
        UP_BIAS => vec![ffn],
        DOWN => vec![hidden, ffn],
        _ => vec![hidden],
    }
}

/// Hugging Face's names of Q, K and V for the tensor `name`, in which this crate packs them. Returns `None` for other
/// tensors.
pub(crate) fn parts(name: &str) -> Option<[String; 3]> {
    name.contains(".qkv.").then(|| ["query", "key", "value"].map(|part| name.replace("qkv", part)))
}

/// Renames tensors from Hugging Face's names to this crate's names, and packs Q, K and V of each layer into one tensor.
pub(crate) fn pack(config: &BertConfig, tensors: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let find =
        |name: &str| tensors.get(name).ok_or_else(|| Error::Parameter { name: name.into(), problem: "is missing" });
    all(config)
        .into_iter()
        .map(|name| {
            let tensor = match parts(&name) {
                Some([q, k, v]) => Tensor::cat(&[find(&q)?, find(&k)?, find(&v)?], 0)?,
                None => find(&name)?.clone(),
            };
            Ok((name, tensor))
        })
        .collect()
}

/// Renames tensors from this crate's names to Hugging Face's names. Q, K and V of each layer become separate views.
pub(crate) fn unpack(config: &BertConfig, packed: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in packed {
        match parts(&name) {
            Some(names) => {
                for (part, name) in names.into_iter().enumerate() {
                    let rows = tensor.narrow(0, part * config.hidden_size, config.hidden_size)?;
                    tensors.insert(name, rows);
                }
            }
            None => {
                tensors.insert(name, tensor);
            }
        }
    }
    Ok(tensors)
}
