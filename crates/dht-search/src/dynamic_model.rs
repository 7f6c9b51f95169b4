//! What a user holds: a dynamic transformer that is fitted, evaluated, asked, saved and loaded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::{
    EncodedDataset, Encoder, Encoding, HeadSet, Objective, PackedBatch, Parameters, Pass, Predict, Progress, Sample,
    StepLoss, cross_entropy, macro_f1,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::arm_features::ArmFeatures;
use crate::executor::{Executor, ExitOutput, FlopsOfBatch, Passage, Shown};
use crate::exit_heads::ExitHeads;
use crate::queues::Queues;
use crate::strategy::{DepthChoices, GroupDecisions, Learned, Losses, Mode, Strategy, TreeBandits};
use crate::{
    BaseState, ContextDesign, CostModel, CurveRecorder, Dispatch, Error, ExitLosses, FlopsCost, Result, RewardShape,
    Route, SearchSettings, SearchSpace, WidthCoupling,
};

/// Bins of the recorded curves.
const CURVE_BINS: usize = 100;
/// Independent random streams: of each step, of each batch that is queued, and of what happens before the training.
const ROUTING: u64 = 1 << 32;
const QUEUEING: u64 = 1 << 48;
const PREPARING: u64 = 1 << 56;

/// An encoder with exits, whose routes bandits choose for each text (paper, 4.2.1: the tree search).
///
/// It is an [`Objective`]: a [`Trainer`](dht_transformer::Trainer) fits it, encoder and bandits together. Samples keep
/// their order and dropout from the training's seed, routes come from streams of the same seed.
///
/// A step costs what the routes of its samples cost, forward and backward, and with queues the base layers once more.
#[derive(Debug)]
pub struct DynamicModel {
    pub(crate) encoder: Encoder,
    pub(crate) heads: ExitHeads,
    pub(crate) space: SearchSpace,
    pub(crate) bandits: TreeBandits,
    /// The batch that came last, in flight.
    arrived: Option<PackedBatch>,
    queues: Option<Queues>,
    /// Samples that wait in queues, by row.
    waiting: BTreeMap<usize, Sample>,
    ledger: Ledger,
    watcher: Watcher,
}

/// Is told the depth of each sample that is trained on.
#[derive(Default)]
struct Watcher(Option<Box<dyn FnMut(usize) + Send>>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Watcher" } else { "no watcher" })
    }
}

/// What the training of a dynamic model cost and chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// FLOPs of all products: forward, backward, second passes of the base layers, arm features.
    pub flops: u64,
    /// Of these, the passes for arm features.
    pub arm_feature_flops: u64,
    /// FLOPs of the bandits, by formula: 2·(d² + d) an arm and decision of a linear bandit of d dimensions, 4·d a head of
    /// the head bandit; updates and pooling are not counted. Beside `flops`, not in it.
    pub bandit_flops: u64,
    /// Wall clock of the bandits: pooling, deciding, learning.
    pub bandit_seconds: f64,
    /// How many samples took each route, each epoch counted.
    pub routes: BTreeMap<String, u64>,
    /// The sum over samples of Σ (heads of a layer that ran) / (N_L·N_H): the paper's estimate of a route's cost.
    pub layer_head_sum: f64,
    /// Samples trained on.
    pub samples: u64,
    /// Shares of depths and heads and the loss against progress.
    pub curves: CurveRecorder,
}

