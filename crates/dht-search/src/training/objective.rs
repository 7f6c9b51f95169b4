//! Training objective of a search model.

use std::collections::BTreeMap;
use std::time::Instant;

use dht_dynamic::ExitModel;
use dht_dynamic::passage::GroupTrace;
use dht_dynamic::router::{Decisions, Mode};
use dht_transformer::{
    EncodedDataset, ForwardContext, Objective, PackedBatch, Progress, Sample, StepLoss, TextClassifier,
    error::SettingMismatch, tensors::Parameters, train::Predict,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::accounting::CostAccounting;
use super::arm_features::arm_features;
use super::head_importance::HeadImportance;
use crate::error::{Error, Result};
use crate::model::SearchModel;
use crate::routing::{Preparation, Queues};
use crate::settings::{Dispatch, SearchSettings};
use crate::space::SearchSpace;

/// Number of the random stream that is used before training, in [`prepare`](Objective::prepare).
const PREPARING: u64 = 1 << 56;

/// Training objective of a search model: it routes each batch, trains the encoder and the routers on the losses, and
/// counts the cost.
///
/// Pass it to a [`Trainer`](dht_transformer::Trainer), like every [`Objective`](dht_transformer::Objective). The seed
/// of the training run determines the order of the samples, dropout, and the routes.
///
/// The cost of a step is the forward and backward passes of its samples' routes. With queues, where samples wait until
/// enough others of the same depth arrive, the base layers run twice.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_search::transformer::{
///     BertConfig, Dataset, Encoder, Example, TextTokenizer, TrainSettings, Trainer,
/// };
/// use dht_search::{Preset, SearchModel, SearchObjective, SearchSettings};
/// use rand::SeedableRng;
///
/// let examples = vec![Example::new("A fine day", 1), Example::new("Bad food", 0)];
/// let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// let texts = data.examples.iter().map(|example| &*example.text);
/// let tokenizer = TextTokenizer::train(texts, 100)?;
/// let encoded = tokenizer.encode_all(&data, 16)?;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// let space = Preset::TDht.space(4, 6)?;
/// let model = SearchModel::new(encoder, space, SearchSettings::default(), 2, &mut rng)?;
///
/// let mut search = SearchObjective::new(model)?;
/// let settings = TrainSettings { epochs: 2, batch_size: 2, ..TrainSettings::default() };
/// Trainer::new(settings).fit(&mut search, &encoded, &encoded, &mut ())?;
/// let accounting = search.accounting();
/// assert_eq!(accounting.samples, 4); // 2 texts in 2 epochs
/// assert_eq!(accounting.routes.values().sum::<u64>(), 4);
/// assert!(accounting.flops > 0);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug)]
pub struct SearchObjective {
    pub(super) dynamic: SearchModel,
    pub(super) next_phase: Option<NextPhase>,
    /// Batch whose loss is not yet computed.
    pub(super) pending: Option<Step>,
    /// Training step whose backward pass, which computes the head gradients, is pending.
    pub(super) pending_feedback: Option<PendingHeadFeedback>,
    /// Importance of heads, accumulated until the pinned heads are selected.
    pub(super) importance: Option<HeadImportance>,
    pub(super) queues: Option<Queues>,
    /// Samples that wait in a queue, by their row in the training data.
    pub(super) queued: BTreeMap<usize, Sample>,
    /// Number of the last training step whose routes were drawn, and the random generator after drawing them. Later
    /// batches of the same step continue with this generator.
    pub(super) routing: Option<(u64, ChaCha8Rng)>,
    pub(super) accounting: CostAccounting,
    pub(super) observer: RouteObserver,
    pub(super) teacher: Option<TextClassifier>,
}

/// Batch of a training step, with the routes on which it will run.
#[derive(Debug)]
pub(super) enum Step {
    /// Batch that is routed during its forward pass.
    Route(PackedBatch),
    /// Batch from a queue, which was routed in an earlier step.
    Decided(PackedBatch, Decisions),
    FullModel(PackedBatch),
}

/// Second phase of a training run: its search space and its first epoch.
#[derive(Debug, Clone)]
pub(super) struct NextPhase {
    /// First epoch of the phase, counted from 0.
    pub(super) epoch: usize,
    pub(super) space: SearchSpace,
    pub(super) model: ExitModel,
}

/// Training step that has a loss but no gradients yet. After its backward pass, the head router learns from the
/// gradients of head gates.
#[derive(Debug)]
pub(super) struct PendingHeadFeedback {
    pub(super) ctx: ForwardContext,
    /// Ids of the batch's samples.
    pub(super) samples: Vec<u64>,
    /// Decisions in each group of layers whose heads the head-set bandit learns from; empty if only the importance of
    /// heads is needed.
    pub(super) groups: Vec<GroupTrace>,
    /// Factor for each sample that converts the gate gradient of the step's loss to the gate gradient of the log-odds
    /// of the sample's label. Empty if the head-set bandit does not learn from this step.
    pub(super) scales: Vec<f64>,
}

/// Callback that receives the depth of each sample that is trained on.
#[derive(Default)]
pub(super) struct RouteObserver(pub(super) Option<Box<dyn FnMut(usize) + Send + Sync>>);

impl std::fmt::Debug for RouteObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "RouteObserver" } else { "no observer" })
    }
}

