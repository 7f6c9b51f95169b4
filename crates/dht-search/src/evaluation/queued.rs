//! Evaluation with the queues of Algorithm 3 of the DHT paper, which also uses them at inference.

use std::time::Duration;

use dht_dynamic::passage::{PassedExits, Walk};
use dht_dynamic::router::{Decisions, Mode};
use dht_dynamic::{BatchPredictions, Evaluation, Prediction, Predictor, evaluate};
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample};

use crate::error::{Error, Result};
use crate::model::SearchModel;
use crate::routing::Queues;
use crate::settings::Dispatch;

/// Evaluates a model with the DHT paper's queues (Algorithm 3): rows of the same depth wait until they fill a batch.
///
/// Rows are read in order, `batch_size` at a time. Each row runs the base layers, is routed, and waits in the queue of
/// its depth. A full queue (its size is set in [`Dispatch::Queue`]) runs as one batch, from the first layer again. At
/// the end the remaining queues run, the shallowest first. (The paper gives no prediction for rows that remain in a
/// queue.)
///
/// The predictions equal those of [`evaluate`], except where a head set is drawn for several texts of a batch together
/// ([`HeadDraws::PerGroup`](crate::settings::HeadDraws::PerGroup)). [`Evaluation::flops`] includes the second pass
/// through the base layers.
///
/// # Errors
/// * As [`evaluate`].
/// * [`Argument`](dht_dynamic::Error::Argument) if the model's settings have no queues.
pub fn evaluate_queued(model: &SearchModel, data: &EncodedDataset, batch_size: usize) -> Result<Evaluation> {
    Ok(evaluate(&Queued(model), data, batch_size)?)
}

/// Predictor that runs a search model with the DHT paper's queues, as [`evaluate_queued`] does.
#[derive(Debug, Clone, Copy)]
pub struct Queued<'a>(pub &'a SearchModel);

impl Predictor for Queued<'_> {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> dht_dynamic::Result<BatchPredictions> {
        self.0.predict(batch, ctx)
    }

    fn predict_all(
        &self,
        samples: &[Sample],
        batch_size: usize,
        ctx: &ForwardContext,
    ) -> dht_dynamic::Result<BatchPredictions> {
        Ok(QueuedRun::new(self.0, samples, ctx)?.run_all(batch_size)?)
    }

    fn check(&self, texts: &EncodedDataset) -> dht_dynamic::Result<()> {
        self.0.check(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.0.full_flops(tokens)
    }
}

struct QueuedRun<'a> {
    model: &'a SearchModel,
    samples: &'a [Sample],
    ctx: &'a ForwardContext,
    queues: Queues,
    /// FLOPs of each row before it entered a queue: the base layers and, if a router read its answer, the early exit
    /// after the base layers.
    before: Vec<u64>,
    /// Prediction of each row; `None` until the row has run.
    predictions: Vec<Option<Prediction>>,
    deciding: Duration,
}

impl<'a> QueuedRun<'a> {
    fn new(model: &'a SearchModel, samples: &'a [Sample], ctx: &'a ForwardContext) -> Result<Self> {
        let Dispatch::Queue { size } = model.settings().dispatch else {
            return Err(Error::argument("dispatch", "queue, for predictions with queues", "in_flight"));
        };
        Ok(Self {
            model,
            samples,
            ctx,
            queues: Queues::new(size, model.space().exits().len()),
            before: vec![0; samples.len()],
            predictions: vec![None; samples.len()],
            deciding: Duration::ZERO,
        })
    }

    fn walk(&self) -> Walk<'a> {
        self.model.walk(self.ctx, PassedExits::Skip)
    }

    fn run_all(mut self, batch_size: usize) -> Result<BatchPredictions> {
        for rows in PackedBatch::in_order(self.samples.len(), batch_size)? {
            self.arrive(&rows)?;
            self.leave(false)?;
        }
        self.leave(true)?;
        Ok(BatchPredictions::new(self.predictions.into_iter().flatten().collect(), self.deciding))
    }

    fn batch(&self, rows: &[usize]) -> Result<PackedBatch> {
        Ok(PackedBatch::from_samples(rows.iter().map(|row| &self.samples[*row]))?)
    }

    /// Runs the base layers for `rows`, routes them, and adds each to the queue of its exit.
    fn arrive(&mut self, rows: &[usize]) -> Result<()> {
        let batch = self.batch(rows)?;
        let (decisions, deciding) = self.walk().decide(&batch, &mut Mode::Exploit)?;
        self.deciding += deciding.time;
        let (model, space) = (self.model.model(), self.model.space());
        let last = space.exits().len() - 1;
        let read = self.model.router.reads(0, last) || self.model.heads.reads_answers();
        let read = read && space.base().is_some();
        for (row, tokens) in rows.iter().zip(batch.spans.lengths()) {
            let base = model.layer_flops(space.base_layers(), tokens);
            let exit = if read { model.exits()[0].flops(tokens).forward.0 } else { 0 };
            self.before[*row] = base + exit;
        }
        let rows: Vec<u64> = rows.iter().map(|row| *row as u64).collect();
        self.queues.join(&rows, decisions, 0);
        Ok(())
    }

    /// Runs full queues or, with `drain`, all queues that are not empty.
    fn leave(&mut self, drain: bool) -> Result<()> {
        while let Some((rows, decisions)) = self.queues.leave(drain, 0) {
            let batch = self.batch(&rows)?;
            let predictions = self.run(&batch, decisions)?;
            self.deciding += predictions.deciding;
            for (row, mut prediction) in rows.into_iter().zip(predictions.predictions) {
                prediction.flops += self.before[row];
                self.predictions[row] = Some(prediction);
            }
        }
        Ok(())
    }

    /// Predicts a batch from a queue, whose exits and heads are already selected.
    fn run(&self, batch: &PackedBatch, decisions: Decisions) -> Result<BatchPredictions> {
        let trace = self.walk().run_decided(batch, decisions, &mut Mode::Exploit)?;
        Ok(self.walk().predictions(batch, &trace)?)
    }
}
