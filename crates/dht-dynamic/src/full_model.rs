//! Sizes of the full model, to which the costs of cheaper models are compared.

use dht_transformer::TextClassifier;
use dht_transformer::flops::{BlockShape, Breakdown, ClassifierShape, Load, Width};
use serde::{Deserialize, Serialize};

use crate::route::ModelShape;

/// Sizes of the full model, which runs all layers. FLOPs ratios of a cheaper model are relative to the FLOPs of the
/// full model, and routes refer to its layers and heads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullModel {
    /// Sizes of one full layer, such as hidden units and attention heads.
    pub block: BlockShape,
    /// Number of attention heads and feed-forward neurons of each layer.
    pub widths: Vec<Width>,
    /// Sizes of the classifier after the last layer.
    pub classifier: ClassifierShape,
}

impl FullModel {
    /// Reads the sizes of a classifier and its encoder.
    pub fn new(model: &TextClassifier) -> Self {
        let (encoder, classifier) = (model.encoder(), model.classifier().shape());
        let widths = (0..encoder.layers()).map(|layer| encoder.width(layer)).collect();
        Self { block: encoder.block_shape(), widths, classifier }
    }

    /// Number of layers and attention heads of the model.
    pub fn shape(&self) -> ModelShape {
        ModelShape { layers: self.widths.len(), heads: self.block.heads }
    }

    /// FLOPs of the full model for a text of `tokens` tokens.
    pub fn flops(&self, tokens: usize) -> u64 {
        let load = Load::of_text(tokens);
        let layers: Breakdown = self.widths.iter().map(|width| self.block.forward(load, *width)).sum();
        (layers + self.classifier.forward(load.samples)).total().0
    }
}
