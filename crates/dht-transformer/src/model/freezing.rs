//! Freezing of embeddings and layers, and the gradients that a backward pass then computes.

use super::encoder::Encoder;
use crate::flops::BackwardNeeds;
use crate::tensors::Parameter;

impl Encoder {
    fn embedding_parameters(&self) -> impl Iterator<Item = &Parameter> {
        let e = &self.embeddings;
        let bias = self.relative_bias.as_ref().map(|bias| &bias.table);
        [&e.word, &e.position, &e.scale, &e.shift].into_iter().chain(&e.token_type).chain(bias)
    }

    /// Freezes or thaws the embeddings, including the table of relative-position biases if there is one.
    pub fn freeze_embeddings(&self, frozen: bool) {
        self.embedding_parameters().for_each(|parameter| self.parameters().set_frozen(parameter.id(), frozen));
    }

    /// Freezes or thaws the weights of a layer. The backward pass does not compute gradients of frozen weights, but
    /// gradients of hidden states still pass through a frozen layer.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn freeze_layer(&self, layer: usize, frozen: bool) {
        for parameter in self.blocks()[layer].parameters() {
            self.parameters().set_frozen(parameter.id(), frozen);
        }
    }

    /// Gradients that a backward pass must compute: in each layer, and for the output of the last layer (`true` if
    /// needed). A layer, or the embeddings, counts as trained unless all its parameters are frozen.
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
