//! Second-order gradient of DARTS, differentiable architecture search (Liu, Simonyan and Yang 2019).

use candle_core::{Tensor, Var};
use dht_transformer::Progress;
use dht_transformer::tensors::{Gradients, ParameterId};
use dht_transformer::{ForwardContext, Objective, PackedBatch};

use crate::error::Result;
use crate::search::{ArchitectureSearch, StepParameters};

/// Distance by which weights are moved for the finite difference of two gradients (Liu, Simonyan and Yang 2019).
const DISTANCE: f64 = 0.01;

impl ArchitectureSearch {
    /// Second-order gradient for the architecture variables α: returns the gradient, and the loss L₂ of the gates on
    /// `validation` after a step of the weights w. The step has the size ξ (`rate`) and reduces the weights' loss L₁ on
    /// `training` (Liu, Simonyan and Yang 2019, equations 7 and 8).
    ///
    /// ```text
    /// ∇α L₂(w − ξ·∇w L₁(w, α), α) ≈ ∇α L₂(w′, α) − ξ·(∇α L₁(w⁺, α) − ∇α L₁(w⁻, α)) / 2ε
    /// w′ = w − ξ·∇w L₁(w, α)      w± = w ± ε·v      v = ∇w L₂(w′, α)      ε = .01/‖v‖
    /// ```
    ///
    /// The weights w are restored afterwards.
    pub(crate) fn unrolled(
        &self,
        (training, validation): (&PackedBatch, &PackedBatch),
        rate: f64,
        progress: Progress,
    ) -> Result<(Vec<Tensor>, f64)> {
        let parameters = self.parameters();
        let is_weight = |id: ParameterId| !parameters.is_frozen(id) && self.alphas.iter().all(|alpha| alpha.id() != id);
        let weights: Vec<(ParameterId, &Var)> =
            parameters.iter().filter(|(id, ..)| is_weight(*id)).map(|(id, _, var)| (id, var)).collect();
        let start = weights.iter().map(|(_, var)| var.as_detached_tensor().copy());
        let start: Vec<Tensor> = start.collect::<candle_core::Result<_>>()?;
        let moves = Moves { search: self, weights, start, progress };
        let gradients = moves.gradients((training, validation), rate);
        moves.back()?;
        gradients
    }
}

/// Model weights that are moved temporarily, with their original values in `start`.
struct Moves<'a> {
    search: &'a ArchitectureSearch,
    weights: Vec<(ParameterId, &'a Var)>,
    start: Vec<Tensor>,
    progress: Progress,
}

