//! Linear exit: a linear classifier on pooled hidden states.

use candle_core::Tensor;
use dht_transformer::{Classifier, Encoder, ForwardContext, Hidden, Pooling, flops::BackwardNeeds};
use rand::Rng;

use super::builder::ExitPlace;
use super::exit::{ExitFlops, LayerExit};
use crate::error::Result;

/// Linear exit. Its logits are pool(h)·Wᵀ + b, for hidden states h, weights W and bias b.
#[derive(Debug, Clone)]
pub(super) struct LinearExit(Classifier);

impl LinearExit {
    pub(super) fn new<R: Rng + ?Sized>(
        encoder: &mut Encoder,
        place: ExitPlace<'_>,
        pooling: Pooling,
        rng: &mut R,
    ) -> Result<Self> {
        Ok(Self(encoder.add_outputs(place.name, place.classes, pooling, rng)?))
    }
}

impl LayerExit for LinearExit {
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
        Ok(self.0.forward(hidden, ctx)?)
    }

    fn flops(&self, _: usize) -> ExitFlops {
        let shape = self.0.shape();
        ExitFlops {
            forward: shape.forward(1).total(),
            backward: shape.backward(1, BackwardNeeds::ALL).total(),
            backward_weights: shape.backward(1, BackwardNeeds::WEIGHTS_ONLY).total(),
        }
    }

    fn box_clone(&self) -> Box<dyn LayerExit> {
        Box::new(self.clone())
    }
}
