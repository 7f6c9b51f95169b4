//! What `config.json` says of parts that were taken out.

use serde_json::Value;

use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::tensors::HeadSet;

/// Our own fields of `config.json`; see [`Encoder::prune`](crate::Encoder::prune).
pub(crate) const KEPT_HEADS: &str = "kept_heads";
pub(crate) const KEPT_NEURONS: &str = "kept_neurons";

/// For each layer the heads and the number of neurons that a configuration says are left.
pub(crate) fn left(config: &BertConfig) -> Result<Vec<(HeadSet, usize)>> {
    let (layers, all) = (config.num_hidden_layers, config.num_attention_heads);
    let refuse = |field, expected: String, value: &Value| Error::setting(field, expected, value.to_string());
    let heads = match config.other.get(KEPT_HEADS) {
        None => vec![HeadSet::full(all)?; layers],
        Some(value) => {
            let expected = format!("{layers} lists of different heads below {all}");
            let error = || refuse(KEPT_HEADS, expected.clone(), value);
            let lists: Vec<Vec<usize>> = serde_json::from_value(value.clone()).map_err(|_| error())?;
            let sets = lists.into_iter().map(|list| HeadSet::from_indices(list, all));
            let sets: Vec<HeadSet> = sets.collect::<Result<_>>().map_err(|_| error())?;
            if sets.len() == layers { sets } else { return Err(error()) }
        }
    };
    let neurons = match config.other.get(KEPT_NEURONS) {
        None => vec![config.intermediate_size; layers],
        Some(value) => {
            let right = |list: &Vec<usize>| {
                list.len() == layers && list.iter().all(|width| (1..=config.intermediate_size).contains(width))
            };
            let list = serde_json::from_value(value.clone()).ok().filter(right);
            let expected = || format!("{layers} numbers from 1 to {}", config.intermediate_size);
            list.ok_or_else(|| refuse(KEPT_NEURONS, expected(), value))?
        }
    };
    Ok(heads.into_iter().zip(neurons).collect())
}