impl Moves<'_> {
    fn gradients(&self, (training, validation): (&PackedBatch, &PackedBatch), rate: f64) -> Result<(Vec<Tensor>, f64)> {
        let (_, step) = self.loss(training, StepParameters::Both)?;
        self.along(&step, -rate)?;
        let (value, then) = self.loss(validation, StepParameters::Gates)?;
        let own = self.search.of_gates(&then)?;
        let mut squares = 0.0;
        for (id, var) in &self.weights {
            if let Some(gradient) = then.get(*id) {
                squares += f64::from(gradient.to_tensor(var)?.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        if squares == 0.0 {
            return Ok((own, value));
        }
        let epsilon = DISTANCE / squares.sqrt();
        let at = |length: f64| -> Result<Vec<Tensor>> {
            self.along(&then, length)?;
            self.search.of_gates(&self.loss(training, StepParameters::Both)?.1)
        };
        let (up, down) = (at(epsilon)?, at(-epsilon)?);
        let gradients = own.iter().zip(up.iter().zip(&down)).map(|(own, (up, down))| {
            let change = ((up - down)? * (rate / (2.0 * epsilon)))?;
            own - change
        });
        Ok((gradients.collect::<candle_core::Result<_>>()?, value))
    }

    /// Loss of the weights or gates on a batch, with its gradients. Each call uses the same gates and dropout masks.
    fn loss(&self, batch: &PackedBatch, of: StepParameters) -> Result<(f64, Gradients)> {
        let parameters = self.search.parameters();
        let ctx = ForwardContext::training(parameters, self.progress.seed, self.progress.step as u32);
        let loss = self.search.task_loss(batch, of, self.progress, &ctx)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), ctx.backward(&loss, parameters)?))
    }

    /// Moves the weights from their original values by `length` times a gradient.
    fn along(&self, gradients: &Gradients, length: f64) -> Result<()> {
        for ((id, var), start) in self.weights.iter().zip(&self.start) {
            if let Some(gradient) = gradients.get(*id) {
                var.set(&(start + (gradient.to_tensor(var)? * length)?)?)?;
            } else {
                var.set(start)?;
            }
        }
        Ok(())
    }

    fn back(&self) -> Result<()> {
        Ok(self.weights.iter().zip(&self.start).try_for_each(|((_, var), start)| var.set(start))?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use dht_transformer::{BertConfig, Encoder, Encoding, Pooling, Sample, TextClassifier};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::loss::{LabelLoss, SoftLabelLoss, TaskLoss};
    use crate::relaxation::{RelaxationKind, Sigmoid};
    use crate::settings::{GateLoss, NasSettings, Update};
    use crate::space::NasSpace;

    const RATE: f64 = 2.0;

    /// Creates a search in which weights and gates learn from the labels, or weights learn from another model's logits.
    fn search(gate_loss: GateLoss) -> ArchitectureSearch {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let small = BertConfig::small(1, 2, 8, 20).unwrap();
        let config =
            BertConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, initializer_range: 0.4, ..small };
        let [model, teacher] = std::array::from_fn(|_| {
            let encoder = Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
            TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng).unwrap()
        });
        let open = RelaxationKind::Sigmoid(Sigmoid { start: 0.5, ..Sigmoid::default() });
        let settings = NasSettings {
            space: NasSpace { inputs: true, neurons: true, heads: true, ..NasSpace::default() },
            relaxation: open.clone(),
            head_relaxation: open,
            update: Update::Unrolled { rate: RATE },
            gate_loss,
            ..NasSettings::default()
        };
        let loss: Box<dyn TaskLoss> = match gate_loss {
            GateLoss::Task => Box::new(LabelLoss),
            GateLoss::Labels => Box::new(SoftLabelLoss::new(&teacher, 1.0).unwrap()),
        };
        ArchitectureSearch::with_loss(model, settings, loss, &mut rng).unwrap()
    }

    fn batch(seed: u64) -> PackedBatch {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let samples: Vec<Sample> = (0..6)
            .map(|id| {
                let ids = (0..5).map(|_| rng.random_range(0..20)).collect();
                let encoding = Encoding { ids, type_ids: Vec::new(), truncated: false, rest: Default::default() };
                Sample { id, label: rng.random_range(0..2), targets: Vec::new(), encoding }
            })
            .collect();
        PackedBatch::from_samples(&samples).unwrap()
    }

    /// Loss on `validation` after one weight update on `training`, computed directly from the definition.
    fn after_a_step(search: &ArchitectureSearch, training: &PackedBatch, validation: &PackedBatch) -> f64 {
        let progress = Progress { seed: 1, step: 0, epoch: 0, share: 0.0 };
        let parameters = search.parameters();
        let loss = |batch: &PackedBatch, of: StepParameters| {
            let ctx = ForwardContext::training_without_dropout(parameters);
            (search.task_loss(batch, of, progress, &ctx).unwrap(), ctx)
        };
        let (value, ctx) = loss(training, StepParameters::Weights);
        let gradients = ctx.backward(&value, parameters).unwrap();
        let before = parameters.values().unwrap();
        for (id, name, var) in parameters.iter().filter(|(_, name, _)| !name.starts_with("nas.")) {
            if let Some(gradient) = gradients.get(id) {
                let moved = (var.as_tensor() - (gradient.to_tensor(var).unwrap() * RATE).unwrap()).unwrap();
                var.set(&moved).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
        let gate_loss = loss(validation, StepParameters::Gates).0.to_scalar::<f32>().unwrap();
        parameters.set_values(before).unwrap();
        f64::from(gate_loss)
    }

    #[test]
    fn the_gradient_is_that_of_the_loss_after_the_weights_next_step() {
        for gate_loss in [GateLoss::Task, GateLoss::Labels] {
            check_gradient(&search(gate_loss));
        }
    }

    fn check_gradient(search: &ArchitectureSearch) {
        let (training, validation) = (batch(1), batch(2));
        let progress = Progress { seed: 1, step: 0, epoch: 0, share: 0.0 };
        let weights = |search: &ArchitectureSearch| search.parameters().values().unwrap();
        let before = weights(search);
        let (gradients, value) = search.unrolled((&training, &validation), RATE, progress).unwrap();
        assert_eq!(format!("{before:?}"), format!("{:?}", weights(search)), "weights are where they were");
        assert!((value - after_a_step(search, &training, &validation)).abs() < 1e-5);

        // First-order gradient, at the current weights.
        let ctx = ForwardContext::training_without_dropout(search.parameters());
        let loss = search.task_loss(&validation, StepParameters::Gates, progress, &ctx).unwrap();
        let first_order = ctx.backward(&loss, search.parameters()).unwrap();
        let (mut rng, mut worst, mut first_orders_worst) = (ChaCha8Rng::seed_from_u64(7), 0.0_f64, 0.0_f64);
        for (alpha, gradients) in search.alphas.iter().zip(&gradients) {
            let start = alpha.var().as_detached_tensor().copy().unwrap();
            let direction: Vec<f32> = (0..start.elem_count()).map(|_| rng.random_range(-1.0..1.0)).collect();
            let direction = Tensor::new(&direction[..], &Device::Cpu).unwrap();
            let at = |distance: f64| {
                alpha.var().set(&(&start + (&direction * distance).unwrap()).unwrap()).unwrap();
                after_a_step(search, &training, &validation)
            };
            let expected = (at(0.02) - at(-0.02)) / 0.04;
            alpha.var().set(&start).unwrap();
            let along = |gradients: &Tensor| {
                let along = (gradients * &direction).unwrap().sum_all().unwrap();
                (f64::from(along.to_scalar::<f32>().unwrap()) - expected).abs()
            };
            worst = worst.max(along(gradients));
            let own = first_order.get(alpha.id()).unwrap().to_tensor(alpha.var()).unwrap();
            first_orders_worst = first_orders_worst.max(along(&own));
        }
        assert!(worst < 0.1 * first_orders_worst, "{worst}, of first order {first_orders_worst}");
    }
}
