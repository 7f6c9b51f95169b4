//! Predictions of a search model.

use std::sync::Arc;

use dht_dynamic::serving::Serve;
use dht_dynamic::{BatchPredictions, Prediction, Predictor, WithSpeed};
use dht_transformer::{BertConfig, EncodedDataset, ForwardContext, PackedBatch, Sample, Task};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::executor::{Executor, PassedExits};
use super::search_model::SearchModel;
use crate::error::Result;
use crate::features::log_probabilities;
use crate::routing::{ForwardTrace, Mode};

/// The number of batches that are processed concurrently if texts leave at exits. With more batches, the last batch of
/// each layer is fuller.
const BATCHES_UNDER_WAY: usize = 8;
/// The maximum number of rows (tokens) in these batches. It limits memory, since a text's states are held until it
/// leaves.
const ROWS_UNDER_WAY: usize = 1 << 14;

impl SearchModel {
    /// Predicts a batch, each text on the route that the routers select, without exploration or learning. A model whose
    /// routers have not completed their warm-up runs all layers and heads.
    ///
    /// In each group of layers, texts that keep the same number of heads share one head set, the best set for the mean
    /// of their contexts. A text may therefore keep other heads alone than in a batch. Repeated calls with one batch
    /// give the same predictions.
    ///
    /// # Errors
    /// Errors of the encoder.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.predict_in(&ForwardContext::inference(), batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch), and returns the answers of every stage that a text
    /// passed. All passed exits are evaluated, even where the router does not read them.
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub fn predict_with_stages(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.executor(ctx, Mode::Exploit, PassedExits::Attached).predict(batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch), with the caller's context, which keeps the packed
    /// weights.
    pub(crate) fn predict_in(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<BatchPredictions> {
        self.executor(ctx, Mode::Exploit, PassedExits::Skip).predict(batch)
    }
}

impl Predictor for SearchModel {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> dht_dynamic::Result<BatchPredictions> {
        Ok(self.predict_in(ctx, batch)?)
    }

    /// Several batches are processed concurrently if all samples keep all heads, so that each layer has a full batch
    /// even after many texts have left.
    fn predict_all(
        &self,
        samples: &[Sample],
        batch_size: usize,
        ctx: &ForwardContext,
    ) -> dht_dynamic::Result<BatchPredictions> {
        let longest = samples.iter().map(|sample| sample.encoding.ids.len()).max().unwrap_or(0);
        let batches = if self.heads.keeps_all() { ROWS_UNDER_WAY / longest.max(1) / batch_size.max(1) } else { 1 };
        let under_way = batch_size.saturating_mul(batches.clamp(1, BATCHES_UNDER_WAY));
        let executor = Executor { together: batch_size, ..self.executor(ctx, Mode::Exploit, PassedExits::Skip) };
        BatchPredictions::in_batches(samples, under_way, |batch| Ok(executor.predict(batch)?))
    }

    fn check(&self, texts: &EncodedDataset) -> dht_dynamic::Result<()> {
        Ok(self.model.check_texts(texts)?)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        let (model, reads) = (&self.model, self.model.full_reads());
        model.full_route().map_or(0, |route| model.forward_flops(&route, tokens, &reads))
    }
}

impl WithSpeed for SearchModel {
    fn speed(&self) -> Option<f64> {
        self.speed()
    }

    fn with_speed(&self, speed: f64) -> dht_dynamic::Result<Self> {
        Ok(self.with_speed(speed)?)
    }
}

impl Serve for SearchModel {
    fn config(&self) -> &BertConfig {
        self.encoder().config()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn speed(&self) -> Option<f64> {
        self.speed()
    }

    fn at_speed(&self, speed: f64) -> dht_dynamic::Result<Arc<dyn Serve>> {
        Ok(Arc::new(self.with_speed(speed)?))
    }

    fn independent(&self) -> Option<Arc<dyn Serve>> {
        Some(Arc::new(self.clone().with_own_head_sets()))
    }
}

impl From<SearchModel> for dht_dynamic::serving::ServedModel {
    fn from(model: SearchModel) -> Self {
        Self::Other(Arc::new(model))
    }
}

impl Executor<'_> {
    /// Predicts a batch.
    pub(crate) fn predict(&self, batch: &PackedBatch) -> Result<BatchPredictions> {
        // Ties are broken by a generator that depends on the batch alone.
        let mut rng = ChaCha8Rng::seed_from_u64(batch.sample_ids.first().copied().unwrap_or_default());
        let trace = self.run(batch, &mut rng)?;
        self.predictions(batch, &trace)
    }

    /// The predictions of a batch whose forward pass has run.
    pub(crate) fn predictions(&self, batch: &PackedBatch, trace: &ForwardTrace) -> Result<BatchPredictions> {
        let mut probabilities = vec![Vec::new(); batch.len()];
        let mut stages = vec![Vec::new(); batch.len()];
        for output in &trace.outputs {
            let ids: Vec<u64> = output.samples.iter().map(|sample| batch.sample_ids[*sample]).collect();
            let rows = Task::Class.probabilities(&output.logits, &ids)?;
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
        let mut head_sets = trace.head_sets();
        let mut predictions = Vec::with_capacity(batch.len());
        for (sample, (route, flops)) in routes.into_iter().zip(flops).enumerate() {
            let groups = route.dynamic_groups().count() as u64;
            let mut prediction = Prediction::new(std::mem::take(&mut probabilities[sample]), route, flops);
            prediction.head_sets = std::mem::take(&mut head_sets[sample]);
            prediction.routing_flops = self.router.flops(trace.decisions.exits()[sample]) + groups * self.heads.flops();
            prediction.stages = std::mem::take(&mut stages[sample]);
            predictions.push(prediction);
        }
        Ok(BatchPredictions::new(predictions, trace.deciding.time))
    }
}
