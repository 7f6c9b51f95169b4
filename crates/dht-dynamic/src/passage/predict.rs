//! Predicts texts by running them through layers and early exits.

use std::time::{Duration, Instant};

use dht_transformer::{PackedBatch, Sample};

use super::passage::{FrontOutcome, Passage};
use super::trace::Trace;
use super::walk::{PassedExits, Walk};
use crate::error::Result;
use crate::exit::{ExitReads, FrontExit, Stacker};
use crate::outputs::Outputs;
use crate::prediction::{BatchPredictions, Prediction, PredictionRows, in_pool, lengths_of, pack};
use crate::route::Route;
use crate::router::{Decisions, ExitView, Mode};

/// Maximum number of batches that are processed concurrently. With more of them, fewer batches are only partly filled.
const BATCHES_UNDER_WAY: usize = 8;
/// Maximum number of tokens in all concurrent batches. It limits memory, since the hidden states of a text are kept
/// until the text exits.
const ROWS_UNDER_WAY: usize = 1 << 14;

impl Walk<'_> {
    /// Predicts a batch. If there is an n-gram classifier, it runs first, and the texts that it does not answer run
    /// through the layers.
    ///
    /// # Errors
    /// Any error of [`run`](Self::run).
    pub fn predict(&self, batch: &PackedBatch) -> Result<BatchPredictions> {
        let Some(front) = self.front else {
            return self.predict_rest(batch, vec![Passage::default(); batch.len()]);
        };
        let mut collector = PredictionRows::new(batch.len());
        let (mut going, mut passages) = (Vec::new(), Vec::new());
        let (texts, deciding) = self.in_front(front, batch)?;
        collector.deciding += deciding;
        for (sample, text) in texts.into_iter().enumerate() {
            match text {
                FrontOutcome::Answered(prediction) => collector.predictions[sample] = Some(prediction),
                FrontOutcome::Continues(text) => {
                    going.push(sample);
                    passages.push(text);
                }
            }
        }
        if !going.is_empty() {
            let part = if going.len() == batch.len() { None } else { Some(batch.select(&going)) };
            collector.add(&going, self.predict_rest(part.as_ref().unwrap_or(batch), passages)?);
        }
        Ok(collector.in_order())
    }

    /// Predicts texts that the n-gram classifier has [not answered](FrontOutcome::Continues). They run from the first
    /// layer. `passages` has the state of each text.
    ///
    /// # Errors
    /// Any error that [`run`](Self::run) returns.
    pub(crate) fn predict_rest(&self, batch: &PackedBatch, passages: Vec<Passage>) -> Result<BatchPredictions> {
        in_pool(|| {
            let trace = self.resume(batch, passages, &mut Mode::Exploit)?;
            self.predictions(batch, &trace)
        })
    }

    /// Predicts texts. At most `batch_size` texts run a layer together. If all texts keep all attention heads, several
    /// batches are processed concurrently, so that each layer has full batches even after many texts have exited.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`Error::Transformer`](crate::Error::Transformer) if the batch size is 0.
    pub fn predict_all(&self, samples: &[Sample], batch_size: usize) -> Result<BatchPredictions> {
        let longest = samples.iter().map(|sample| sample.encoding.ids.len()).max().unwrap_or(0);
        let batches = if self.heads.keeps_all() { ROWS_UNDER_WAY / longest.max(1) / batch_size.max(1) } else { 1 };
        let under_way = batch_size.saturating_mul(batches.clamp(1, BATCHES_UNDER_WAY));
        let walk = Self { together: batch_size, ..*self };
        let Some(front) = self.front else {
            return BatchPredictions::in_batches(samples, under_way, |batch| walk.predict(batch));
        };
        let mut collector = PredictionRows::new(samples.len());
        let (mut rows, mut passages): (Vec<usize>, Vec<Passage>) = (Vec::new(), Vec::new());
        let run = |rows: &[usize], passages: Vec<Passage>, collector: &mut PredictionRows| -> Result<()> {
            collector.add(rows, walk.predict_rest(&pack(samples, rows)?, passages)?);
            Ok(())
        };
        for read_rows in PackedBatch::longest_first(&lengths_of(samples), under_way)? {
            let (texts, deciding) = self.in_front(front, &pack(samples, &read_rows)?)?;
            collector.deciding += deciding;
            for (row, text) in read_rows.iter().zip(texts) {
                match text {
                    FrontOutcome::Answered(prediction) => collector.predictions[*row] = Some(prediction),
                    FrontOutcome::Continues(text) => {
                        rows.push(*row);
                        passages.push(text);
                    }
                }
            }
            if rows.len() >= under_way {
                let (more_rows, more) = (rows.split_off(under_way), passages.split_off(under_way));
                run(&std::mem::replace(&mut rows, more_rows), std::mem::replace(&mut passages, more), &mut collector)?;
            }
        }
        if !rows.is_empty() {
            run(&rows, passages, &mut collector)?;
        }
        Ok(collector.in_order())
    }

    /// Runs the n-gram classifier on a batch, and lets the router decide which texts continue to the encoder. Also
    /// returns the time that the decisions took.
    pub(crate) fn in_front(&self, front: &FrontExit, batch: &PackedBatch) -> Result<(Vec<FrontOutcome>, Duration)> {
        batch.check()?;
        let members: Vec<usize> = (0..batch.len()).collect();
        let (logs, flops) = front.ngram().answers(batch)?;
        let start = Instant::now();
        let mut decisions = Decisions::leaving_at(vec![self.last(); batch.len()]);
        let view = ExitView::new(0, batch, &members, Some(&logs), None);
        self.router.at_exit(&view, &mut decisions, &mut Mode::Exploit)?;
        self.check(&decisions, batch.len())?;
        let deciding = start.elapsed();
        let (route, routing_flops) = (Route::without_layers(self.model.shape())?, self.router.flops(0));
        let Decisions { exits, notes, .. } = decisions;
        let notes = notes.into_iter().chain(std::iter::repeat(Vec::new()));
        let texts = logs.rows().zip(notes).zip(flops).zip(exits);
        let texts = texts.map(|(((logs, notes), flops), exit)| {
            if exit > 0 {
                return FrontOutcome::Continues(Passage { front: logs.to_vec(), notes, exit: Some(exit), flops });
            }
            let prediction = Prediction::new(self.probabilities(logs), route.clone(), flops);
            let stages = if self.passed == PassedExits::Skip { Vec::new() } else { vec![logs.to_vec()] };
            FrontOutcome::Answered(Prediction { routing_flops, stages, ..prediction })
        });
        Ok((texts.collect(), deciding))
    }

    /// Converts log-probabilities to probabilities. Without an n-gram classifier, the conversion is in f32, the
    /// precision of the exits' logits.
    pub(crate) fn probabilities(&self, logs: &[f64]) -> Vec<f32> {
        let outputs = self.model.outputs();
        match self.front {
            Some(_) => outputs.probabilities(logs).map(|p| p as f32).collect(),
            None => match outputs {
                Outputs::Classes(_) => logs.iter().map(|log| (*log as f32).exp()).collect(),
                Outputs::Labels(_) => outputs.probabilities(logs).map(|p| p as f32).collect(),
            },
        }
    }

    /// Builds the predictions of a batch from the trace (decisions, logits and costs) of its run.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if a logit is not finite.
    pub fn predictions(&self, batch: &PackedBatch, trace: &Trace) -> Result<BatchPredictions> {
        let mut probabilities = vec![Vec::new(); batch.len()];
        let all_stages = self.passed != PassedExits::Skip;
        let mut stages = vec![Vec::new(); batch.len()];
        if all_stages && self.front.is_some() {
            stages.iter_mut().zip(&trace.passages).for_each(|(stages, text)| stages.push(text.front.clone()));
        }
        for output in &trace.outputs {
            let answers = match &output.answers {
                Some(answers) => answers,
                None => &self.answers(output.exit, &output.logits, batch, &output.samples, &trace.passages)?,
            };
            for (sample, logs) in output.samples.iter().zip(answers.rows()) {
                if self.fronts() + output.exit == trace.decisions.exits[*sample] {
                    probabilities[*sample] = self.probabilities(logs);
                }
                if all_stages {
                    stages[*sample].push(logs.to_vec());
                }
            }
        }
        let routes = trace.routes(self.model.layout(), self.fronts())?;
        let flops = self.flops(batch, trace, &routes);
        let head_sets = trace.head_sets();
        let texts = probabilities.into_iter().zip(routes).zip(flops).zip(head_sets).zip(stages);
        let predictions =
            texts.zip(&trace.decisions.exits).map(|(((((probabilities, route), flops), sets), stages), exit)| {
                let groups = route.dynamic_groups().count() as u64;
                let mut prediction = Prediction::new(probabilities, route, flops);
                prediction.routing_flops = self.router.flops(*exit) + groups * self.heads.group_flops();
                (prediction.head_sets, prediction.stages) = (sets, stages);
                prediction
            });
        Ok(BatchPredictions::new(predictions.collect(), trace.deciding.time))
    }

    /// FLOPs of each text on its route: layers, exits and stacking. If the routers' inputs were computed in a separate
    /// pass, its FLOPs are included.
    pub fn flops(&self, batch: &PackedBatch, trace: &Trace, routes: &[Route]) -> Vec<u64> {
        let stacking = self.front.map_or(0, |_| Stacker::flops(self.model.classes()));
        let tail_layers = self.model.layout().tail().map_or(0, |tail| tail.len());
        let of_text = |(text, (route, tokens)): (usize, (&Route, usize))| {
            let reads = trace.reads_of(text);
            let stacked = stacking * reads.iter().copied().map(ExitReads::total).sum::<u64>();
            let pre_pass = if trace.pre_pass { self.model.pre_pass_flops(tokens) } else { 0 };
            // The route contains the tail once, but every further read of an exit ran the tail again.
            let tails = reads.iter().copied().map(ExitReads::total).sum::<u64>().saturating_sub(1);
            let tail = tails * self.model.layer_flops(tail_layers, tokens);
            let before = trace.passages.get(text).map_or(0, |text| text.flops);
            before + pre_pass + tail + stacked + self.model.forward_flops(route, tokens, &reads)
        };
        routes.iter().zip(batch.spans.lengths()).enumerate().map(of_text).collect()
    }
}
