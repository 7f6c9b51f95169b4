//! The training: batches come, are routed, go their ways, and teach encoder and bandits.

use std::collections::BTreeMap;
use std::time::Instant;

use dht_transformer::{
    EncodedDataset, Encoding, ForwardContext, Objective, PackedBatch, Progress, Sample, StepLoss,
    error::SettingMismatch,
    tensors::Parameters,
    train::{Predict, metrics::macro_f1},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, to_value};

use super::accounting::CostAccounting;
use super::arm_features::arm_features;
use super::phases::NextPhase;
use super::queues::Queues;
use crate::error::{Error, Result};
use crate::model::{DynamicModel, ForwardTrace, PassedExits, Way};
use crate::routing::{DepthChoices, GroupDecisions, Learned, Losses, Mode, Reading, Strategy};
use crate::settings::{LossSource, SearchSettings};
use crate::space::SearchSpace;

/// Independent random streams: of each step, of each batch that is queued, and of what happens before the training.
const ROUTING: u64 = 1 << 32;
const QUEUEING: u64 = 1 << 48;
const PREPARING: u64 = 1 << 56;

impl DynamicModel {
    pub(crate) fn mode(&self, progress: Progress) -> Mode {
        let settings = self.settings();
        let random = settings.full_model_steps.first + settings.explore_share;
        // The last batch comes with all behind it.
        if progress.share < random || random >= 1.0 { Mode::Random } else { Mode::Explore }
    }

    /// A generator of its own for each stream, so that a resumed training draws the same.
    fn rng(progress: Progress, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(progress.seed);
        rng.set_stream(stream);
        rng
    }

    /// The generator of a step's routes. The batches that are accumulated into one step draw from it one after another,
    /// so that no two of them draw the same.
    fn routing(&mut self, progress: Progress) -> ChaCha8Rng {
        match self.routing.take() {
            Some((step, rng)) if step == progress.step => rng,
            _ => Self::rng(progress, ROUTING + progress.step),
        }
    }

    /// Runs a batch whose routes are decided on the way.
    fn in_flight(&mut self, batch: &PackedBatch, progress: Progress) -> Result<StepLoss> {
        let mut rng = self.routing(progress);
        let ctx = self.watching(ForwardContext::training(self.parameters(), progress.seed, progress.step as u32));
        let way =
            Way { ctx: &ctx, strategy: &self.bandits, mode: self.mode(progress), passed_exits: self.passed_exits() };
        let trace = self.executor().run(batch, &way, &mut rng)?;
        self.routing = Some((progress.step, rng));
        let flops = self.flops();
        let look = batch.spans.lengths().map(|tokens| flops.pre_pass(&self.space, tokens).0);
        self.accounting.flops += look.sum::<u64>();
        self.finish(batch, trace, ctx, progress)
    }

    /// Runs a batch that left a queue: the base layers again, with gradient, and on from there.
    fn run_again(&mut self, batch: &PackedBatch, depth: DepthChoices, progress: Progress) -> Result<StepLoss> {
        let mut rng = self.routing(progress);
        let ctx = self.watching(ForwardContext::training(self.parameters(), progress.seed, progress.step as u32));
        let way =
            Way { ctx: &ctx, strategy: &self.bandits, mode: self.mode(progress), passed_exits: self.passed_exits() };
        let trace = self.executor().run_again(batch, depth, &way, &mut rng)?;
        self.routing = Some((progress.step, rng));
        self.finish(batch, trace, ctx, progress)
    }