impl DynamicModel {
    /// A dynamic model of an encoder.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, a space of another size than the encoder, an integrated search or
    /// a base state that this model does not run yet, fewer than two classes.
    pub fn new<R: Rng + ?Sized>(
        mut encoder: Encoder,
        space: SearchSpace,
        settings: SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        settings.check()?;
        let stack = space.stack();
        let shape = encoder.block_shape();
        if (encoder.layers(), shape.heads) != (stack.layers, stack.heads) {
            let expected = format!("a space of {} layers and {} heads", encoder.layers(), shape.heads);
            return Err(Error::setting("space", expected, format!("{} and {}", stack.layers, stack.heads)));
        }
        if !space.is_tree() || space.config().base_state != BaseState::OnRoute || space.tail().is_some() {
            return Err(Error::setting("space", "a tree search whose base layers lie on the route", "another one"));
        }
        let heads = ExitHeads::new(&mut encoder, classes, &space, &settings, rng)?;
        let cost = FlopsCost::new(stack.layers, shape, heads.shape(), WidthCoupling::Heads)?;
        let bandits = TreeBandits::new(&space, &settings, cost)?;
        let queues = match settings.dispatch {
            Dispatch::InFlight => None,
            Dispatch::Queue { size } => Some(Queues::new(size, space.exits().len())),
        };
        let ledger = Ledger {
            flops: 0,
            arm_feature_flops: 0,
            bandit_flops: 0,
            bandit_seconds: 0.0,
            routes: BTreeMap::new(),
            layer_head_sum: 0.0,
            samples: 0,
            curves: CurveRecorder::new(CURVE_BINS, stack.heads)?,
        };
        let waiting = BTreeMap::new();
        Ok(Self { encoder, heads, space, bandits, arrived: None, queues, waiting, ledger, watcher: Watcher::default() })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The space of routes.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// The settings.
    pub fn settings(&self) -> &SearchSettings {
        self.bandits.settings()
    }

    /// What the training cost and chose.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many optimiser steps lay between routing and training on average; `None` without queues.
    pub fn mean_wait(&self) -> Option<f64> {
        self.queues.as_ref().map(Queues::mean_wait)
    }

    /// Tells `watcher` the depth (layers run) of each sample that is trained on from now on, for a progress bar.
    pub fn watch_routes(&mut self, watcher: impl FnMut(usize) + Send + 'static) {
        self.watcher = Watcher(Some(Box::new(watcher)));
    }

    /// The run-time knob's setting; `None` with rewards in which the cost is learned.
    pub fn lambda(&self) -> Option<f64> {
        match self.settings().reward_shape {
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } => Some(lambda),
            RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. } => None,
        }
    }

    /// The run-time knob: λ, what the cost of a whole model is worth in nats of loss. An arm scores what its bandit
    /// expects less λ·(FLOPs of the arm / FLOPs of the full model), so that no learned number changes. Ours.
    ///
    /// # Errors
    /// [`Error::Setting`] for a λ that is not finite or below 0, and with rewards in which the cost was learned.
    pub fn set_lambda(&mut self, lambda: f64) -> Result<()> {
        self.bandits.set_lambda(lambda)
    }

    /// The parts that run.
    pub(crate) fn executor(&self) -> Executor<'_> {
        Executor { encoder: &self.encoder, heads: &self.heads, space: &self.space }
    }

    /// The formulas of what runs.
    pub(crate) fn flops(&self) -> FlopsOfBatch {
        FlopsOfBatch { block: self.encoder.block_shape(), classifier: self.heads.shape() }
    }

    /// What a training batch shows.
    fn shown(&self) -> Shown {
        match self.settings().exit_losses {
            ExitLosses::Chosen => Shown::Own,
            ExitLosses::OnTheWay { .. } => Shown::Passed,
            ExitLosses::Probed => Shown::Probed,
        }
    }

    fn mode(&self, progress: Progress) -> Mode {
        if progress.share < self.settings().explore_share { Mode::Random } else { Mode::Explore }
    }

    /// A generator of its own for each stream, so that a resumed training draws the same.
    fn rng(progress: Progress, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(progress.seed);
        rng.set_stream(stream);
        rng
    }

    /// Runs a batch whose routes are decided on the way.
    fn in_flight(&mut self, batch: &PackedBatch, progress: Progress) -> Result<StepLoss> {
        let pass = Pass::training(self.parameters(), progress.seed, progress.step as u32);
        let shown = self.shown();
        let mut rng = Self::rng(progress, ROUTING + progress.step);
        let mode = self.mode(progress);
        let passage = self.executor().run(batch, &pass, &self.bandits, mode, shown, &mut rng)?;
        self.ledger.bandit_flops += batch.len() as u64 * self.bandits.depth_flops();
        self.finish(batch, passage, pass, progress)
    }

    /// Runs a batch that left a queue: the base layers again, with gradient, and on from there.
    fn run_again(&mut self, batch: &PackedBatch, depth: DepthChoices, progress: Progress) -> Result<StepLoss> {
        let pass = Pass::training(self.parameters(), progress.seed, progress.step as u32);
        let shown = self.shown();
        let mut rng = Self::rng(progress, ROUTING + progress.step);
        let (executor, mode) = (self.executor(), self.mode(progress));
        let base = executor.base(batch, &pass)?;
        let logits = executor.base_logits(&base, &pass, shown, false)?;
        let start = Duration::ZERO;
        let passage = executor.follow(base, logits, depth, start, &pass, &self.bandits, mode, shown, &mut rng)?;
        self.finish(batch, passage, pass, progress)
    }

    /// Loss, rewards, and the books of a batch that has gone its ways.
    fn finish(&mut self, batch: &PackedBatch, passage: Passage, pass: Pass, progress: Progress) -> Result<StepLoss> {
        let (loss, losses) = self.losses(batch, &passage)?;
        let start = Instant::now();
        let known = losses.by_exit.iter().flatten().all(|loss| loss.is_nan() || loss.is_finite());
        let own = |sample: usize| losses.by_exit[passage.depth.exits[sample]][sample];
        if known && (0..batch.len()).all(|sample| own(sample).is_finite()) {
            let groups: Vec<GroupDecisions<'_>> = passage
                .groups
                .iter()
                .map(|group| GroupDecisions { group: group.group, members: &group.members, choices: &group.choices })
                .collect();
            self.bandits.learn(&passage.depth, &groups, &losses)?;
            self.keep_books(batch, &passage, &own, progress)?;
        }
        // A loss that is not finite is left to the training loop, which stops.
        self.ledger.bandit_seconds += (passage.deciding + start.elapsed()).as_secs_f64();
        Ok(StepLoss { loss, pass, samples: batch.len(), terms: batch.len() })
    }

    /// The mean over samples of their weighted exit losses, and the losses as numbers.
    fn losses(&self, batch: &PackedBatch, passage: &Passage) -> Result<(Tensor, Losses)> {
        let samples = batch.len();
        // The weight of a passed exit, and how much the exits of a sample share.
        let (passed_weight, shared) = match self.settings().exit_losses {
            ExitLosses::Chosen => (0.0, 0.0),
            ExitLosses::OnTheWay { weight } => (weight, weight),
            ExitLosses::Probed => (1.0, 0.0),
        };
        let mut by_exit = vec![vec![f64::NAN; samples]; self.space.exits().len()];
        let mut total: Option<Tensor> = None;
        for ExitOutput { exit, samples: members, logits, probe } in &passage.outputs {
            let labels: Vec<u32> = members.iter().map(|member| batch.labels[*member]).collect();
            let losses = cross_entropy(logits, &labels)?;
            let numbers: Vec<f32> = losses.to_vec1()?;
            let mut weights = Vec::with_capacity(members.len());
            for (member, loss) in members.iter().zip(numbers) {
                by_exit[*exit][*member] = f64::from(loss);
                let own = passage.depth.exits[*member];
                let weight = match (own == *exit, probe) {
                    (true, true) => 0.0,
                    (true, false) => 1.0,
                    (false, _) => passed_weight,
                };
                weights.push((weight / (1.0 + shared * own as f64) / samples as f64) as f32);
            }
            let weights = Tensor::from_vec(weights, members.len(), logits.device())?;
            let part = (losses * weights)?.sum_all()?;
            total = Some(match total {
                Some(total) => (total + part)?,
                None => part,
            });
        }
        let none = || Error::setting("batch", "at least one sample", "none");
        Ok((total.ok_or_else(none)?, Losses { by_exit }))
    }

    fn keep_books(
        &mut self,
        batch: &PackedBatch,
        passage: &Passage,
        loss: &dyn Fn(usize) -> f64,
        progress: Progress,
    ) -> Result<()> {
        let (flops, shown) = (self.flops(), self.shown());
        let cost = CostModel::default();
        let routes = passage.routes(&self.space)?;
        for (sample, (route, tokens)) in routes.iter().zip(batch.spans.lengths()).enumerate() {
            let reads = shown.reads(passage.depth.exits[sample]);
            let both = flops.forward(route, tokens, reads.total()) + flops.backward(route, tokens, reads);
            self.ledger.flops += both.0;
            self.ledger.layer_head_sum += cost.share(route, tokens)?;
            *self.ledger.routes.entry(route.to_string()).or_default() += 1;
            if let Some(watcher) = &mut self.watcher.0 {
                watcher(route.depth());
            }
            self.ledger.curves.outcome(progress.share.min(1.0), route, loss(sample))?;
        }
        self.ledger.samples += batch.len() as u64;
        for passage in &passage.groups {
            self.ledger.bandit_flops += passage.members.len() as u64 * self.bandits.group_flops();
            let layers = self.space.groups()[passage.group];
            for bucket in &passage.choices.buckets {
                self.ledger.curves.head_set(layers, bucket.heads, bucket.places.len() as u64)?;
            }
        }
        Ok(())
    }

    /// Routes a batch with the weights of the time, without gradient, and lets it wait.
    fn queue(&mut self, batch: &PackedBatch, progress: Progress) -> Result<()> {
        let (executor, pass) = (self.executor(), Pass::inference());
        let base = executor.base(batch, &pass)?;
        let signals = self.bandits.wants_signals();
        let logits = if signals { Some(executor.heads.logits(0, &base, &pass)?) } else { None };
        let start = Instant::now();
        // Several batches may join the queues between two steps: the samples before this one tell them apart.
        let mut rng = Self::rng(progress, QUEUEING + self.ledger.samples + self.waiting.len() as u64);
        let choices = executor.decide(&base, logits.as_ref(), &self.bandits, self.mode(progress), &mut rng)?;
        self.ledger.bandit_seconds += start.elapsed().as_secs_f64();
        self.ledger.bandit_flops += batch.len() as u64 * self.bandits.depth_flops();
        let flops = self.flops();
        let layer = flops.block.forward((&batch.spans).into(), flops.block.full()).total();
        let classifier = flops.classifier.forward(if signals { batch.len() as u64 } else { 0 }).total();
        self.ledger.flops += self.space.base_layers() as u64 * layer.0 + classifier.0;
        for sample in samples_of(batch) {
            self.waiting.insert(sample.id as usize, sample);
        }
        if let Some(queues) = &mut self.queues {
            queues.join(&batch.sample_ids, choices, progress.step);
        }
        Ok(())
    }

    /// The heads that are always kept: those of the largest magnitude over the dynamic groups' layers.
    pub(crate) fn heaviest_heads(&self) -> Result<HeadSet> {
        let heads = self.space.stack().heads;
        let mut importance = vec![0.0; heads];
        for layer in self.space.base_layers()..self.space.stack().layers {
            let magnitudes = self.encoder.head_magnitudes(layer)?;
            importance.iter_mut().zip(magnitudes).for_each(|(sum, magnitude)| *sum += magnitude);
        }
        let mut order: Vec<usize> = (0..heads).collect();
        order.sort_by(|a, b| importance[*b].total_cmp(&importance[*a]).then(a.cmp(b)));
        Ok(HeadSet::from_indices(order.into_iter().take(self.space.pinned().max(1)), heads)?)
    }

    /// FLOPs of one training epoch of the full model on these texts with this model's classifier: what ratios are of.
    ///
    /// # Errors
    /// None that a model of this space can meet.
    pub fn full_training_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        let (flops, route) = (self.flops(), Route::truncated(self.space.stack(), self.space.stack().layers)?);
        let of_text =
            |tokens| (flops.forward(&route, tokens, 1) + flops.backward(&route, tokens, Shown::Own.reads(0))).0;
        Ok(texts.lengths().into_iter().map(of_text).sum())
    }

    /// FLOPs of predicting these texts with the full model and one classifier: what inference ratios are of.
    ///
    /// # Errors
    /// None that a model of this space can meet.
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        let (flops, route) = (self.flops(), Route::truncated(self.space.stack(), self.space.stack().layers)?);
        Ok(texts.lengths().into_iter().map(|tokens| flops.forward(&route, tokens, 1).0).sum())
    }
}

