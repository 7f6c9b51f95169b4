//! Head importance by gate gradients: |∂L/∂ξ| of the loss L, for a gate ξ on each head (Michel et al. 2019).
//!
//! Importance can define the rewards of the head-set bandit ([`HeadFeedback::Gradient`]). It can also select the pinned
//! heads at the end of the warm-up ([`PinnedHeads::GradientImportance`]).

use std::collections::BTreeMap;

use dht_dynamic::passage::Trace;
use dht_transformer::{ForwardContext, HeadSet, PackedBatch};

use super::head_importance::HeadImportance;
use super::objective::{PendingHeadFeedback, SearchObjective};
use crate::error::Result;
use crate::reward::HeadFeedback;
use crate::routing::Losses;
use crate::settings::PinnedHeads;

/// Lower bound for the gradient of a loss with respect to the log-odds of the label. It avoids a division by 0 where
/// the label has probability 1.
const SMALLEST_GRADIENT: f64 = 1e-6;

impl SearchObjective {
    /// Pinned heads, which every head set contains, at the start of a training run. If the head router has completed
    /// its warm-up in an earlier run, its pinned heads are kept.
    pub(super) fn first_pins(&self) -> Result<Option<HeadSet>> {
        let heads = &self.dynamic.heads;
        match heads.pinned().filter(|_| heads.is_warm()) {
            Some(pinned) => Ok(Some(pinned)),
            None => self.dynamic.provisional_pins(),
        }
    }

    /// Starts to accumulate the importance of heads, if the pinned heads are selected by importance
    /// ([`PinnedHeads::GradientImportance`]).
    pub(super) fn begin_importance(&mut self) {
        let shape = self.dynamic.space().model_shape();
        let heads = &self.dynamic.heads;
        let some = heads.pinned().is_some_and(|pinned| !heads.is_warm() && !pinned.is_full(shape.heads));
        let by_importance = self.settings().pinned_heads == PinnedHeads::GradientImportance && some;
        self.importance = by_importance.then(|| HeadImportance::new(shape));
    }

    /// Configures a forward pass so that its backward pass stores gradients of the head gates, if they are needed.
    pub(super) fn with_head_gradients(&self, ctx: ForwardContext) -> ForwardContext {
        let needed = self.settings().head_feedback == HeadFeedback::Gradient || self.importance.is_some();
        if needed { ctx.with_head_gate_gradients() } else { ctx }
    }

    /// Stores a training step until its backward pass has computed the gradients of the head gates.
    pub(super) fn await_head_gradients(
        &mut self,
        batch: &PackedBatch,
        trace: Trace,
        losses: &Losses,
        ctx: &ForwardContext,
    ) {
        if self.settings().head_feedback == HeadFeedback::Gradient && self.dynamic.is_warm() {
            let samples = batch.sample_ids.clone();
            let own = |(sample, exit): (usize, &usize)| losses.by_exit[*exit][sample];
            let scale = |loss: f64| batch.len() as f64 / (1.0 - (-loss).exp()).max(SMALLEST_GRADIENT);
            let scales = trace.decisions.exits.iter().enumerate().map(own).map(scale).collect();
            self.pending_feedback =
                Some(PendingHeadFeedback { ctx: ctx.clone(), samples, groups: trace.groups, scales });
        } else {
            self.await_importance(batch, ctx);
        }
    }

    /// Stores a training step from whose gradients only the importance of heads is computed; the head-set bandit does
    /// not learn from it.
    pub(super) fn await_importance(&mut self, batch: &PackedBatch, ctx: &ForwardContext) {
        if self.importance.is_some() {
            let (samples, groups, scales) = (batch.sample_ids.clone(), Vec::new(), Vec::new());
            self.pending_feedback = Some(PendingHeadFeedback { ctx: ctx.clone(), samples, groups, scales });
        }
    }

    /// Updates the head router from the head-gate gradients of the last training step. Pins heads by importance when
    /// the warm-up is over.
    pub(super) fn learn_from_head_gradients(&mut self) -> Result<()> {
        if let Some(PendingHeadFeedback { ctx, samples, groups, scales }) = self.pending_feedback.take() {
            let mut by_head: BTreeMap<(usize, u64, usize), f64> = BTreeMap::new();
            for gate in ctx.head_gate_gradients() {
                let gradient = f64::from(gate.gradient).abs();
                by_head.insert((gate.layer, gate.sample, gate.head), gradient);
                if let Some(importance) = &mut self.importance {
                    // The loss is a mean over the samples.
                    importance.add(gate.layer, gate.head, samples.len() as f64 * gradient);
                }
            }
            for trace in &groups {
                let layers = self.dynamic.space().groups()[trace.group];
                let importance = |index: usize, head: usize| -> f64 {
                    let of = |layer| by_head.get(&(layer, samples[trace.members[index]], head)).copied();
                    scales[trace.members[index]] * layers.layers().filter_map(of).sum::<f64>()
                };
                self.accounting.bandit_flops += self.dynamic.heads.learn_gradients(trace, &importance)?;
            }
        }
        self.pin_important_heads()
    }

