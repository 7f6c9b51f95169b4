//! Predictions of a dynamic model.

use std::time::Duration;

use candle_core::DType;
use dht_transformer::{
    ForwardContext, HeadSet, PackedBatch, Sample,
    data::longest_first,
    tensors::{finite_rows, log_softmax, most_probable},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::dynamic::DynamicModel;
use super::executor::{Executor, PassedExits};
use super::front::{FrontExit, Stacking};
use super::log_probabilities::LogProbabilities;
use crate::error::{Error, Result};
use crate::features::log_probabilities;
use crate::routing::{ForwardTrace, FrontView, Mode};
use crate::space::Route;

/// How many batches are under way at once where texts leave at exits: the more, the fuller is the last one of a layer.
const BATCHES_UNDER_WAY: usize = 8;
/// The rows of all of them together: their states are held until they leave.
const ROWS_UNDER_WAY: usize = 1 << 14;

/// The prediction for a text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// The most probable class.
    pub label: u32,
    /// The probability of each class.
    pub probabilities: Vec<f32>,
    /// The layers that it ran, and how many heads in each.
    pub route: Route,
    /// The heads that it kept in each dynamic group of its route; empty for models that choose none.
    pub head_sets: Vec<HeadSet>,
    /// FLOPs of all products, two for each multiply-add: of the route, of every exit that read the text (the front exit and
    /// its stacking too), and of a pre-pass.
    pub flops: u64,
    /// FLOPs of the routers, by formula; not contained in `flops`.
    pub routing_flops: u64,
    /// ln p by class of every stage that it passed, the front exit first and the one that answered last. Empty unless it was
    /// [asked for](DynamicModel::predict_with_stages).
    pub stages: Vec<Vec<f64>>,
}

/// The predictions for a batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchPredictions {
    /// By sample.
    pub predictions: Vec<Prediction>,
    /// How long deciding took: pooling and routers.
    pub deciding: Duration,
}

impl BatchPredictions {
    /// Predictions of texts that all ran the same fixed route.
    pub fn of_fixed_route(probabilities: Vec<Vec<f32>>, route: &Route, flops: impl IntoIterator<Item = u64>) -> Self {
        Self::of_routes(probabilities, std::iter::repeat(route.clone()), flops)
    }

    /// Predictions of texts on routes that were not decided by a router.
    pub(crate) fn of_routes(
        probabilities: Vec<Vec<f32>>,
        routes: impl IntoIterator<Item = Route>,
        flops: impl IntoIterator<Item = u64>,
    ) -> Self {
        let prediction = |((probabilities, route), flops): ((Vec<f32>, Route), u64)| Prediction {
            label: most_probable(&probabilities),
            probabilities,
            route,
            head_sets: Vec::new(),
            flops,
            routing_flops: 0,
            stages: Vec::new(),
        };
        let predictions = probabilities.into_iter().zip(routes).zip(flops).map(prediction).collect();
        Self { predictions, deciding: Duration::ZERO }
    }

    /// Predicts samples in batches of like lengths, the longest first; the predictions in the order of the samples.
    ///
    /// # Errors
    /// What `predict` reports; [`Error::Transformer`] for a batch size of 0.
    pub fn in_batches(
        samples: &[Sample],
        batch_size: usize,
        mut predict: impl FnMut(&PackedBatch) -> Result<Self>,
    ) -> Result<Self> {
        let mut found = Found::new(samples.len());
        for rows in longest_first(&lengths_of(samples), batch_size)? {
            found.add(&rows, predict(&pack(samples, &rows)?)?);
        }
        Ok(found.in_order())
    }
}

/// Predictions of samples, as they come.
struct Found {
    predictions: Vec<Option<Prediction>>,
    deciding: Duration,
}

impl Found {
    fn new(samples: usize) -> Self {
        Self { predictions: vec![None; samples], deciding: Duration::ZERO }
    }

    /// The predictions of these samples.
    fn add(&mut self, rows: &[usize], batch: BatchPredictions) {
        self.deciding += batch.deciding;
        for (row, prediction) in rows.iter().zip(batch.predictions) {
            self.predictions[*row] = Some(prediction);
        }
    }

    fn in_order(self) -> BatchPredictions {
        BatchPredictions { predictions: self.predictions.into_iter().flatten().collect(), deciding: self.deciding }
    }
}

fn lengths_of(samples: &[Sample]) -> Vec<usize> {
    samples.iter().map(|sample| sample.encoding.ids.len()).collect()
}

/// These rows as a batch.
fn pack(samples: &[Sample], rows: &[usize]) -> Result<PackedBatch> {
    Ok(PackedBatch::from_samples(rows.iter().map(|row| &samples[*row]))?)
}

/// Runs a prediction in the thread pool: from outside, a model that stops after every layer to decide would be put to sleep and
/// woken each time.
pub(crate) fn in_pool<R: Send>(predict: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| predict())
}

