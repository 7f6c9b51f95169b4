//! A side exit that adds a narrow transformer layer to a linear classifier.

use candle_core::Tensor;
use dht_transformer::{
    Classifier, Encoder, ForwardContext, Hidden, Pooling,
    flops::BackwardNeeds,
    model::{Linear, SideLayer},
};
use rand::Rng;

use super::exit::{ExitFlops, LayerExit};
use crate::error::Result;

/// Side-layer exit: logits = pool(h)·Wᵀ + b + mean(side(h))·Vᵀ + c, where side is a [`SideLayer`]. The parameters are
/// `{name}.weight` and `{name}.bias` as in a linear exit, `{name}.side.*` and `{name}.output.*`.
#[derive(Debug, Clone)]
pub(super) struct SideLayerExit {
    linear: Classifier,
    side: SideLayer,
    output: Linear,
}

impl SideLayerExit {
    pub(super) fn new<R: Rng + ?Sized>(
        encoder: &mut Encoder,
        (name, depth): (&str, usize),
        classes: usize,
        (pooling, width): (Pooling, usize),
        rng: &mut R,
    ) -> Result<Self> {
        let linear = encoder.add_classifier(name, classes, pooling, rng)?;
        let side = encoder.add_side_layer(&format!("{name}.side"), depth, width, rng)?;
        let output = encoder.add_linear(&format!("{name}.output"), width, classes, rng)?;
        Ok(Self { linear, side, output })
    }
}

impl LayerExit for SideLayerExit {
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
        let side = self.side.forward(hidden, ctx)?.mean_rows()?;
        Ok((self.linear.forward(hidden, ctx)? + self.output.forward(&side, ctx)?)?)
    }

    fn flops(&self, tokens: usize) -> ExitFlops {
        let (linear, output) = (self.linear.shape(), self.output.shape());
        let backward = |needs| {
            linear.backward(1, needs).total()
                + output.backward(1, BackwardNeeds::ALL).total()
                + self.side.backward_flops(tokens, needs)
        };
        ExitFlops {
            forward: linear.forward(1).total() + output.forward(1).total() + self.side.forward_flops(tokens),
            backward: backward(BackwardNeeds::ALL),
            backward_weights: backward(BackwardNeeds::WEIGHTS_ONLY),
        }
    }

    fn box_clone(&self) -> Box<dyn LayerExit> {
        Box::new(self.clone())
    }
}
