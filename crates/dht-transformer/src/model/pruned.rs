//! Fields of `config.json` that record pruned heads, neurons and dimensions.

use serde_json::Value;

use crate::config::{BertConfig, KeptDimensions};
use crate::error::{Error, Result};
use crate::tensors::HeadSet;

/// Field of `config.json` that lists the attention heads that each layer still has.
/// [`Encoder::prune`](crate::Encoder::prune) writes it; no other library uses it.
pub(crate) const KEPT_HEADS: &str = "kept_heads";
pub(crate) const KEPT_NEURONS: &str = "kept_neurons";
/// Field of `config.json` that lists the dimensions that each layer still has.
/// [`Encoder::prune_dimensions`](crate::Encoder::prune_dimensions) writes it.
pub(crate) const KEPT_DIMENSIONS: &str = "kept_dimensions";

impl BertConfig {
    /// Copies the configuration without the fields that record pruned heads, neurons and dimensions.
    #[must_use]
    pub fn unpruned(&self) -> Self {
        let mut config = self.clone();
        for field in [KEPT_HEADS, KEPT_NEURONS, KEPT_DIMENSIONS] {
            config.other.remove(field);
        }
        config
    }
}

/// Reads from a configuration which attention dimensions each layer still has. Returns `None` if no single dimensions
/// were pruned.
pub(crate) fn dimensions(config: &BertConfig) -> Result<Option<Vec<KeptDimensions>>> {
    let Some(value) = config.other.get(KEPT_DIMENSIONS) else { return Ok(None) };
    let refuse = |expected: String, got: String| Error::argument(KEPT_DIMENSIONS, expected, got);
    if config.other.contains_key(KEPT_HEADS) {
        return Err(refuse(format!("a configuration without {KEPT_HEADS}"), "one with it".into()));
    }
    let layers = config.num_hidden_layers;
    let list: Vec<KeptDimensions> = serde_json::from_value(value.clone())
        .map_err(|error| refuse(format!("a list of {layers} layers' dimensions"), error.to_string()))?;
    if list.len() != layers {
        return Err(refuse(format!("{layers} layers"), list.len().to_string()));
    }
    for (layer, dimensions) in list.iter().enumerate() {
        dimensions
            .check(config)
            .map_err(|error| refuse("dimensions of the model".into(), format!("for layer {layer}: {error}")))?;
    }
    Ok(Some(list))
}

/// Reads from a configuration which heads, and how many neurons, each layer still has.
pub(crate) fn left(config: &BertConfig) -> Result<Vec<(HeadSet, usize)>> {
    let (layers, all) = (config.num_hidden_layers, config.num_attention_heads);
    let refuse = |field, expected: String, value: &Value| Error::argument(field, expected, value.to_string());
    let heads = match (dimensions(config)?, config.other.get(KEPT_HEADS)) {
        (Some(list), _) => {
            list.iter().map(|dimensions| HeadSet::from_indices(dimensions.heads(), all)).collect::<Result<_>>()?
        }
        (None, None) => vec![HeadSet::full(all)?; layers],
        (None, Some(value)) => {
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
