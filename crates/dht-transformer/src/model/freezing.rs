//! Freezing of layers, and the gradients that a backward pass still computes.

use super::encoder::Encoder;
use crate::flops::BackwardNeeds;
use crate::tensors::Parameter;

impl Encoder {
    fn embedding_parameters(&self) -> impl Iterator<Item = &Parameter> {
        let e = &self.embeddings;
        let bias = self.relative_bias.as_ref().map(|bias| &bias.table);
        [&e.word, &e.position, &e.scale, &e.shift].into_iter().chain(&e.token_type).chain(bias)
    }

    /// Freezes or thaws the embeddings, which include a table of relative-position biases.
    pub fn freeze_embeddings(&self, frozen: bool) {
        self.embedding_parameters().for_each(|parameter| self.parameters().set_frozen(parameter.id(), frozen));
    }

    /// Freezes or thaws the weights of a layer. For a frozen layer no weight gradients are computed, but activation
    /// gradients still pass through it.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn freeze_layer(&self, layer: usize, frozen: bool) {
        for parameter in self.blocks()[layer].parameters() {
            self.parameters().set_frozen(parameter.id(), frozen);
        }
    }

    /// Gradients that a backward pass through all layers computes in each layer. The second result is whether it
    /// computes the gradient of the last hidden rows. A layer, or the embeddings, counts as trained unless all its
    /// parameters are frozen.
    pub(crate) fn backward_needs(&self) -> (Vec<BackwardNeeds>, bool) {
        let mut trained_below = self.embedding_parameters().any(|parameter| !parameter.is_frozen());
        let needs = self.blocks().iter().map(|block| {
            let weight_gradients = block.parameters().iter().any(|parameter| !parameter.is_frozen());
            let needs = BackwardNeeds { weight_gradients, input_gradient: trained_below };
            trained_below |= weight_gradients;
            needs
        });
        (needs.collect(), trained_below)
    }
}
