//! Cascade of models: a text continues to the next model until one is confident.

use dht_dynamic::exit::{NgramClassifier, Stacker};
use dht_dynamic::{BatchPredictions, LogProbabilities, Predictor};
use dht_dynamic::{Route, route::ModelShape};
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Sample, TextClassifier};

use super::stacking::{check_classes, log_probabilities_of, shape_of};
use crate::error::{Error, Result};

/// Returns whether a text continues to the next stage: its largest class probability, from `row`, is below the
/// threshold. At a threshold of 1 or above every text continues, even if its largest probability is rounded to 1.
fn continues(row: &[f64], threshold: f64) -> bool {
    threshold >= 1.0 || row.iter().copied().fold(f64::NEG_INFINITY, f64::max).exp() < threshold
}

fn check_threshold(threshold: f64) -> Result<()> {
    // NaN is rejected too.
    if threshold >= 0.0 { Ok(()) } else { Err(Error::argument("threshold", "at least 0", threshold)) }
}

/// Cascade of an n-gram classifier and further classifiers. Each stage runs only for the texts that no earlier stage
/// has answered.
///
/// A text stops at the first stage where its largest class probability reaches the threshold, otherwise at the last
/// stage. At a threshold of 0, every text stops at the first stage; at a threshold of 1 or more, at the last stage. The
/// cost of a text is the FLOPs of all stages that it ran. Its reported route is the route of its last stage, with
/// layers counted as in the last classifier. [`Stages`](dht_dynamic::evaluation::Stages) computes quality and cost at
/// every threshold; a threshold t of `Stages`, on the uncertainty, corresponds to 1 − t here.
#[derive(Debug)]
pub struct Cascade {
    ngram: NgramClassifier,
    stages: Vec<TextClassifier>,
    stackers: Option<Vec<Stacker>>,
    threshold: f64,
    shape: ModelShape,
}

impl Cascade {
    /// Builds a cascade from an n-gram classifier and at least one classifier that runs after it.
    ///
    /// `stackers` has, for each later classifier, the weights that combine its answer with the n-gram classifier's; if
    /// it is empty, answers are not combined. Classifiers share no layers. Costs are relative to the last classifier.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) in these cases:
    ///
    /// * There is no classifier, or a classifier does not predict the classes of the n-gram classifier.
    /// * A classifier has more layers than the last one, or another number of heads.
    /// * The number of stackers differs from the number of classifiers.
    /// * The threshold is negative or NaN.
    pub fn new(
        ngram: NgramClassifier,
        stages: Vec<TextClassifier>,
        stackers: Option<Vec<Stacker>>,
        threshold: f64,
    ) -> Result<Self> {
        check_threshold(threshold)?;
        let Some(shape) = stages.last().map(shape_of) else {
            return Err(Error::argument("stages after the n-gram classifier", "at least 1", 0));
        };
        for stage in &stages {
            check_classes(&ngram, stage)?;
            let ModelShape { layers, heads } = shape_of(stage);
            if heads != shape.heads || layers > shape.layers {
                let expected = format!("at most {} layers of {} heads, as the last", shape.layers, shape.heads);
                return Err(Error::argument("a stage", expected, format!("{layers} layers of {heads} heads")));
            }
        }
        match &stackers {
            Some(stackers) if stackers.len() != stages.len() => {
                Err(Error::argument("stackers", format!("{}, one a classifier", stages.len()), stackers.len()))
            }
            _ => Ok(Self { ngram, stages, stackers, threshold, shape }),
        }
    }

    /// Threshold: a text stops at the first stage where its largest class probability reaches it.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Sets the threshold: a text stops at the first stage where its largest class probability reaches it.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the threshold is negative or NaN.
    pub fn set_threshold(&mut self, threshold: f64) -> Result<()> {
        check_threshold(threshold)?;
        self.threshold = threshold;
        Ok(())
    }

