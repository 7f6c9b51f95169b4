//! Dimensions that remain in the attention of a pruned layer.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::bert_config::BertConfig;
use crate::error::{Error, Result};

/// Dimensions that remain in the attention projections of a pruned layer: the inputs of each of Q, K and V, and the
/// outputs of each head. All other dimensions count as zero.
///
/// Each head has equally many dimensions of queries and keys, and any number of dimensions of values. The numbers may
/// differ between layers and heads, so that the matrices are ragged. Scores are still divided by the square root of the
/// *unpruned* head's width. The outputs are thus the same as those of the unpruned model with zeros in the removed
/// dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptDimensions {
    /// Dimensions of the hidden states that the query projection reads, ascending.
    pub query_inputs: Vec<usize>,
    /// Dimensions of the hidden states that the key projection reads, ascending.
    pub key_inputs: Vec<usize>,
    /// Dimensions of the hidden states that the value projection reads, ascending.
    pub value_inputs: Vec<usize>,
    /// Remaining dimensions of the queries and keys of each head, ascending; empty for a removed head.
    pub query_key_outputs: Vec<Vec<usize>>,
    /// Remaining dimensions of the values of each head, ascending; empty for a removed head.
    pub value_outputs: Vec<Vec<usize>>,
}

impl KeptDimensions {
    /// All dimensions of an unpruned layer.
    pub fn all(config: &BertConfig) -> Self {
        let inputs = || (0..config.hidden_size).collect();
        let outputs = || vec![(0..config.head_size()).collect(); config.num_attention_heads];
        Self {
            query_inputs: inputs(),
            key_inputs: inputs(),
            value_inputs: inputs(),
            query_key_outputs: outputs(),
            value_outputs: outputs(),
        }
    }

    /// Indices of the remaining heads, ascending.
    pub fn heads(&self) -> Vec<usize> {
        (0..self.value_outputs.len()).filter(|head| !self.value_outputs[*head].is_empty()).collect()
    }

    /// Returns whether whole heads were removed and nothing else.
    pub fn is_heads_alone(&self, config: &BertConfig) -> bool {
        self.heads().into_iter().fold(Self::none(config), |dimensions, head| dimensions.with_head(config, head))
            == *self
    }

    /// Dimensions of a layer in which all inputs remain but no head does.
    fn none(config: &BertConfig) -> Self {
        let none = || vec![Vec::new(); config.num_attention_heads];
        Self { query_key_outputs: none(), value_outputs: none(), ..Self::all(config) }
    }

    fn with_head(mut self, config: &BertConfig, head: usize) -> Self {
        self.query_key_outputs[head] = (0..config.head_size()).collect();
        self.value_outputs[head] = (0..config.head_size()).collect();
        self
    }

    /// Removes the heads for which `keeps` returns `false`.
    #[must_use]
    pub fn without_heads(mut self, keeps: impl Fn(usize) -> bool) -> Self {
        for head in (0..self.value_outputs.len()).filter(|head| !keeps(*head)) {
            self.query_key_outputs[head].clear();
            self.value_outputs[head].clear();
        }
        self
    }

    /// Indices, before pruning, of the query and key rows that remain, ordered by head.
    pub fn query_key_rows(&self, config: &BertConfig) -> Vec<usize> {
        rows(&self.query_key_outputs, config.head_size())
    }

    /// Indices, before pruning, of the value rows that remain, ordered by head. They are also the indices of the
    /// columns that remain in the output projection.
    pub fn value_rows(&self, config: &BertConfig) -> Vec<usize> {
        rows(&self.value_outputs, config.head_size())
    }