    /// Loss, rewards, and the books of a batch that has gone its ways.
    fn finish(
        &mut self,
        batch: &PackedBatch,
        trace: ForwardTrace,
        ctx: ForwardContext,
        progress: Progress,
    ) -> Result<StepLoss> {
        let (loss, losses) = self.losses(batch, &trace)?;
        let start = Instant::now();
        let mut judged = false;
        let known = losses.by_exit.iter().flatten().all(|loss| loss.is_nan() || loss.is_finite());
        let own = |sample: usize| losses.by_exit[trace.depth.exits[sample]][sample];
        if known && (0..batch.len()).all(|sample| own(sample).is_finite()) {
            if self.teaches_bandits(progress) {
                self.teach(&trace, &losses)?;
            }
            self.record_trace(batch, &trace, &own, progress)?;
            // A backward has no texts but those that are trained on.
            judged = self.settings().loss_source != LossSource::FirstEpoch || progress.epoch == 0;
        }
        // A loss that is not finite is left to the training loop, which stops.
        self.accounting.bandit_seconds += (trace.deciding + start.elapsed()).as_secs_f64();
        if judged {
            self.watch(batch, trace, &losses, &ctx);
        }
        Ok(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() })
    }

    /// Lets the bandits learn from a batch that has gone its ways.
    pub(crate) fn teach(&mut self, trace: &ForwardTrace, losses: &Losses) -> Result<()> {
        let groups: Vec<GroupDecisions<'_>> = trace
            .groups
            .iter()
            .map(|group| GroupDecisions { group: group.group, members: &group.members, choices: &group.choices })
            .collect();
        self.bandits.learn(&trace.depth, &groups, losses)
    }

    /// Routes a batch with the weights of the time, without gradient, and lets it wait.
    fn queue(&mut self, batch: &PackedBatch, progress: Progress) -> Result<()> {
        let ctx = ForwardContext::inference();
        let way = Way { ctx: &ctx, strategy: &self.bandits, mode: self.mode(progress), passed_exits: PassedExits::Own };
        // Several batches may join the queues between two steps: the samples before this one tell them apart.
        let mut rng = Self::rng(progress, QUEUEING + self.accounting.samples + self.queued.len() as u64);
        let (choices, deciding) = self.executor().decide(batch, &way, &mut rng)?;
        self.accounting.bandit_seconds += deciding.as_secs_f64();
        let flops = self.flops();
        let base: u64 = batch.spans.lengths().map(|tokens| flops.base(&self.space, tokens).0).sum();
        let read = self.bandits.reading() != Reading::Never;
        let classifier = flops.classifier.forward(if read { batch.len() as u64 } else { 0 }).total();
        self.accounting.flops += base + classifier.0;
        for sample in samples_of(batch) {
            self.queued.insert(sample.id as usize, sample);
        }
        if let Some(queues) = &mut self.queues {
            queues.join(&batch.sample_ids, choices, progress.step);
        }
        Ok(())
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
    #[serde(alias = "ledger")]
    accounting: CostAccounting,
}

fn of_state(source: serde_json::Error) -> Error {
    Error::State { what: "training state".into(), source }
}

impl DynamicModel {
    /// In what a training in this space and with these settings is not this one.
    fn differences_from(&self, space: &SearchSpace, settings: &SearchSettings) -> Result<Vec<SettingMismatch>> {
        let as_json = |space: &SearchSpace, settings: &SearchSettings| -> Result<Value> {
            let part = |part: serde_json::Result<Value>| part.map_err(of_state);
            Ok(json!({ "space": part(to_value(space))?, "search": part(to_value(settings))? }))
        };
        // A training that went on to its later space stays there.
        let own =
            self.next_phase.as_ref().map(|next_phase| &next_phase.space).filter(|next_phase| *next_phase == space);
        Ok(SettingMismatch::between(&as_json(space, settings)?, &as_json(own.unwrap_or(&self.space), self.settings())?))
    }
}

impl DynamicModel {
    /// Takes up a state, in the later space where it is of that one.
    fn restore_in(
        &mut self,
        next_phase: Option<NextPhase>,
        state: TrainingState<Learned>,
        training: &EncodedDataset,
    ) -> Result<()> {
        if let Some(next_phase) = next_phase {
            self.go_on(next_phase)?;
        }
        let shape = |queues: &Option<Queues>| queues.as_ref().map(Queues::shape);
        if shape(&state.queues) != shape(&self.queues) {
            return Err(Error::setting("queues", "those of these settings", "others"));
        }
        if let Some(queues) = &state.queues {
            queues.check(&self.bandits)?;
        }
        self.accounting.check_like(&state.accounting)?;
        let by_id: BTreeMap<usize, &Sample> = training.samples.iter().map(|s| (s.id as usize, s)).collect();
        let mut queued = BTreeMap::new();
        for row in state.queues.iter().flat_map(Queues::rows) {
            let missing = || Error::setting("waiting sample", "a row of the training set", row);
            queued.insert(row, (*by_id.get(&row).ok_or_else(missing)?).clone());
        }
        self.check_teacher()?;
        self.bandits.restore(state.bandits)?;
        (self.queues, self.queued, self.accounting) = (state.queues, queued, state.accounting);
        (self.pending_feedback, self.routing) = (None, None);
        (self.pending, self.pending_full_model) = (None, None);
        Ok(())
    }
}

