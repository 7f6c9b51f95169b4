//! Exit with a side layer: a linear classifier, plus the output of a narrow transformer layer.

use candle_core::Tensor;
use dht_transformer::{
    Classifier, Encoder, ForwardContext, Hidden, Pooling,
    flops::BackwardNeeds,
    model::{Linear, SideLayer},
};
use rand::Rng;

use super::builder::ExitPlace;
use super::exit::{ExitFlops, LayerExit};
use crate::error::Result;

/// Exit with a side layer. The logits are pool(h)·Wᵀ + b + mean(side(h))·Vᵀ + c, where h are the hidden states, side is
/// a [`SideLayer`], and W, V, b and c are weights and biases.
///
/// The linear classifier's parameters are `{name}.weight` and `{name}.bias`, as in a linear exit. The side layer adds
/// `{name}.side.*` and `{name}.output.*`.
#[derive(Debug, Clone)]
pub(super) struct SideLayerExit {
    linear: Classifier,
    side: SideLayer,
    output: Linear,
}

impl SideLayerExit {
    pub(super) fn new<R: Rng + ?Sized>(
        encoder: &mut Encoder,
        place: ExitPlace<'_>,
        pooling: Pooling,
        width: usize,
        rng: &mut R,
    ) -> Result<Self> {
        let ExitPlace { name, depth, classes } = place;
        let linear = encoder.add_outputs(name, classes, pooling, rng)?;
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

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use dht_transformer::{BertConfig, Encoding, HeadPlan, PackedBatch, Sample, tensors::Parameters};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Output of a linear layer: rows·Wᵀ + b, with weight W and bias b of the layer `name`.
    fn product(rows: &Tensor, parameters: &Parameters, name: &str, [outputs, inputs]: [usize; 2]) -> Tensor {
        let values = parameters.values().unwrap();
        let of = |part: &str| values[&format!("{name}.{part}")].values.clone();
        let weight = Tensor::from_vec(of("weight"), (outputs, inputs), &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(of("bias"), outputs, &Device::Cpu).unwrap();
        rows.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap()
    }

    #[test]
    fn logits_add_the_mean_of_a_narrow_layer_to_a_linear_exit() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut config = BertConfig::small(1, 2, 8, 50).unwrap();
        config.initializer_range = 0.5;
        for pooling in [Pooling::Mean, Pooling::Cls] {
            let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
            let place = ExitPlace::new("exit.1.classifier", 1, 3);
            let exit = SideLayerExit::new(&mut encoder, place, pooling, 5, &mut rng).unwrap();
            // New biases are zero, and the test would not notice if one of them were left out.
            let mut values = encoder.parameters().values().unwrap();
            for (name, values) in values.iter_mut().filter(|(name, _)| name.starts_with("exit.1.classifier.")) {
                if name.ends_with("bias") {
                    values.values.iter_mut().enumerate().for_each(|(index, bias)| *bias = 0.3 - 0.2 * index as f32);
                }
            }
            encoder.parameters().set_values(values).unwrap();

            let text = |id, ids: &[u32]| {
                let encoding = Encoding {
                    ids: ids.to_vec(),
                    type_ids: vec![0; ids.len()],
                    truncated: false,
                    rest: Default::default(),
                };
                Sample { id, label: 0, targets: Vec::new(), encoding }
            };
            let batch = PackedBatch::from_samples(&[text(0, &[4, 9, 20]), text(1, &[7, 30])]).unwrap();
            let ctx = ForwardContext::inference();
            let hidden = encoder.run(0..1, &encoder.embed(&batch, &ctx).unwrap(), &HeadPlan::Full, &ctx).unwrap();
            let pooled = match pooling {
                Pooling::Mean => hidden.mean_rows().unwrap(),
                _ => hidden.first_rows().unwrap(),
            };
            let linear = product(&pooled, encoder.parameters(), "exit.1.classifier", [3, 8]);
            let side = exit.side.forward(&hidden, &ctx).unwrap().mean_rows().unwrap();
            let expected = product(&side, encoder.parameters(), "exit.1.classifier.output", [3, 5]);
            let expected = (linear + expected).unwrap();
            let (expected, got): (Vec<Vec<f32>>, Vec<Vec<f32>>) =
                (expected.to_vec2().unwrap(), exit.logits(&hidden, &ctx).unwrap().to_vec2().unwrap());
            for (expected, got) in expected.into_iter().flatten().zip(got.into_iter().flatten()) {
                approx::assert_relative_eq!(expected, got, epsilon = 1e-5);
            }
            let side = exit.side.forward_flops(3).0;
            assert_eq!(exit.flops(3).forward.0, 2 * (8 * 3 + 5 * 3) + side);
        }
    }
}