    /// Checks that the dimensions exist in a layer of this configuration.
    ///
    /// # Errors
    /// [`Error::Argument`] in each of these cases:
    ///
    /// - a list is not ascending, names a dimension that the layer does not have, or is an empty list of inputs;
    /// - the number of lists of outputs differs from the number of heads;
    /// - a head has queries and keys but no values, or values but no queries and keys;
    /// - no head remains.
    pub fn check(&self, config: &BertConfig) -> Result<()> {
        let (hidden, heads, size) = (config.hidden_size, config.num_attention_heads, config.head_size());
        for (field, inputs) in [
            ("query_inputs", &self.query_inputs),
            ("key_inputs", &self.key_inputs),
            ("value_inputs", &self.value_inputs),
        ] {
            if inputs.is_empty() || !ascends(inputs, hidden) {
                let expected = format!("one or more dimensions below {hidden}, ascending");
                return Err(Error::argument(field, expected, format!("{inputs:?}")));
            }
        }
        for (field, outputs) in [("query_key_outputs", &self.query_key_outputs), ("value_outputs", &self.value_outputs)]
        {
            if outputs.len() != heads {
                return Err(Error::argument(field, format!("{heads} lists, one a head"), outputs.len().to_string()));
            }
            if let Some(list) = outputs.iter().find(|list| !ascends(list, size)) {
                return Err(Error::argument(field, format!("dimensions below {size}, ascending"), format!("{list:?}")));
            }
        }
        let halves = |head: &usize| self.query_key_outputs[*head].is_empty() != self.value_outputs[*head].is_empty();
        if let Some(head) = (0..heads).find(halves) {
            let expected = "heads with both query_key_outputs and value_outputs, or with neither";
            return Err(Error::argument("value_outputs", expected, format!("one of the two in head {head}")));
        }
        if self.heads().is_empty() {
            return Err(Error::argument("value_outputs", "at least one head", "none"));
        }
        Ok(())
    }
}

fn rows(outputs: &[Vec<usize>], size: usize) -> Vec<usize> {
    outputs.iter().enumerate().flat_map(|(head, list)| list.iter().map(move |row| head * size + row)).collect()
}

fn ascends(list: &[usize], end: usize) -> bool {
    let within: Range<usize> = 0..end;
    list.is_sorted_by(|a, b| a < b) && list.last().is_none_or(|last| within.contains(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> BertConfig {
        BertConfig::small(1, 2, 4, 9).unwrap()
    }

    #[test]
    fn rows_are_counted_in_the_whole_layer() {
        let all = KeptDimensions::all(&config());
        assert_eq!(all.query_key_rows(&config()), [0, 1, 2, 3]);
        assert!(all.is_heads_alone(&config()) && all.check(&config()).is_ok());
        let second = all.clone().without_heads(|head| head == 1);
        assert_eq!((second.value_rows(&config()), second.heads()), (vec![2, 3], vec![1]));
        assert!(second.is_heads_alone(&config()) && second.check(&config()).is_ok());
        let narrow = KeptDimensions { value_outputs: vec![vec![1], vec![0]], ..all };
        assert_eq!(narrow.value_rows(&config()), [1, 2]);
        assert!(!narrow.is_heads_alone(&config()) && narrow.check(&config()).is_ok());
    }

    #[test]
    fn lists_that_are_not_of_the_layer_are_refused() {
        let all = || KeptDimensions::all(&config());
        for (wrong, field) in [
            (KeptDimensions { query_inputs: vec![], ..all() }, "query_inputs"),
            (KeptDimensions { key_inputs: vec![1, 1], ..all() }, "key_inputs"),
            (KeptDimensions { value_inputs: vec![0, 4], ..all() }, "value_inputs"),
            (KeptDimensions { query_key_outputs: vec![vec![0]], ..all() }, "query_key_outputs"),
            (KeptDimensions { query_key_outputs: vec![vec![0], vec![2]], ..all() }, "query_key_outputs"),
            (KeptDimensions { value_outputs: vec![vec![0], vec![]], ..all() }, "value_outputs"),
            (all().without_heads(|_| false), "value_outputs"),
        ] {
            let error = wrong.check(&config()).unwrap_err();
            assert!(matches!(&error, Error::Argument { name, .. } if *name == field), "{error}");
        }
    }
}