/// The samples of a batch, apart.
fn samples_of(batch: &PackedBatch) -> impl Iterator<Item = Sample> + '_ {
    (0..batch.len()).map(|sample| {
        let rows = batch.spans.range(sample);
        Sample {
            id: batch.sample_ids[sample],
            label: batch.labels[sample],
            targets: Vec::new(),
            encoding: Encoding {
                ids: batch.ids[rows.clone()].to_vec(),
                type_ids: batch.type_ids[rows].to_vec(),
                truncated: false,
            },
        }
    })
}

/// What a resumed training needs beside the parameters.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingState<L> {
    space: SearchSpace,
    settings: SearchSettings,
    bandits: L,
    queues: Option<Queues>,
    ledger: Ledger,
}

impl Objective for DynamicModel {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.encoder.parameters()
    }

    /// Chooses the pinned heads and, where the contexts have them, computes the arms' features.
    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<()> {
        // What a training that failed left behind belongs to that one.
        (self.arrived, self.waiting) = (None, BTreeMap::new());
        if let Some(queues) = &mut self.queues {
            *queues = queues.emptied();
        }
        let pinned = self.heaviest_heads()?;
        let mut features = None;
        if self.settings().context == ContextDesign::Paper {
            let mut options: Vec<usize> =
                (0..self.space.groups().len()).flat_map(|group| self.space.head_options(group)).copied().collect();
            options.sort_unstable();
            options.dedup();
            let rows: Vec<usize> = (0..training.len().min(self.settings().arm_feature_texts)).collect();
            let mut rng = Self::rng(progress, PREPARING);
            let start = Instant::now();
            let (computed, flops) =
                ArmFeatures::of_texts(&self.executor(), &options, pinned, training, &rows, &mut rng)?;
            self.ledger.bandit_seconds += start.elapsed().as_secs_f64();
            self.ledger.flops += flops.0;
            self.ledger.arm_feature_flops += flops.0;
            features = Some(computed);
        }
        self.bandits.prepare(pinned, features)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<()> {
        if self.queues.is_some() {
            self.queue(&batch, progress)
        } else {
            self.arrived = Some(batch);
            Ok(())
        }
    }

    fn next_loss(&mut self, progress: Progress, drain: bool) -> Result<Option<StepLoss>> {
        if let Some(batch) = self.arrived.take() {
            return self.in_flight(&batch, progress).map(Some);
        }
        let Some(queues) = &mut self.queues else { return Ok(None) };
        let Some((rows, depth)) = queues.leave(drain, progress.step) else { return Ok(None) };
        let mut samples = Vec::with_capacity(rows.len());
        for row in rows {
            let missing = || Error::setting("waiting sample", "one that joined a queue", row);
            samples.push(self.waiting.remove(&row).ok_or_else(missing)?);
        }
        let batch = PackedBatch::from_samples(&samples)?;
        self.run_again(&batch, depth, progress).map(Some)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        macro_f1(self, data, batch_size)
    }

    fn state(&self) -> Result<serde_json::Value> {
        let state = TrainingState {
            space: self.space.clone(),
            settings: self.settings().clone(),
            bandits: self.bandits.state(),
            queues: self.queues.clone(),
            ledger: self.ledger.clone(),
        };
        serde_json::to_value(state).map_err(|source| Error::State { what: "training state".into(), source })
    }

    fn restore(&mut self, state: serde_json::Value, training: &EncodedDataset) -> Result<()> {
        let state: TrainingState<Learned> =
            serde_json::from_value(state).map_err(|source| Error::State { what: "training state".into(), source })?;
        if state.space != self.space || state.settings != *self.settings() {
            return Err(Error::setting("training state", "one of this space and these settings", "another one"));
        }
        let shape = |queues: &Option<Queues>| queues.as_ref().map(Queues::shape);
        if shape(&state.queues) != shape(&self.queues) {
            return Err(Error::setting("queues", "those of these settings", "others"));
        }
        let by_id: BTreeMap<usize, &Sample> = training.samples.iter().map(|s| (s.id as usize, s)).collect();
        let mut waiting = BTreeMap::new();
        for row in state.queues.iter().flat_map(Queues::rows) {
            let missing = || Error::setting("waiting sample", "a row of the training set", row);
            waiting.insert(row, (*by_id.get(&row).ok_or_else(missing)?).clone());
        }
        self.bandits.restore(state.bandits)?;
        (self.queues, self.waiting, self.ledger, self.arrived) = (state.queues, waiting, state.ledger, None);
        Ok(())
    }

    /// The bandits go back with the weights that they know; the books stay those of the whole training.
    fn restore_best(&mut self, state: serde_json::Value) -> Result<()> {
        let state: TrainingState<Learned> =
            serde_json::from_value(state).map_err(|source| Error::State { what: "training state".into(), source })?;
        self.bandits.restore(state.bandits)
    }
}

impl Predict for DynamicModel {
    fn predict(&self, batch: &PackedBatch) -> Result<Vec<u32>> {
        Ok(self.predict_batch(batch)?.into_iter().map(|prediction| prediction.label).collect())
    }
}