impl Objective for DynamicModel {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.encoder.parameters()
    }

    /// Chooses the pinned heads and, where the contexts have them, computes the arms' features.
    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<()> {
        self.check_texts(training)?;
        // What a training that failed left behind belongs to that one.
        (self.pending_feedback, self.routing) = (None, None);
        (self.pending, self.pending_full_model, self.queued) = (None, None, BTreeMap::new());
        self.check_teacher()?;
        self.check_first_epoch(training)?;
        if let Some(queues) = &mut self.queues {
            *queues = queues.emptied();
        }
        let pinned = self.heads_of_largest_norm()?;
        let mut features = None;
        if self.settings().context.has_arm_features() {
            let options = self.bandits.options();
            let rows: Vec<usize> = (0..training.len().min(self.settings().arm_feature_texts)).collect();
            let mut rng = Self::rng(progress, PREPARING);
            let start = Instant::now();
            let (computed, flops) = arm_features(&self.executor(), &options, pinned, training, &rows, &mut rng)?;
            self.accounting.bandit_seconds += start.elapsed().as_secs_f64();
            self.accounting.flops += flops.0;
            self.accounting.arm_feature_flops += flops.0;
            features = Some(computed);
        }
        self.bandits.prepare(pinned, features)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<()> {
        if let Some(next_phase) = self.next_phase.take_if(|next_phase| progress.epoch >= next_phase.epoch) {
            self.go_on(next_phase)?;
        }
        let Some(batch) = self.hold_out(batch, progress)? else { return Ok(()) };
        if self.settings().full_model_steps.hold(progress.step, progress.share) {
            self.pending_full_model = Some(batch);
        } else if self.queues.is_some() {
            self.queue(&batch, progress)?;
        } else {
            self.pending = Some(batch);
        }
        Ok(())
    }

    fn next_loss(&mut self, progress: Progress, drain: bool) -> Result<Option<StepLoss>> {
        self.learn_from_head_gradients()?;
        if let Some(batch) = self.pending_full_model.take() {
            return self.run_full_model(&batch, progress).map(Some);
        }
        if let Some(batch) = self.pending.take() {
            return self.in_flight(&batch, progress).map(Some);
        }
        let Some(queues) = &mut self.queues else { return Ok(None) };
        let Some((rows, depth)) = queues.leave(drain, progress.step) else { return Ok(None) };
        let mut samples = Vec::with_capacity(rows.len());
        for row in rows {
            let missing = || Error::setting("waiting sample", "one that joined a queue", row);
            samples.push(self.queued.remove(&row).ok_or_else(missing)?);
        }
        let batch = PackedBatch::from_samples(&samples)?;
        self.run_again(&batch, depth, progress).map(Some)
    }

    /// Not before the search has gone on to its last space.
    fn may_be_best(&self) -> bool {
        self.next_phase.is_none()
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.check_texts(data)?;
        macro_f1(self, data, batch_size)
    }

    fn state(&self) -> Result<Value> {
        let state = TrainingState {
            space: self.space.clone(),
            settings: self.settings().clone(),
            bandits: self.bandits.state(),
            queues: self.queues.clone(),
            accounting: self.accounting.clone(),
        };
        to_value(state).map_err(of_state)
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        let space = SearchSpace::deserialize(&state["space"]).map_err(of_state)?;
        let settings = SearchSettings::deserialize(&state["settings"]).map_err(of_state)?;
        self.differences_from(&space, &settings)
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        let state: TrainingState<Learned> = serde_json::from_value(state).map_err(of_state)?;
        self.check_texts(training)?;
        if let Some(difference) = self.differences_from(&state.space, &state.settings)?.first() {
            let expected = "one of this space and these settings";
            return Err(Error::setting("training state", expected, format!("one where {difference}")));
        }
        // A state of the later space is taken up there; refused, it leaves the model in the space where it was.
        let next_phase = self.next_phase.take_if(|next_phase| next_phase.space == state.space);
        let before = next_phase.clone().map(|next_phase| {
            let parts = (self.space.clone(), self.heads.clone(), self.bandits.clone(), self.queues.clone());
            (next_phase, parts)
        });
        let restored = self.restore_in(next_phase, state, training);
        if restored.is_err()
            && let Some((next_phase, (space, heads, bandits, queues))) = before
        {
            self.leave_for(space, heads);
            (self.bandits, self.queues, self.next_phase) = (bandits, queues, Some(next_phase));
        }
        restored
    }

    /// The bandits go back with the weights that they know; the books stay those of the whole training.
    fn restore_best(&mut self, state: Value) -> Result<()> {
        let state: TrainingState<Learned> = serde_json::from_value(state).map_err(of_state)?;
        self.bandits.restore(state.bandits)
    }
}

impl Predict for DynamicModel {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>> {
        Ok(self.predict_in(ctx, batch)?.into_iter().map(|prediction| prediction.label).collect())
    }
}
