//! The forward pass of a dynamic model: exits answer, the router decides, and the remaining texts continue.

use std::ops::Range;
use std::time::{Duration, Instant};

use dht_transformer::{EncodedDataset, ForwardContext, Hidden, PackedBatch, Sample};

use super::dynamic::DynamicModel;
use super::passage::{FrontOutcome, Passage};
use crate::error::{Error, Result};
use crate::exit::{Exit, ExitAnswers, ExitTexts, FrontExit, Stacker};
use crate::log_probabilities::LogProbabilities;
use crate::prediction::{BatchPredictions, Collected, Prediction, Predictor, WithSpeed, in_pool, lengths_of, pack};
use crate::router::{ExitView, Notes};

impl DynamicModel {
    /// Predicts a batch; each text runs up to the exit where the router lets it leave. Repeated calls give the same
    /// predictions. For many batches, use an [`Engine`](crate::Engine), or [`Predictor::predict`] with one context:
    /// both reuse packed weights.
    /// # Errors
    /// Errors of the encoder, the exits and the router.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(Forward::new(self, &ForwardContext::inference()).predict(batch)?.predictions)
    }

    /// Predicts a batch as [`predict_batch`](Self::predict_batch), and returns the answers of every exit that a text
    /// passed. All passed exits are evaluated, even where the router does not read them.
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub fn predict_with_stages(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(Forward::new(self, ctx).with_stages().predict(batch)?.predictions)
    }

    /// Runs a sample up to the first layer, that is, through the n-gram exit if there is one.
    pub(crate) fn begin(&self, ctx: &ForwardContext, sample: &Sample) -> Result<FrontOutcome> {
        let Some(front) = self.front() else { return Ok(FrontOutcome::Continues(Passage::default())) };
        let (outcomes, _) = Forward::new(self, ctx).in_front(front, &PackedBatch::from_samples([sample])?)?;
        outcomes.into_iter().next().ok_or_else(|| Error::shape("outcomes of a text", "1", 0))
    }

    /// Runs a batch of texts from the first layer on.
    pub(crate) fn resume(
        &self,
        ctx: &ForwardContext,
        batch: &PackedBatch,
        passages: Vec<Passage>,
    ) -> Result<BatchPredictions> {
        in_pool(|| Forward::new(self, ctx).run(batch, passages))
    }
}

impl Predictor for DynamicModel {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        Forward::new(self, ctx).predict(batch)
    }

    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        Forward::new(self, ctx).predict_all(samples, batch_size)
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        self.model().check_texts(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.model().full_flops(tokens)
    }
}

impl WithSpeed for DynamicModel {
    fn speed(&self) -> Option<f64> {
        self.speed()
    }

    fn with_speed(&self, speed: f64) -> Result<Self> {
        self.with_speed(speed)
    }
}

/// The number of batches that are processed concurrently. With more batches, the last batch of each layer is fuller.
const BATCHES_UNDER_WAY: usize = 8;
/// The maximum number of rows (tokens) in these batches. It limits memory, since a text's states are held until it
/// leaves.
const ROWS_UNDER_WAY: usize = 1 << 14;

/// A configured forward pass of a dynamic model.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    model: &'a DynamicModel,
    ctx: &'a ForwardContext,
    /// True if every exit that a text passes is evaluated, even if the router does not read it.
    all_stages: bool,
    /// The maximum number of texts that run a layer together.
    together: usize,
}

impl<'a> Forward<'a> {
    fn new(model: &'a DynamicModel, ctx: &'a ForwardContext) -> Self {
        Self { model, ctx, all_stages: false, together: usize::MAX }
    }

    /// Enables recording of every exit's answers.
    fn with_stages(self) -> Self {
        Self { all_stages: true, ..self }
    }

    /// Predicts a batch. The n-gram exit, if there is one, answers first; the remaining texts [run](Self::run) through
    /// the layers.
    fn predict(&self, batch: &PackedBatch) -> Result<BatchPredictions> {
        let Some(front) = self.model.front() else {
            return in_pool(|| self.run(batch, (0..batch.len()).map(|_| Passage::default()).collect()));
        };
        let mut found = Collected::new(batch.len());
        let (mut going, mut passages) = (Vec::new(), Vec::new());
        let (texts, deciding) = self.in_front(front, batch)?;
        found.deciding += deciding;
        for (sample, text) in texts.into_iter().enumerate() {
            match text {
                FrontOutcome::Answered(prediction) => found.predictions[sample] = Some(prediction),
                FrontOutcome::Continues(text) => {
                    going.push(sample);
                    passages.push(text);
                }
            }
        }
        if !going.is_empty() {
            let part = if going.len() == batch.len() { None } else { Some(batch.select(&going)) };
            found.add(&going, in_pool(|| self.run(part.as_ref().unwrap_or(batch), passages))?);
        }
        Ok(found.in_order())
    }