/// What the front exit says of a text.
struct ReadInFront {
    /// Its prediction, should the text leave there.
    prediction: Prediction,
    /// By class.
    log_probabilities: Vec<f64>,
    leaves: bool,
}

impl DynamicModel {
    /// Predicts a batch, each text on the route that the routers choose, without exploration and learning. A model whose
    /// routers are not warm yet runs in full.
    ///
    /// Texts that keep equally many heads of a group share one head set, the best for the mean of their contexts: a text
    /// alone may keep others than in a batch. A batch gives the same predictions every time.
    ///
    /// # Errors
    /// What the encoder reports.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.predict_in(&ForwardContext::inference(), batch)?.predictions)
    }

    /// As [`predict_batch`](Self::predict_batch), with what every stage that a text passed said. All exits that a text passes read it,
    /// whatever the router reads.
    ///
    /// # Errors
    /// As there.
    pub fn predict_with_stages(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.executor(ctx, Mode::Exploit, PassedExits::Attached).predict(batch)?.predictions)
    }

    /// As [`predict_batch`](Self::predict_batch), in a context that the caller keeps, and with it the packed weights.
    pub(crate) fn predict_in(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<BatchPredictions> {
        self.executor(ctx, Mode::Exploit, PassedExits::Skip).predict(batch)
    }

    /// The prediction of a sample that leaves at the front exit; `None` for one that needs the encoder.
    pub(crate) fn predict_in_front(&self, ctx: &ForwardContext, sample: &Sample) -> Result<Option<Prediction>> {
        let executor = self.executor(ctx, Mode::Exploit, PassedExits::Skip);
        let Some(front) = executor.front else { return Ok(None) };
        let read = executor.read_in_front(front, &PackedBatch::from_samples([sample])?)?;
        Ok(read.into_iter().find(|read| read.leaves).map(|read| read.prediction))
    }

    /// As [`predict_with_stages`](Self::predict_with_stages), of samples in batches.
    pub(crate) fn predict_all_with_stages(
        &self,
        ctx: &ForwardContext,
        samples: &[Sample],
        batch_size: usize,
    ) -> Result<Vec<Prediction>> {
        let executor = self.executor(ctx, Mode::Exploit, PassedExits::Attached);
        Ok(executor.predict_all(samples, batch_size)?.predictions)
    }

    /// Predicts samples, at most `batch_size` together behind the front exit.
    pub(crate) fn predict_all_in(
        &self,
        ctx: &ForwardContext,
        samples: &[Sample],
        batch_size: usize,
    ) -> Result<BatchPredictions> {
        self.executor(ctx, Mode::Exploit, PassedExits::Skip).predict_all(samples, batch_size)
    }
}

