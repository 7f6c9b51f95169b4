//! A model that is fine-tuned in one way.

use std::collections::BTreeMap;

use candle_core::Tensor;
use dht_search::baselines::{LogProbabilities, Stacker};
use dht_transformer::tensors::{Parameters, cross_entropy};
use dht_transformer::train::{Progress, StepLoss};
use dht_transformer::{
    EncodedDataset, Encoder, ForwardContext, Objective, PackedBatch, TextClassifier, TrainSettings, Trainer,
    flops::Load,
};
use serde::{Deserialize, Serialize};

use super::way::Way;
use crate::error::Result;
use crate::experiment::{CLASSIFIERS, RunData, RunPlan, pooling, rng, train_settings};
use dht_cli::TrainingProgress;

/// Texts in a batch of predictions.
const BATCH: usize = 64;
/// The stream of random numbers that rows are drawn from.
const DRAWN: u64 = 6;
/// Thresholds of the cascade to choose from.
const STEPS: usize = 100;

/// What a way came to with one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trained {
    /// The way, and everything else that decides the result.
    pub(super) key: String,
    pub(super) flops: u64,
    pub(super) seconds: f64,
    /// The accuracy on validation rows, by kind of [answer](ANSWERS).
    pub(super) validation: [f64; 3],
    /// The classes of the judged rows, likewise.
    pub(super) labels: [Vec<u32>; 3],
}

/// The kinds of answers of a trained model: its own, with the n-gram model stacked on it, and that only where the n-gram model
/// alone is unsure.
pub(super) const ANSWERS: [&str; 3] = ["alone", "n-gram stacked", "n-gram cascade"];

/// What all ways of a seed start from.
pub(super) struct Common<'a> {
    pub(super) plan: &'a RunPlan,
    pub(super) data: &'a RunData,
    pub(super) encoder: &'a Encoder,
    pub(super) judged: &'a EncodedDataset,
    /// The n-gram model's answers: out of fold on the training rows, on the validation rows, on the judged ones.
    pub(super) front: [&'a LogProbabilities; 3],
}

impl Common<'_> {
    /// Trains and judges a model.
    pub(super) fn fine_tune(&self, way: &Way, key: String) -> Result<Trained> {
        let (data, classes) = (self.data, self.data.train.labels.len());
        let depth = way.layers.unwrap_or(usize::MAX).min(self.encoder.layers());
        let rows = way.choose(self.front[0], &mut rng(self.plan, DRAWN));
        let samples = rows.iter().map(|row| data.train.samples[*row].clone()).collect();
        let training = EncodedDataset { samples, ..data.train.clone() };
        let model = TextClassifier::new(
            self.encoder.truncated(depth)?,
            classes,
            pooling(self.plan),
            &mut rng(self.plan, CLASSIFIERS),
        )?;
        let encoder = model.encoder();
        encoder.freeze_embeddings(way.frozen > 0);
        (0..way.frozen.min(depth)).for_each(|layer| encoder.freeze_layer(layer, true));
        let load = Load::of_texts(training.lengths());
        let flops = way.epochs as u64 * (model.forward_flops(load) + model.backward_flops(load)).0;
        let settings = TrainSettings { epochs: way.epochs, ..train_settings(self.plan) };
        let mut progress = TrainingProgress::new(way.to_string(), self.plan.quiet);
        let offsets = way.residual.then(|| offsets(&data.train, self.front[0]));
        let mut residual = Residual { model, offsets, pending: None };
        let history = Trainer::new(settings).fit(&mut residual, &training, &data.validation, &mut progress)?;
        drop(progress);
        let model = residual.model;
        let truth: Vec<u32> = data.validation.samples.iter().map(|sample| sample.label).collect();
        let logs = [&data.validation, self.judged].map(|data| LogProbabilities::of_classifier(&model, data, BATCH));
        let [validation, judged] = logs;
        let (validation, judged) = (validation?, judged?);
        let stacker = Stacker::fit(self.front[1], &validation, &truth)?;
        let stacked = [stacker.stack(self.front[1], &validation)?, stacker.stack(self.front[2], &judged)?];
        // As many texts end at the n-gram model as validation rows allow.
        let cascade = |threshold: f64, which: usize| cascade(threshold, self.front[1 + which], &stacked[which]);
        let right = |labels: &[u32]| labels.iter().zip(&truth).filter(|(one, other)| one == other).count();
        let best =
            (0..=STEPS).map(|step| step as f64 / STEPS as f64).max_by_key(|threshold| right(&cascade(*threshold, 0)));
        let threshold = best.unwrap_or(0.0);
        let share = right(&cascade(threshold, 0)) as f64 / truth.len().max(1) as f64;
        Ok(Trained {
            key,
            flops,
            seconds: history.train_seconds,
            validation: [validation.accuracy(&truth), stacked[0].accuracy(&truth), share],
            labels: [judged.labels(), stacked[1].labels(), cascade(threshold, 1)],
        })
    }
}

/// The n-gram model's classes where 1 − max p is below a threshold, else those of the stacked model.
fn cascade(threshold: f64, front: &LogProbabilities, stacked: &LogProbabilities) -> Vec<u32> {
    let sure = front.rows().map(|row| 1.0 - row.iter().copied().fold(f64::MIN, f64::max).exp() < threshold);
    let answers = front.labels().into_iter().zip(stacked.labels());
    sure.zip(answers).map(|(sure, (front, stacked))| if sure { front } else { stacked }).collect()
}

/// The log-probabilities of the n-gram model, by a sample's id.
fn offsets(training: &EncodedDataset, front: &LogProbabilities) -> BTreeMap<u64, Vec<f32>> {
    let of = |logs: &[f64]| logs.iter().map(|value| *value as f32).collect();
    training.samples.iter().zip(front.rows()).map(|(sample, logs)| (sample.id, of(logs))).collect()
}

/// A classifier whose loss is that of its logits and the n-gram model's log-probabilities added up.
struct Residual {
    model: TextClassifier,
    /// `None` for the classifier's own loss.
    offsets: Option<BTreeMap<u64, Vec<f32>>>,
    pending: Option<PackedBatch>,
}

type Refused = dht_transformer::Error;

impl Objective for Residual {
    type Error = Refused;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, _: Progress) -> Result<(), Refused> {
        self.pending = Some(batch);
        Ok(())
    }

    fn next_loss(&mut self, progress: Progress, _: bool) -> Result<Option<StepLoss>, Refused> {
        let Some(batch) = self.pending.take() else { return Ok(None) };
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let loss = match &self.offsets {
            None => self.model.loss(&batch, &ctx)?,
            Some(offsets) => {
                let logits = self.model.logits(&batch, &ctx)?;
                // A sample without offsets would be an error of shapes.
                let of_batch = batch.sample_ids.iter().filter_map(|id| offsets.get(id)).flatten().copied().collect();
                let offsets = Tensor::from_vec::<_, f32>(of_batch, logits.shape(), logits.device())?;
                cross_entropy(&(logits + offsets)?, &batch.labels)?.mean_all()?
            }
        };
        Ok(Some(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() }))
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Refused> {
        self.model.score(data, batch_size)
    }

    fn state(&self) -> Result<serde_json::Value, Refused> {
        self.model.state()
    }

    fn restore(&mut self, state: serde_json::Value, training: &EncodedDataset) -> Result<(), Refused> {
        self.model.restore(state, training)
    }
}