    /// Predicts samples, at most `batch_size` of them in a layer together. Several batches are processed concurrently,
    /// so that each layer has a full batch even after many texts have left.
    fn predict_all(&self, samples: &[Sample], batch_size: usize) -> Result<BatchPredictions> {
        let longest = samples.iter().map(|sample| sample.encoding.ids.len()).max().unwrap_or(0);
        let batches = ROWS_UNDER_WAY / longest.max(1) / batch_size.max(1);
        let under_way = batch_size.saturating_mul(batches.clamp(1, BATCHES_UNDER_WAY));
        let forward = Self { together: batch_size, ..*self };
        let Some(front) = self.model.front() else {
            return BatchPredictions::in_batches(samples, under_way, |batch| forward.predict(batch));
        };
        let mut found = Collected::new(samples.len());
        let (mut rows, mut passages): (Vec<usize>, Vec<Passage>) = (Vec::new(), Vec::new());
        let run = |rows: &[usize], passages: Vec<Passage>, found: &mut Collected| -> Result<()> {
            let batch = pack(samples, rows)?;
            found.add(rows, in_pool(|| forward.run(&batch, passages))?);
            Ok(())
        };
        for read_rows in PackedBatch::longest_first(&lengths_of(samples), under_way)? {
            let (texts, deciding) = self.in_front(front, &pack(samples, &read_rows)?)?;
            found.deciding += deciding;
            for (row, text) in read_rows.iter().zip(texts) {
                match text {
                    FrontOutcome::Answered(prediction) => found.predictions[*row] = Some(prediction),
                    FrontOutcome::Continues(text) => {
                        rows.push(*row);
                        passages.push(text);
                    }
                }
            }
            if rows.len() >= under_way {
                let (more_rows, more) = (rows.split_off(under_way), passages.split_off(under_way));
                run(&std::mem::replace(&mut rows, more_rows), std::mem::replace(&mut passages, more), &mut found)?;
            }
        }
        if !rows.is_empty() {
            run(&rows, passages, &mut found)?;
        }
        Ok(found.in_order())
    }

    /// Evaluates the n-gram exit on a batch; the router decides which texts continue. Also returns the time that the
    /// decisions took.
    fn in_front(&self, front: &FrontExit, batch: &PackedBatch) -> Result<(Vec<FrontOutcome>, Duration)> {
        batch.check()?;
        let members: Vec<usize> = (0..batch.len()).collect();
        let answers = front.answers(&ExitTexts::before_layers(batch, &members), self.ctx)?;
        let lengths: Vec<usize> = batch.spans.lengths().collect();
        let logs = &answers.log_probabilities;
        let mut notes = vec![Notes::new(); batch.len()];
        let start = Instant::now();
        let view = ExitView::new(0, &members, &batch.sample_ids, &lengths, Some(logs), None);
        let leaves = self.decide(&view, &mut notes)?;
        let deciding = start.elapsed();
        let (route, routing_flops) = (self.model.model().route(0)?, self.model.router().flops(0));
        let texts = logs.rows().zip(notes).zip(answers.flops).zip(leaves);
        let texts = texts.map(|(((logs, notes), flops), leaves)| {
            let stages = if self.all_stages { vec![logs.to_vec()] } else { Vec::new() };
            if !leaves {
                return FrontOutcome::Continues(Passage { front: logs.to_vec(), notes, flops, stages });
            }
            let probabilities = logs.iter().map(|log| log.exp() as f32).collect();
            FrontOutcome::Answered(Prediction {
                routing_flops,
                stages,
                ..Prediction::new(probabilities, route.clone(), flops)
            })
        });
        Ok((texts.collect(), deciding))
    }