    /// Runs rows through the stages of the cascade. Each stage forms batches of the rows that reach it, in the order of
    /// `rows`.
    fn run(
        &self,
        rows: &[usize],
        batch_size: usize,
        pack: impl Fn(&[usize]) -> Result<PackedBatch>,
        ctx: &ForwardContext,
    ) -> Result<BatchPredictions> {
        let mut probabilities = vec![Vec::new(); rows.len()];
        let mut flops = vec![0; rows.len()];
        let mut routes = vec![Route::without_layers(self.shape)?; rows.len()];
        // The remaining rows, with the log-probabilities of the n-gram classifier.
        let mut left: Vec<(usize, Vec<f64>)> = Vec::new();
        for rows in rows.chunks(batch_size) {
            let (ngram, own) = self.ngram.answers(&pack(rows)?)?;
            for (((row, logs), said), own) in rows.iter().zip(ngram.rows()).zip(ngram.probabilities()).zip(own) {
                (probabilities[*row], flops[*row]) = (said, own);
                if continues(logs, self.threshold) {
                    left.push((*row, logs.to_vec()));
                }
            }
        }
        for (stage, classifier) in self.stages.iter().enumerate() {
            let route = Route::truncated(self.shape, classifier.encoder().layers())?;
            let stacking = if self.stackers.is_some() { Stacker::flops(self.ngram.classes()) } else { 0 };
            let mut further = Vec::new();
            for left in left.chunks(batch_size) {
                let rows: Vec<usize> = left.iter().map(|(row, _)| *row).collect();
                let batch = pack(&rows)?;
                let ngram = left.iter().flat_map(|(_, logs)| logs.iter().copied()).collect();
                let ngram = LogProbabilities::new(self.ngram.classes(), ngram)?;
                let logs = self.stage(stage, &ngram, &batch, ctx)?;
                let said = left.iter().zip(logs.rows()).zip(logs.probabilities()).zip(batch.spans.lengths());
                for (((text, logs), said), tokens) in said {
                    (probabilities[text.0], routes[text.0]) = (said, route.clone());
                    flops[text.0] += classifier.full_flops(tokens) + stacking;
                    if continues(logs, self.threshold) {
                        further.push(text.clone());
                    }
                }
            }
            left = further;
        }
        Ok(BatchPredictions::of_routes(probabilities, routes, flops))
    }

    /// Class log-probabilities at one transformer stage of the cascade, for a batch. If the stage has a stacker, they
    /// are combined with `ngram`, the log-probabilities of the n-gram classifier for the same texts.
    fn stage(
        &self,
        stage: usize,
        ngram: &LogProbabilities,
        batch: &PackedBatch,
        ctx: &ForwardContext,
    ) -> Result<LogProbabilities> {
        let logs = log_probabilities_of(&self.stages[stage], batch, ctx)?;
        match &self.stackers {
            None => Ok(logs),
            Some(stackers) => Ok(stackers[stage].stack(ngram, &logs)?),
        }
    }
}

impl Predictor for Cascade {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> dht_dynamic::Result<BatchPredictions> {
        let rows: Vec<usize> = (0..batch.len()).collect();
        Ok(self.run(&rows, batch.len().max(1), |rows| Ok(batch.select(rows)), ctx)?)
    }

    fn predict_all(
        &self,
        samples: &[Sample],
        batch_size: usize,
        ctx: &ForwardContext,
    ) -> dht_dynamic::Result<BatchPredictions> {
        let lengths: Vec<usize> = samples.iter().map(|sample| sample.encoding.ids.len()).collect();
        let rows = PackedBatch::longest_first(&lengths, batch_size)?.concat();
        let pack = |rows: &[usize]| Ok(PackedBatch::from_samples(rows.iter().map(|row| &samples[*row]))?);
        Ok(self.run(&rows, batch_size, pack, ctx)?)
    }

    fn check(&self, texts: &EncodedDataset) -> dht_dynamic::Result<()> {
        Ok(texts.check_classes(self.ngram.classes())?)
    }

    /// FLOPs of the last classifier for a text of `tokens` tokens. The costs of the cascade are relative to them.
    fn full_flops(&self, tokens: usize) -> u64 {
        self.stages.last().map_or(0, |last| last.full_flops(tokens))
    }
}
