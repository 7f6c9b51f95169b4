//! A side exit: a classifier with its own hidden layer on pooled rows.

use candle_core::Tensor;
use dht_transformer::{Encoder, ForwardContext, Hidden, Pooling, flops::BackwardNeeds, model::Linear};
use rand::Rng;

use super::exit::{ExitFlops, LayerExit};
use crate::error::{Error, Result};

/// Side exit: logits = gelu(pool(h)·W₁ᵀ + b₁)·W₂ᵀ + b₂, with W₁ (width, hidden) and W₂ (classes, width). The parameters
/// are `{name}.hidden.*` and `{name}.output.*`.
#[derive(Debug, Clone)]
pub(super) struct SideExit {
    pooling: Pooling,
    hidden: Linear,
    output: Linear,
}

impl SideExit {
    pub(super) fn new<R: Rng + ?Sized>(
        encoder: &mut Encoder,
        name: &str,
        classes: usize,
        (pooling, width): (Pooling, usize),
        rng: &mut R,
    ) -> Result<Self> {
        if classes < 2 {
            return Err(Error::argument("classes", "at least 2", classes));
        }
        let inputs = encoder.block_shape().hidden;
        let hidden = encoder.add_linear(&format!("{name}.hidden"), inputs, width, rng)?;
        let output = encoder.add_linear(&format!("{name}.output"), width, classes, rng)?;
        Ok(Self { pooling, hidden, output })
    }
}

impl LayerExit for SideExit {
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
        // (tokens, hidden) → (samples, hidden) → (samples, width) → (samples, classes)
        let pooled = match self.pooling {
            Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
            Pooling::Mean => hidden.mean_rows()?,
        };
        Ok(self.output.forward(&self.hidden.forward(&pooled, ctx)?.gelu_erf()?, ctx)?)
    }

    fn flops(&self, _: usize) -> ExitFlops {
        let (hidden, output) = (self.hidden.shape(), self.output.shape());
        // The gradient of the hidden layer's weights needs that of the output layer's input.
        let backward = |needs| (hidden.backward(1, needs) + output.backward(1, BackwardNeeds::ALL)).total();
        ExitFlops {
            forward: (hidden.forward(1) + output.forward(1)).total(),
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

    /// Product of rows and the transposed weight of a layer, plus its bias.
    fn product(rows: &Tensor, parameters: &Parameters, name: &str, [outputs, inputs]: [usize; 2]) -> Tensor {
        let values = parameters.values().unwrap();
        let of = |part: &str| values[&format!("{name}.{part}")].values.clone();
        let weight = Tensor::from_vec(of("weight"), (outputs, inputs), &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(of("bias"), outputs, &Device::Cpu).unwrap();
        rows.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap()
    }

    #[test]
    fn side_exit_logits_are_two_linear_layers_around_a_gelu() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut config = BertConfig::small(1, 2, 8, 50).unwrap();
        config.initializer_range = 0.5;
        for pooling in [Pooling::Mean, Pooling::Cls] {
            let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
            let exit = SideExit::new(&mut encoder, "exit.1.classifier", 3, (pooling, 5), &mut rng).unwrap();
            // Fresh biases are zero and would hide that one is left out.
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
            let x = product(&pooled, encoder.parameters(), "exit.1.classifier.hidden", [5, 8]);
            let gelu = (&x * ((&x / 2f64.sqrt()).unwrap().erf().unwrap() + 1.0).unwrap()).unwrap();
            let gelu = (gelu * 0.5).unwrap();
            let expected = product(&gelu, encoder.parameters(), "exit.1.classifier.output", [3, 5]);
            let (expected, got): (Vec<Vec<f32>>, Vec<Vec<f32>>) =
                (expected.to_vec2().unwrap(), exit.logits(&hidden, &ctx).unwrap().to_vec2().unwrap());
            for (expected, got) in expected.into_iter().flatten().zip(got.into_iter().flatten()) {
                approx::assert_relative_eq!(expected, got, epsilon = 1e-5);
            }
            assert_eq!(exit.flops(3).forward.0, 2 * (8 * 5 + 5 * 3));
            assert_eq!(exit.flops(3).backward.0, 2 * exit.flops(3).forward.0);
            assert_eq!(exit.flops(3).backward_weights.0, 2 * (8 * 5 + 2 * 5 * 3));
        }
    }
}