    /// Asks the router which texts leave at an exit.
    fn decide(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> Result<Vec<bool>> {
        let leaves = self.model.router().leaves(view, notes)?;
        match leaves.len() == view.members.len() {
            true => Ok(leaves),
            false => {
                let expected = format!("one for each of {} texts", view.members.len());
                Err(Error::shape("router's decisions", expected, leaves.len()))
            }
        }
    }

    /// Runs a batch from the first layer on.
    fn run(&self, batch: &PackedBatch, mut passages: Vec<Passage>) -> Result<BatchPredictions> {
        let (parts, router) = (self.model.model(), self.model.router());
        let front = usize::from(self.model.front().is_some());
        let last = front + parts.exits().len() - 1;
        let mut notes: Vec<Notes> = passages.iter_mut().map(|text| std::mem::take(&mut text.notes)).collect();
        let mut predictions: Vec<Option<Prediction>> = vec![None; batch.len()];
        let mut deciding = Duration::ZERO;
        let mut members: Vec<usize> = (0..batch.len()).collect();
        let mut hidden = parts.encoder().embed(batch, self.ctx)?;
        let mut reached = 0;
        for (at, &depth) in parts.depths().iter().enumerate() {
            let exit = front + at;
            hidden = self.run_layers(reached..depth, &hidden)?;
            reached = depth;
            let wanted = self.all_stages || exit == last || router.reads(exit, last);
            let answers =
                if wanted { Some(self.answers_at(at, batch, &members, &hidden, &mut passages)?) } else { None };
            let leaves = if exit == last {
                vec![true; members.len()]
            } else {
                // A device computes asynchronously: decisions must not be charged for the layers.
                hidden.tensor().device().synchronize()?;
                let start = Instant::now();
                let lengths: Vec<usize> = hidden.spans().lengths().collect();
                let ids = hidden.packing().sample_ids();
                let view = ExitView::new(exit, &members, ids, &lengths, answers.as_ref(), Some(&hidden));
                let leaves = self.decide(&view, &mut notes)?;
                deciding += start.elapsed();
                leaves
            };
            let (leaving, staying): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(|index| leaves[*index]);
            if !leaving.is_empty() {
                let samples: Vec<usize> = leaving.iter().map(|index| members[*index]).collect();
                let answers = match &answers {
                    Some(answers) => answers.select(&leaving),
                    None => {
                        let part = if staying.is_empty() { hidden.clone() } else { hidden.select(&leaving)? };
                        self.answers_at(at, batch, &samples, &part, &mut passages)?
                    }
                };
                let (route, routing_flops) = (parts.route(depth)?, router.flops(exit));
                for (sample, logs) in samples.into_iter().zip(answers.rows()) {
                    let flops = passages[sample].flops + parts.layer_flops(depth, batch.spans.range(sample).len());
                    let stages = std::mem::take(&mut passages[sample].stages);
                    let prediction = Prediction::new(self.probabilities(logs), route.clone(), flops);
                    predictions[sample] = Some(Prediction { routing_flops, stages, ..prediction });
                }
            }
            if staying.is_empty() {
                break;
            }
            if !leaving.is_empty() {
                hidden = hidden.select(&staying)?;
                members = staying.iter().map(|index| members[*index]).collect();
            }
        }
        Ok(BatchPredictions { predictions: predictions.into_iter().flatten().collect(), deciding })
    }

    /// The probabilities of an exit's answer. Answers of an exit without stacking were computed in f32.
    fn probabilities(&self, logs: &[f64]) -> Vec<f32> {
        match self.model.front() {
            Some(_) => logs.iter().map(|log| log.exp() as f32).collect(),
            None => logs.iter().map(|log| (*log as f32).exp()).collect(),
        }
    }

    /// The answers of an exit after a layer, combined with those of the n-gram exit.
    fn answers_at(
        &self,
        at: usize,
        batch: &PackedBatch,
        members: &[usize],
        hidden: &Hidden,
        passages: &mut [Passage],
    ) -> Result<LogProbabilities> {
        let texts = ExitTexts::after_layers(batch, members, hidden);
        let ExitAnswers { mut log_probabilities, flops } = self.model.model().exits()[at].answers(&texts, self.ctx)?;
        self.check_answers(&log_probabilities, &flops, members.len())?;
        let mut stacking = 0;
        if let Some(front) = self.model.front() {
            let ngram = members.iter().flat_map(|member| passages[*member].front.iter().copied()).collect();
            let ngram = LogProbabilities::new(log_probabilities.classes(), ngram)?;
            log_probabilities = front.stackers()[at].stack(&ngram, &log_probabilities)?;
            stacking = Stacker::flops(log_probabilities.classes());
        }
        for ((member, logs), flops) in members.iter().zip(log_probabilities.rows()).zip(flops) {
            passages[*member].flops += flops + stacking;
            if self.all_stages {
                passages[*member].stages.push(logs.to_vec());
            }
        }
        Ok(log_probabilities)
    }

    /// Rejects answers of an exit whose sizes are not the numbers of texts and classes.
    fn check_answers(&self, logs: &LogProbabilities, flops: &[u64], texts: usize) -> Result<()> {
        let (expected, got) = ((texts, self.model.model().classes(), texts), (logs.len(), logs.classes(), flops.len()));
        if expected == got {
            return Ok(());
        }
        let sizes = |(rows, classes, flops)| format!("{rows} rows of {classes} classes, and {flops} counts of FLOPs");
        Err(Error::shape("exit's answers", sizes(expected), sizes(got)))
    }

    /// Runs these layers on at most `together` texts at once.
    fn run_layers(&self, layers: Range<usize>, hidden: &Hidden) -> Result<Hidden> {
        Ok(self.model.encoder().run_in_parts(layers, hidden, self.together, self.ctx)?)
    }
}