impl Executor<'_> {
    /// Predicts a batch.
    pub(crate) fn predict(&self, batch: &PackedBatch) -> Result<BatchPredictions> {
        if let Some(front) = self.front {
            return self.predict_with_front(front, batch);
        }
        // Ties are broken by a generator that depends on the batch alone.
        let mut rng = ChaCha8Rng::seed_from_u64(batch.sample_ids.first().copied().unwrap_or_default());
        let trace = self.run(batch, &mut rng)?;
        self.predictions(batch, &trace)
    }

    /// Predicts samples, at most `batch_size` of them in a layer together. Several batches are under way at once, so that a
    /// layer has a full batch however many texts left before it: behind the front exit, and where all keep all heads behind
    /// every exit.
    pub(crate) fn predict_all(&self, samples: &[Sample], batch_size: usize) -> Result<BatchPredictions> {
        let longest = samples.iter().map(|sample| sample.encoding.ids.len()).max().unwrap_or(0);
        let batches = if self.heads.keeps_all() { ROWS_UNDER_WAY / longest.max(1) / batch_size.max(1) } else { 1 };
        let under_way = batch_size.saturating_mul(batches.clamp(1, BATCHES_UNDER_WAY));
        let executor = Self { together: batch_size, ..*self };
        let Some(front) = self.front else {
            return BatchPredictions::in_batches(samples, under_way, |batch| executor.predict(batch));
        };
        let mut found = Found::new(samples.len());
        let mut waiting: Vec<(usize, ReadInFront)> = Vec::new();
        let run = |waiting: Vec<(usize, ReadInFront)>, found: &mut Found| -> Result<()> {
            let (rows, read): (Vec<usize>, Vec<ReadInFront>) = waiting.into_iter().unzip();
            found.add(&rows, executor.predict_behind(front, &pack(samples, &rows)?, read)?);
            Ok(())
        };
        for rows in longest_first(&lengths_of(samples), under_way)? {
            for (row, read) in rows.iter().zip(self.read_in_front(front, &pack(samples, &rows)?)?) {
                match read.leaves {
                    true => found.predictions[*row] = Some(read.prediction),
                    false => waiting.push((*row, read)),
                }
            }
            if waiting.len() >= under_way {
                let more = waiting.split_off(under_way);
                run(std::mem::replace(&mut waiting, more), &mut found)?;
            }
        }
        if !waiting.is_empty() {
            run(waiting, &mut found)?;
        }
        Ok(found.in_order())
    }

    /// Predicts a batch: the texts that leave at the front exit, and the others behind it.
    fn predict_with_front(&self, front: &FrontExit, batch: &PackedBatch) -> Result<BatchPredictions> {
        let mut found = Found::new(batch.len());
        let (mut left, mut waiting) = (Vec::new(), Vec::new());
        for (sample, read) in self.read_in_front(front, batch)?.into_iter().enumerate() {
            if read.leaves {
                found.predictions[sample] = Some(read.prediction);
            } else {
                left.push(sample);
                waiting.push(read);
            }
        }
        if !left.is_empty() {
            let part = if left.len() == batch.len() { None } else { Some(batch.select(&left)) };
            found.add(&left, self.predict_behind(front, part.as_ref().unwrap_or(batch), waiting)?);
        }
        Ok(found.in_order())
    }

    /// What the front exit says of each text.
    fn read_in_front(&self, front: &FrontExit, batch: &PackedBatch) -> Result<Vec<ReadInFront>> {
        let (logs, flops) = front.ngram().log_probabilities_and_flops(batch)?;
        let view = FrontView {
            sample_ids: &batch.sample_ids,
            log_probabilities: logs.rows().collect(),
            lengths: batch.spans.lengths().collect(),
        };
        let leaves = self.router.leaves_in_front(&view, self.mode)?;
        if leaves.len() != batch.len() {
            let expected = format!("a decision for each of {} samples", batch.len());
            return Err(Error::setting("router's decisions in front", expected, leaves.len()));
        }
        let deciding = self.router.front_flops();
        let route = Route::without_layers(self.model.space.model_shape())?;
        let all = BatchPredictions::of_fixed_route(logs.probabilities(), &route, flops).predictions;
        let read = |((mut prediction, logs), leaves): ((Prediction, &[f64]), bool)| {
            prediction.routing_flops = deciding;
            if self.passed != PassedExits::Skip {
                prediction.stages.push(logs.to_vec());
            }
            ReadInFront { prediction, log_probabilities: logs.to_vec(), leaves }
        };
        Ok(all.into_iter().zip(logs.rows()).zip(leaves).map(read).collect())
    }

    /// Predicts a batch of texts that did not leave in front.
    fn predict_behind(
        &self,
        front: &FrontExit,
        batch: &PackedBatch,
        read: Vec<ReadInFront>,
    ) -> Result<BatchPredictions> {
        let logs = read.iter().flat_map(|read| read.log_probabilities.iter().copied()).collect();
        let stacking = front.stacking(LogProbabilities::new(front.ngram().classes(), logs)?);
        let behind = Executor { front: None, stacking: Some(&stacking), ..*self };
        let mut found = in_pool(|| behind.predict(batch))?;
        for (prediction, ReadInFront { prediction: before, .. }) in found.predictions.iter_mut().zip(read) {
            prediction.flops += before.flops;
            prediction.routing_flops += before.routing_flops;
            prediction.stages.splice(0..0, before.stages);
        }
        Ok(found)
    }

    /// The predictions of a batch that has run.
    pub(crate) fn predictions(&self, batch: &PackedBatch, trace: &ForwardTrace) -> Result<BatchPredictions> {
        let mut probabilities = vec![Vec::new(); batch.len()];
        let mut stages = vec![Vec::new(); batch.len()];
        for output in &trace.outputs {
            let ids: Vec<u64> = output.samples.iter().map(|sample| batch.sample_ids[*sample]).collect();
            let rows = finite_rows(&log_softmax(&output.logits)?.exp()?.to_dtype(DType::F32)?, &ids)?;
            for (sample, row) in output.samples.iter().zip(rows) {
                probabilities[*sample] = row;
            }
            if self.passed != PassedExits::Skip {
                let rows = log_probabilities(&output.logits)?;
                output.samples.iter().zip(rows).for_each(|(sample, row)| stages[*sample].push(row));
            }
        }
        let routes = trace.routes(&self.model.space)?;
        let flops = self.model.trace_flops(batch, trace, &routes);
        let stacking = self.stacking.map_or(0, Stacking::flops);
        let mut head_sets = trace.head_sets();
        let mut predictions = Vec::with_capacity(batch.len());
        for (sample, (route, flops)) in routes.into_iter().zip(flops).enumerate() {
            let groups = route.dynamic_groups().count() as u64;
            let reads: u64 = trace.exit_reads.iter().map(|by_sample| by_sample[sample].total()).sum();
            predictions.push(Prediction {
                label: most_probable(&probabilities[sample]),
                probabilities: std::mem::take(&mut probabilities[sample]),
                route,
                head_sets: std::mem::take(&mut head_sets[sample]),
                flops: flops + reads * stacking,
                routing_flops: self.router.flops(trace.decisions.exits()[sample]) + groups * self.heads.flops(),
                stages: std::mem::take(&mut stages[sample]),
            });
        }
        Ok(BatchPredictions { predictions, deciding: trace.deciding.time })
    }
}