impl SearchObjective {
    /// Creates the objective that trains a model.
    ///
    /// # Errors
    /// None for a model of this crate.
    pub fn new(model: SearchModel) -> Result<Self> {
        let queues = match model.settings.dispatch {
            Dispatch::InFlight => None,
            Dispatch::Queue { size } => Some(Queues::new(size, model.space().exits().len())),
        };
        Ok(Self {
            accounting: CostAccounting::new(model.space().model_shape().heads)?,
            dynamic: model,
            next_phase: None,
            pending: None,
            pending_feedback: None,
            importance: None,
            queues,
            queued: BTreeMap::new(),
            routing: None,
            observer: RouteObserver::default(),
            teacher: None,
        })
    }

    /// Model in its current state.
    pub fn model(&self) -> &SearchModel {
        &self.dynamic
    }

    /// Returns the trained model.
    pub fn into_model(self) -> SearchModel {
        self.dynamic
    }

    /// Cost and decisions of the training run so far.
    pub fn accounting(&self) -> &CostAccounting {
        &self.accounting
    }

    /// Mean waiting time of samples in a queue, in optimiser steps; `None` if the settings have no queues.
    pub fn mean_wait(&self) -> Option<f64> {
        self.queues.as_ref().map(Queues::mean_wait)
    }

    /// Sets a callback, for example for a progress bar. It is called with the depth (number of layers run) of each
    /// training sample.
    pub fn on_route(&mut self, observer: impl FnMut(usize) + Send + Sync + 'static) {
        self.observer = RouteObserver(Some(Box::new(observer)));
    }

    pub(super) fn settings(&self) -> &SearchSettings {
        &self.dynamic.settings
    }

    pub(super) fn exit_model(&self) -> &ExitModel {
        &self.dynamic.model
    }

    pub(super) fn mode<'a>(&self, progress: Progress, rng: &'a mut dyn Rng) -> Mode<'a> {
        let settings = self.settings();
        let random = settings.full_model_steps.first + settings.explore_share;
        // At the last batch the share is 1.
        if progress.share < random || random >= 1.0 { Mode::Random(rng) } else { Mode::Explore(rng) }
    }

    /// Discards the batch and the pending backward pass of a failed training step.
    pub(super) fn clear_pending(&mut self) {
        (self.pending, self.pending_feedback, self.routing) = (None, None, None);
    }
}

/// Creates the random generator of a numbered stream. Its numbers do not depend on earlier draws, so that a resumed
/// training run draws the same numbers.
pub(super) fn stream(progress: Progress, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(progress.seed);
    rng.set_stream(stream);
    rng
}

impl Objective for SearchObjective {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.dynamic.encoder().parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        Ok(self.exit_model().check_texts(data)?)
    }

    /// Selects the first pinned heads (heads that every head set contains), unless the routers have completed their
    /// warm-up. Also computes the arm features, if the bandits' contexts include them.
    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<()> {
        self.exit_model().check_texts(training)?;
        self.clear_pending();
        self.queued = BTreeMap::new();
        self.check_teacher()?;
        self.check_first_epoch(training)?;
        if let Some(queues) = &mut self.queues {
            training.check_ids()?;
            *queues = queues.emptied();
        }
        let pinned = self.first_pins()?;
        let mut features = None;
        if self.settings().context.has_arm_features() {
            let most = self.settings().arm_feature_texts.unwrap_or(training.len());
            let rows: Vec<usize> = (0..training.len().min(most)).collect();
            let mut rng = stream(progress, PREPARING);
            let start = Instant::now();
            let (computed, flops) = arm_features(&self.dynamic, pinned, training, &rows, &mut rng)?;
            self.accounting.bandit_seconds += start.elapsed().as_secs_f64();
            self.accounting.flops += flops.0;
            self.accounting.arm_feature_flops += flops.0;
            features = Some(computed);
        }
        let preparation = Preparation { pinned, arm_features: features };
        self.dynamic.router.prepare(&preparation)?;
        self.dynamic.heads.prepare(&preparation)?;
        self.begin_importance();
        Ok(())
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        if let Some(next_phase) = self.next_phase.take_if(|next_phase| progress.epoch >= next_phase.epoch) {
            self.enter(next_phase)?;
        }
        let Some(batch) = self.hold_out(batch, progress)? else { return Ok(None) };
        if self.settings().full_model_steps.hold(progress.step, progress.share) {
            self.pending = Some(Step::FullModel(batch));
        } else if self.queues.is_some() {
            self.queue(&batch, progress)?;
        } else {
            self.pending = Some(Step::Route(batch));
        }
        Ok(None)
    }

    fn next_loss(&mut self, progress: Progress, drain: bool) -> Result<Option<StepLoss>> {
        self.learn_from_head_gradients()?;
        let step = match self.pending.take() {
            Some(step) => Some(step),
            None => self.leave_queue(drain, progress)?,
        };
        step.map(|step| self.run(step, progress)).transpose()
    }

    /// Returns false before the last phase of the training run, so that no epoch of an earlier phase is selected as the
    /// best.
    fn may_be_best(&self) -> bool {
        self.next_phase.is_none()
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.exit_model().check_texts(data)?;
        self.macro_f1(data, batch_size)
    }

    fn state(&self) -> Result<Value> {
        self.training_state()
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        self.differences_from(state)
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        self.restore_training(state, training)
    }

    /// Restores the routers of the best epoch. The cost accounting still covers the whole training run.
    fn restore_best(&mut self, state: Value) -> Result<()> {
        self.restore_routers(state)
    }
}

impl Predict for SearchObjective {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>> {
        let predictions = self.dynamic.predict_in(ctx, batch)?.predictions;
        Ok(predictions.into_iter().map(|prediction| prediction.label).collect())
    }
}
