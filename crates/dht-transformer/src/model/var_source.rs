//! Access to a model's tensors in a `candle_nn::VarBuilder`.

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};

use super::{init, names};
use crate::config::{BertConfig, Family};
use crate::error::{Error, Result};

/// Wrapper of a `VarBuilder` that returns tensors by BERT's names. The builder may store them under these names, or
/// under the names of another model family's files.
pub(crate) struct VarSource<'a> {
    vb: VarBuilder<'a>,
    family: Family,
    /// `true` if the builder's prefix belongs to a classifier, within which the encoder has a further prefix. `false`
    /// if it belongs to the encoder itself.
    classifier: bool,
}

impl<'a> VarSource<'a> {
    /// Wraps a builder whose prefix is that of an encoder.
    pub(crate) fn encoder(config: &BertConfig, vb: VarBuilder<'a>) -> Self {
        Self { vb, family: config.family, classifier: false }
    }

    /// Wraps a builder whose prefix is that of a classifier, which consists of an encoder and a head.
    pub(crate) fn classifier(config: &BertConfig, vb: VarBuilder<'a>) -> Self {
        Self { vb, family: config.family, classifier: true }
    }

    pub(crate) fn device(&self) -> &Device {
        self.vb.device()
    }

    /// Returns a tensor of the encoder by this crate's name. If Q, K and V are stored separately, they are
    /// concatenated.
    pub(crate) fn encoder_tensor(&self, config: &BertConfig, name: &str) -> Result<Tensor> {
        let (shape, init) = (names::shape(config, name), initialisation(config, name));
        let separate = names::parts(name).filter(|[query, ..]| self.find(name).is_none() && self.find(query).is_some());
        let Some(parts) = separate else {
            // In a file, the missing tensors are separate tensors Q, K and V.
            let missed = names::parts(name).map(|[query, ..]| query);
            return self.get(name, missed.as_deref().unwrap_or(name), &shape, init);
        };
        let mut shape = shape;
        shape[0] /= 3;
        let parts = parts.map(|part| self.get(&part, &part, &shape, init));
        let [q, k, v] = parts;
        let parts = [q?, k?, v?];
        if parts.iter().any(Tensor::is_variable) {
            let problem = "would be joined of three variables, which cannot be shared; let the encoder make its own, or \
                           put those of a loaded encoder into the VarMap";
            return Err(Error::Parameter { name: self.full(name), problem });
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// Returns a tensor of a linear layer that follows the encoder, by BERT's name.
    pub(crate) fn head_tensor(&self, config: &BertConfig, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.get(name, name, shape, initialisation(config, name))
    }

    /// Names under which the builder may store the tensor that BERT calls `name`. If the tensor is missing, a variable
    /// is created under the first name.
    fn candidates(&self, name: &str) -> Vec<String> {
        let theirs = self.family.theirs(name, self.classifier, self.classifier);
        // `TextClassifier` uses this name for its pooler parameters.
        let own = name.replace("pooler.dense", "classifier.pooler");
        let mut names = vec![theirs.clone(), self.family.theirs(name, false, false), name.to_owned(), own];
        if let Some(norm) = theirs.strip_suffix("LayerNorm.weight") {
            names.push(format!("{norm}LayerNorm.gamma"));
        }
        if let Some(norm) = theirs.strip_suffix("LayerNorm.bias") {
            names.push(format!("{norm}LayerNorm.beta"));
        }
        names
    }

    fn find(&self, name: &str) -> Option<String> {
        self.candidates(name).into_iter().find(|name| self.vb.contains_tensor(name))
    }

    fn full(&self, name: &str) -> String {
        let name = self.candidates(name).swap_remove(0);
        let prefix = self.vb.prefix();
        if prefix.is_empty() { name } else { format!("{prefix}.{name}") }
    }

    fn get(&self, name: &str, missed: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let existing = self.find(name);
        let key = existing.clone().unwrap_or_else(|| self.candidates(name).swap_remove(0));
        self.vb.get_with_hints(shape, &key, init).map_err(|error| match (existing, shape_in(&error)) {
            (None, _) => Error::Parameter { name: self.full(missed), problem: "is missing" },
            (Some(_), Some(got)) => Error::Shape { what: self.full(name), expected: shape.to_vec(), got },
            // A `VarMap` reports a wrong shape only in the message of its error.
            (Some(_), None) if error.to_string().contains("shape mismatch") => {
                Error::Parameter { name: self.full(name), problem: "is a variable of another shape" }
            }
            (Some(_), None) => Error::Candle(error),
        })
    }
}

/// Actual shape of a tensor, extracted from candle's error about an unexpected shape. `None` for other errors.
fn shape_in(error: &candle_core::Error) -> Option<Vec<usize>> {
    match error {
        candle_core::Error::UnexpectedShape { got, .. } => Some(got.dims().to_vec()),
        candle_core::Error::WithBacktrace { inner, .. } => shape_in(inner),
        _ => None,
    }
}

/// Initial values of a variable that must be created because a `VarMap` does not have it yet.
fn initialisation(config: &BertConfig, name: &str) -> Init {
    match name {
        name if name.ends_with("LayerNorm.weight") => candle_nn::init::ONE,
        name if name.ends_with(".bias") => candle_nn::init::ZERO,
        name => Init::Randn { mean: 0.0, stdev: init::deviation(config, name) },
    }
}
