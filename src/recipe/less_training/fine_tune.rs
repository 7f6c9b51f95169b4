//! A model that is fine-tuned in one way.

use std::collections::BTreeMap;

use candle_core::Tensor;
use dht_dynamic::accelerate::{Texts, accelerate};
use dht_dynamic::{LogProbabilities, exit::Stacker};
use dht_dynamic::{Predictor, evaluate};
use dht_transformer::tensors::{Parameters, cross_entropy};
use dht_transformer::train::{Progress, StepLoss};
use dht_transformer::{
    EncodedDataset, Encoder, ForwardContext, Objective, PackedBatch, TextClassifier, TrainSettings, Trainer,
    flops::Load,
};
use serde::{Deserialize, Serialize};

use super::way::Way;
use crate::error::Result;
use crate::experiment::{
    ACCELERATED, CLASSIFIERS, RunData, RunPlan, accelerate_settings, pooling, rng, train_settings,
};
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
    /// The model's own answers first.
    pub(super) answers: Vec<Answer>,
}

/// One kind of answers of a trained model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Which kind.
    pub(super) name: String,
    /// FLOPs and wall clock of all training that they take. The n-gram model's fits are counted in seconds only.
    pub(super) train_flops: u64,
    pub(super) train_seconds: f64,
    /// What the answers to the judged rows cost.
    pub(super) inference_flops: u64,
    /// The accuracy on validation rows.
    pub(super) validation: f64,
    /// The classes of the judged rows.
    pub(super) labels: Vec<u32>,
}

/// The model's own answers.
const ALONE: &str = "alone";
/// With the n-gram model's log-probabilities stacked on them.
pub(super) const STACKED: &str = "n-gram stacked";
/// That, and only where the n-gram model alone is unsure.
const CASCADE: &str = "n-gram cascade";
/// The accelerated model's, at a [cost](COST).
const ACCELERATED_TO: &str = "accelerated to .25";
/// The share of the FLOPs of all layers that the accelerated model may cost.
const COST: f64 = 0.25;

/// What all ways of a seed start from.
pub(super) struct Common<'a> {
    pub(super) plan: &'a RunPlan,
    pub(super) data: &'a RunData,
    pub(super) encoder: &'a Encoder,
    pub(super) judged: &'a EncodedDataset,
    /// The n-gram model's answers: out of fold on the training rows, on the validation rows, on the judged ones.
    pub(super) front: [&'a LogProbabilities; 3],
    /// What the n-gram model's answers to the judged rows cost.
    pub(super) front_flops: u64,
    /// FLOPs of its fits.
    pub(super) fit_flops: u64,
    /// Wall clock of the n-gram model's fits, those of its folds included.
    pub(super) front_seconds: f64,
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
        let train_flops = way.epochs as u64 * (model.forward_flops(load) + model.backward_flops(load)).0;
        let settings = TrainSettings { epochs: way.epochs, ..train_settings(self.plan) };
        let mut progress = TrainingProgress::new(way.to_string(), self.plan.quiet);
        let offsets = way.residual.then(|| offsets(&data.train, self.front[0]));
        let mut residual = Residual { model, offsets };
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
        let sure = |threshold: f64, which: usize| sure(threshold, self.front[1 + which]);
        let cascade = |threshold: f64, which: usize| {
            let front = self.front[1 + which].labels();
            let answers = front.into_iter().zip(stacked[which].labels()).zip(sure(threshold, which));
            answers.map(|((front, stacked), sure)| if sure { front } else { stacked }).collect::<Vec<u32>>()
        };
        let right = |labels: &[u32]| labels.iter().zip(&truth).filter(|(one, other)| one == other).count();
        let best =
            (0..=STEPS).map(|step| step as f64 / STEPS as f64).max_by_key(|threshold| right(&cascade(*threshold, 0)));
        let threshold = best.unwrap_or(0.0);
        let of_texts: Vec<u64> = self.judged.lengths().into_iter().map(|tokens| model.full_flops(tokens)).collect();
        let all: u64 = of_texts.iter().sum();
        let unsure: u64 =
            of_texts.iter().zip(sure(threshold, 1)).map(|(flops, sure)| if sure { 0 } else { *flops }).sum();
        let own_seconds = history.train_seconds + if way.asks_ngrams() { self.front_seconds } else { 0.0 };
        let with_ngrams = history.train_seconds + self.front_seconds;
        let own_flops = train_flops + if way.asks_ngrams() { self.fit_flops } else { 0 };
        let flops_with_ngrams = train_flops + self.fit_flops;
        let answer = |name: &str, (train_flops, train_seconds), inference_flops, validation, labels| Answer {
            name: name.into(),
            train_flops,
            train_seconds,
            inference_flops,
            validation,
            labels,
        };
        let cascaded = right(&cascade(threshold, 0)) as f64 / truth.len().max(1) as f64;
        let mut answers = vec![
            answer(ALONE, (own_flops, own_seconds), all, validation.accuracy(&truth), judged.labels()),
            answer(
                STACKED,
                (flops_with_ngrams, with_ngrams),
                all + self.front_flops,
                stacked[0].accuracy(&truth),
                stacked[1].labels(),
            ),
            answer(
                CASCADE,
                (flops_with_ngrams, with_ngrams),
                unsure + self.front_flops,
                cascaded,
                cascade(threshold, 1),
            ),
        ];
        if way.accelerated {
            answers.push(self.accelerate(&model, &answers[0])?);
        }
        Ok(Trained { key, answers })
    }

    /// The answers of the accelerated model, whose n-gram model is its own.
    fn accelerate(&self, model: &TextClassifier, own: &Answer) -> Result<Answer> {
        let settings = accelerate_settings(self.data, BATCH)?;
        let texts = Texts::new(&self.data.train).with_held_out(&self.data.validation);
        let made = accelerate(model, texts, &settings, &mut rng(self.plan, ACCELERATED))?;
        // The report's shares are of the model's own layers.
        let layers = self.encoder.layers() as f64 / model.encoder().layers() as f64;
        let point = made.report.within(COST * layers);
        let dynamic = made.model.with_speed(point.map_or(1.0, |point| point.speed))?;
        let found = evaluate(&dynamic, self.judged, BATCH)?;
        Ok(Answer {
            name: ACCELERATED_TO.into(),
            train_flops: own.train_flops + made.report.flops,
            train_seconds: own.train_seconds + made.report.seconds,
            inference_flops: found.flops,
            validation: point.map_or(0.0, |point| point.accuracy),
            labels: found.labels,
        })
    }
}

/// Where 1 − max p of the n-gram model is below a threshold.
fn sure(threshold: f64, front: &LogProbabilities) -> Vec<bool> {
    front.rows().map(|row| 1.0 - row.iter().copied().fold(f64::MIN, f64::max).exp() < threshold).collect()
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
}

type Refused = dht_transformer::Error;

impl Objective for Residual {
    type Error = Refused;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>, Refused> {
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