    fn pin_important_heads(&mut self) -> Result<()> {
        // Routers with rolling scaling have no warm-up; importance needs the same number of samples in any case.
        let warm = self.dynamic.heads.is_warm();
        let enough = self.settings().warm_up_contexts.max(1) as u64;
        let Some(importance) = self.importance.take_if(|importance| warm && importance.samples() >= enough) else {
            return Ok(());
        };
        match self.dynamic.most_important_heads(|layer| Ok(importance.of_layer(layer)))? {
            Some(pinned) => self.dynamic.heads.pin(pinned),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use dht_dynamic::Error as Dynamic;
    use dht_transformer::pruning::Importance;
    use dht_transformer::{
        BertConfig, EncodedDataset, Encoder, Encoding, HeadPlan, Objective, Progress, Sample, tensors::cross_entropy,
    };
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::error::Error;
    use crate::model::SearchModel;
    use crate::settings::{FullModelSteps, SearchSettings};
    use crate::space::{Preset, SearchSpace, SpaceConfig};
    use dht_dynamic::route::ModelShape;

    const ROWS: usize = 24;

    fn texts() -> EncodedDataset {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let samples = (0..ROWS as u64).map(|id| {
            let ids: Vec<u32> = (0..rng.random_range(2..9)).map(|_| rng.random_range(0..50)).collect();
            let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
            Sample { id, label: rng.random_range(0..3), targets: Vec::new(), encoding }
        });
        let labels = (0..3).map(|class| class.to_string()).collect();
        EncodedDataset { samples: samples.collect(), labels, truncated_rows: 0 }
    }

    fn pinned(search: &SearchObjective) -> Option<HeadSet> {
        search.dynamic.heads.pinned()
    }

    fn search(pinned: usize, settings: SearchSettings) -> SearchObjective {
        let mut config = BertConfig::small(4, 12, 24, 50).unwrap();
        (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.0, 0.0);
        config.initializer_range = 0.2;
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let encoder = Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
        let config = SpaceConfig { pinned, ..Preset::TDht.space(4, 12).unwrap().config().clone() };
        let space = SearchSpace::new(config).unwrap();
        SearchObjective::new(SearchModel::new(encoder, space, settings, 3, &mut rng).unwrap()).unwrap()
    }

    /// Runs one training pass over the texts without an optimiser, so that the weights do not change.
    fn steps(search: &mut SearchObjective, texts: &EncodedDataset, share: f64) {
        for (step, rows) in (0..ROWS).collect::<Vec<_>>().chunks(4).enumerate() {
            let progress = Progress { seed: 1, step: step as u64, epoch: 0, share };
            search.offer(texts.batch(rows).unwrap(), progress).unwrap();
            while let Some(step) = search.next_loss(progress, false).unwrap() {
                step.ctx.backward(&step.loss, search.parameters()).unwrap();
            }
        }
    }

    fn prepare(search: &mut SearchObjective, texts: &EncodedDataset) {
        search.prepare(texts, Progress { seed: 1, step: 0, epoch: 0, share: 0.0 }).unwrap();
    }

    /// Importance of heads in the full model, computed from the gradients of the weights, one text at a time.
    fn oracle(search: &SearchObjective, texts: &EncodedDataset) -> Importance {
        let model = search.exit_model();
        let loss = |batch: &PackedBatch, ctx: &ForwardContext| {
            let hidden = model.encoder().run(0..4, &model.encoder().embed(batch, ctx)?, &HeadPlan::Full, ctx)?;
            let logits = model.exits()[3].logits(&hidden, ctx).expect("logits");
            Ok(cross_entropy(&logits, &batch.labels)?.mean_all()?)
        };
        Importance::by_gradient(model.encoder(), texts, &(0..ROWS).collect::<Vec<_>>(), loss).unwrap()
    }

    fn normalised(scores: &[f64]) -> Vec<f64> {
        let norm = scores.iter().map(|score| score * score).sum::<f64>().sqrt();
        scores.iter().map(|score| score / norm).collect()
    }

    #[test]
    fn head_importance_is_a_mean_over_samples_scaled_to_length_1() {
        let mut importance = HeadImportance::new(ModelShape { layers: 2, heads: 3 });
        assert_eq!(importance.samples(), 0);
        // Means 3, 4 and, of a head that no sample kept, 0.
        [(0, 2.0), (0, 4.0), (1, 4.0)].into_iter().for_each(|(head, value)| importance.add(1, head, value));
        assert_eq!((importance.of_layer(0), importance.of_layer(1)), (vec![0.0; 3], vec![0.6, 0.8, 0.0]));
        assert_eq!(importance.samples(), 2);
        importance.check_with(ModelShape { layers: 2, heads: 3 }).unwrap();
        for other in [ModelShape { layers: 1, heads: 3 }, ModelShape { layers: 2, heads: 2 }] {
            assert!(matches!(
                importance.check_with(other),
                Err(Error::Dynamic(Dynamic::State { what: "importance of heads", .. }))
            ));
        }
        importance.add(0, 0, f64::NAN);
        assert!(importance.check_with(ModelShape { layers: 2, heads: 3 }).is_err());
    }

    #[test]
    fn the_most_important_heads_are_pinned_after_the_warm_up() {
        let texts = texts();
        let full_model_steps = FullModelSteps { first: 0.5, every: 0 };
        let mut search = search(4, SearchSettings { full_model_steps, warm_up_contexts: 12, ..Default::default() });
        let expected = oracle(&search, &texts);
        let norm = search.dynamic.heads_of_largest_norm().unwrap();
        assert_eq!(norm.map(HeadSet::len), Some(4));
        prepare(&mut search, &texts);
        // Steps of the full model: the same gates as the oracle's, from batches in place of single texts.
        steps(&mut search, &texts, 0.0);
        let importance = search.importance.clone().unwrap();
        for layer in 0..4 {
            for (a, b) in importance.of_layer(layer).iter().zip(normalised(&expected.heads[layer])) {
                assert!((a - b).abs() < 1e-4, "layer {layer}: {a}, expected {b}");
            }
        }
        assert_eq!(pinned(&search), norm, "nothing is chosen during the warm-up");

        // Two batches of routed texts are not enough to end the warm-up, the third does.
        let mut by_step = Vec::new();
        for rows in (0..ROWS).collect::<Vec<_>>().chunks(4) {
            let progress = Progress { seed: 1, step: by_step.len() as u64, epoch: 0, share: 0.9 };
            let last = search.importance.clone();
            search.offer(texts.batch(rows).unwrap(), progress).unwrap();
            while let Some(step) = search.next_loss(progress, false).unwrap() {
                step.ctx.backward(&step.loss, search.parameters()).unwrap();
            }
            by_step.push((pinned(&search), search.importance.is_some(), last));
        }
        let chosen = by_step[2].0;
        assert_ne!(chosen, norm, "this test needs heads of high importance and small norm");
        for (step, (pinned, collecting, _)) in by_step.iter().enumerate() {
            assert_eq!((*pinned, *collecting), if step < 2 { (norm, true) } else { (chosen, false) }, "step {step}");
        }
        let of_groups = |layer: usize| (1..4).contains(&layer);
        let mut sums = vec![(0.0, 0); 12];
        for (head, sum) in sums.iter_mut().enumerate() {
            let layers = (0..4).filter(|layer| of_groups(*layer));
            *sum = (layers.map(|layer| normalised(&expected.heads[layer])[head]).sum::<f64>(), head);
        }
        sums.sort_by(|a, b| b.0.total_cmp(&a.0));
        // The routed texts move the means a little: the first of the oracle's heads are chosen in any case.
        assert!(sums.iter().take(2).all(|(_, head)| chosen.unwrap().contains(*head)), "{chosen:?}, {sums:?}");
        // A model that is warm keeps its pinned heads when it is trained further.
        prepare(&mut search, &texts);
        assert_eq!((pinned(&search), search.importance.is_some()), (chosen, false));
    }

    #[test]
    fn a_space_without_pins_has_none_and_given_heads_pin_at_once() {
        let texts = texts();
        let short = SearchSettings { warm_up_contexts: 8, ..SearchSettings::default() };
        let mut none = search(0, short.clone());
        prepare(&mut none, &texts);
        assert!(pinned(&none).is_none() && none.importance.is_none());
        steps(&mut none, &texts, 0.9);
        assert!(none.dynamic.heads.is_warm() && pinned(&none).is_none());
        let mut again = none.dynamic.heads.clone();
        again.restore(none.dynamic.heads.state().unwrap()).unwrap();

        let heads = vec![9, 2];
        let settings = SearchSettings { pinned_heads: PinnedHeads::Given { heads: heads.clone() }, ..short };
        let mut listed = search(2, settings.clone());
        prepare(&mut listed, &texts);
        steps(&mut listed, &texts, 0.9);
        assert_eq!(pinned(&listed), Some(HeadSet::from_indices(heads, 12).unwrap()));
        let space = |pinned| SpaceConfig { pinned, ..listed.dynamic.space().config().clone() };
        for (pinned, heads) in [(3, vec![9, 2]), (2, vec![9, 9]), (2, vec![9, 12])] {
            let settings = SearchSettings { pinned_heads: PinnedHeads::Given { heads }, ..settings.clone() };
            let refused = settings.check_with(&SearchSpace::new(space(pinned)).unwrap());
            assert!(
                matches!(refused, Err(Error::Dynamic(Dynamic::Argument { name: "pinned_heads.given.heads", .. }))),
                "{refused:?}"
            );
        }
    }
}
