//! Stages that a text passes until one of them is confident. The result at any threshold is computed from stored
//! answers.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::log_probabilities::{LogProbabilities, best_class};
use crate::model::{DynamicModel, ExitModel};
use crate::router::LeavingRule;

/// The answers of several stages to the same rows, and the cost of each row for each stage where it may stop.
///
/// A row leaves at the first stage whose answer has an uncertainty below the threshold, otherwise at the last stage. A
/// whole curve of accuracy against cost therefore needs no further pass through a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    /// The predicted class of each row, by stage.
    labels: Vec<Vec<u32>>,
    /// The probability of the predicted class, by stage.
    confidences: Vec<Vec<f64>>,
    /// The uncertainty by stage and row.
    uncertainties: Vec<Vec<f64>>,
    /// FLOPs of each row if it stops at a stage, by stage and row.
    flops: Vec<Vec<u64>>,
}

/// The stage where each row stops at a threshold, with the answers and the cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Staged {
    /// The predicted class of each row, at the stage where it left.
    pub labels: Vec<u32>,
    /// The stage where each row left.
    pub stages: Vec<usize>,
    /// FLOPs of all rows.
    pub flops: u64,
    /// The mean confidence: the mean of max p at the stages where the rows left. For calibrated stages this is the
    /// expected accuracy, and it has much less variance than the share of correct answers (Guo et al. 2017, equation
    /// 1).
    pub confidence: f64,
}

impl Stages {
    /// Builds stages from their log-probabilities and the FLOPs of each row by the stage where it leaves. These FLOPs
    /// include the earlier stages.
    ///
    /// # Errors
    /// [`Error::Argument`] for no stages, and for stages that differ in the number of rows or classes.
    pub fn new(stages: &[LogProbabilities], flops: Vec<Vec<u64>>, rule: LeavingRule) -> Result<Self> {
        let Some(first) = stages.first() else { return Err(Error::argument("stages", "at least 1", 0)) };
        let shape = |rows: usize, classes: usize| format!("{rows} rows of {classes} classes");
        if let Some(other) =
            stages.iter().find(|stage| (stage.len(), stage.classes()) != (first.len(), first.classes()))
        {
            let expected = shape(first.len(), first.classes());
            return Err(Error::shape("a stage", expected, shape(other.len(), other.classes())));
        }
        if flops.len() != stages.len() || flops.iter().any(|flops| flops.len() != first.len()) {
            let expected = format!("{} lists of {}, one a stage", stages.len(), first.len());
            let got = flops.iter().map(|flops| flops.len().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::shape("FLOPs of stages", expected, format!("lists of {got}")));
        }
        let labels = stages.iter().map(LogProbabilities::labels).collect();
        let confidence = |logs: &[f64]| best_class(logs).1.exp();
        let confidences = stages.iter().map(|stage| stage.rows().map(confidence).collect()).collect();
        Ok(Self { labels, confidences, uncertainties: rule.uncertainties(stages), flops })
    }

    /// The stages of a model, as [`DynamicModel::stage_log_probabilities`] reads them, with the [rule](crate::Router::rule) of its
    /// router. If the router has no rule, the stages use the default rule, the confidence.
    ///
    /// # Errors
    /// As [`DynamicModel::stage_log_probabilities`].
    pub fn of_model(model: &DynamicModel, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        let rule = model.router().rule().unwrap_or_default();
        Self::new(&model.stage_log_probabilities(data, batch_size)?, model.stage_flops(data), rule)
    }

    /// The number of stages.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.labels[0].len()
    }

    /// Selects some of the rows, in this order; a row may occur several times.
    ///
    /// # Panics
    /// For a row that does not exist.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        fn pick<T: Copy>(table: &[Vec<T>], rows: &[usize]) -> Vec<Vec<T>> {
            table.iter().map(|values| rows.iter().map(|row| values[*row]).collect()).collect()
        }
        Self {
            labels: pick(&self.labels, rows),
            confidences: pick(&self.confidences, rows),
            uncertainties: pick(&self.uncertainties, rows),
            flops: pick(&self.flops, rows),
        }
    }

    /// Replaces the answers of the last stage by the answers of the full model without stacking.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of rows.
    pub fn with_last_answers(mut self, labels: Vec<u32>) -> Result<Self> {
        let rows = self.rows();
        match self.labels.last_mut() {
            Some(last) if labels.len() == rows => *last = labels,
            _ => return Err(Error::shape("answers", format!("{rows}, one a row"), labels.len())),
        }
        Ok(self)
    }

    /// The rows at a threshold. At threshold 0, all rows leave at the last stage. Above 1, each row leaves at the first
    /// stage with a finite uncertainty (the patience rule has infinite ones).
    pub fn at(&self, threshold: f64) -> Staged {
        let last = self.labels.len() - 1;
        let sure = |row: usize| (0..last).find(|stage| self.uncertainties[*stage][row] < threshold);
        self.leaving_at((0..self.rows()).map(|row| sure(row).unwrap_or(last)).collect())
    }

    /// The rows when each leaves at a given stage, for example a stage that another method selected or that was drawn
    /// at random.
    ///
    /// # Panics
    /// For another number of rows, or a stage that does not exist.
    pub fn leaving_at(&self, stages: Vec<usize>) -> Staged {
        assert_eq!(stages.len(), self.rows(), "a stage for each row");
        let rows = || stages.iter().enumerate();
        Staged {
            labels: rows().map(|(row, stage)| self.labels[*stage][row]).collect(),
            flops: rows().map(|(row, stage)| self.flops[*stage][row]).sum(),
            confidence: rows().map(|(row, stage)| self.confidences[*stage][row]).sum::<f64>()
                / self.rows().max(1) as f64,
            stages,
        }
    }

    /// Thresholds that separate rows, ascending. The list begins with 0 (all rows at the last stage), ends with 1, and
    /// has at most `count` thresholds in between. Each of these lies between the uncertainties of two rows, so that
    /// rounding does not matter.
    pub fn thresholds(&self, count: usize) -> Vec<f64> {
        let before_last = &self.uncertainties[..self.uncertainties.len() - 1];
        let mut known: Vec<f64> = before_last.iter().flatten().copied().filter(|value| value.is_finite()).collect();
        known.sort_by(f64::total_cmp);
        known.dedup();
        let between: Vec<f64> = known.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect();
        let steps = between.len().min(count);
        let mut thresholds: Vec<f64> = (0..steps).map(|step| between[step * between.len() / steps.max(1)]).collect();
        thresholds.extend([0.0, 1.0]);
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        thresholds
    }

    /// The highest of `thresholds` (ascending) that loses nothing on rows with these labels: the accuracy of the
    /// answers is at least `accuracy`, and their [confidence](Staged::confidence) at least that of all rows at the last
    /// stage. Returns 0 if there is no such threshold.
    ///
    /// Accuracy alone would be too optimistic. With many thresholds and a few hundred rows, the highest threshold that
    /// reaches `accuracy` may do so by chance.
    pub fn lossless(&self, labels: &[u32], accuracy: f64, thresholds: &[f64]) -> f64 {
        let last = self.at(0.0).confidence;
        let keeps = |threshold: &&f64| {
            let at = self.at(**threshold);
            let right = at.labels.iter().zip(labels).filter(|(found, label)| found == label).count();
            at.confidence >= last && right as f64 / labels.len().max(1) as f64 >= accuracy
        };
        thresholds.iter().rev().find(keeps).copied().unwrap_or(0.0)
    }

    /// Returns the `thresholds` whose Brier score is lower than that of the last stage by at least one standard error of
    /// the difference, or the same for every row. The score of a row is (y − max p)², with y = 1 for a right answer and 0
    /// for a wrong one.
    ///
    /// An overconfident stage is sure of answers that are wrong, and few rows seldom show it by a count of the wrong
    /// ones.
    pub(crate) fn no_surer_than_right(&self, labels: &[u32], thresholds: &[f64]) -> Vec<f64> {
        let brier = |threshold: f64| -> Vec<f64> {
            let at = self.at(threshold);
            let of_row = |((row, stage), label): ((usize, &usize), &u32)| {
                (f64::from(u8::from(at.labels[row] == *label)) - self.confidences[*stage][row]).powi(2)
            };
            at.stages.iter().enumerate().zip(labels).map(of_row).collect()
        };
        let last = brier(0.0);
        let is_safe = |threshold: &f64| {
            let rises: Vec<f64> = brier(*threshold).iter().zip(&last).map(|(at, last)| at - last).collect();
            let rows = rises.len().max(1) as f64;
            let mean = rises.iter().sum::<f64>() / rows;
            let variance = rises.iter().map(|rise| (rise - mean).powi(2)).sum::<f64>() / (rows - 1.0).max(1.0);
            mean + (variance / rows).sqrt() <= 0.0
        };
        thresholds.iter().copied().filter(is_safe).collect()
    }

    /// The smallest of `thresholds` (ascending) at which the rows cost at most `flops`; `None` where all cost more.
    pub fn within(&self, flops: f64, thresholds: &[f64]) -> Option<f64> {
        // A higher threshold never costs more.
        let first = thresholds.partition_point(|threshold| self.at(*threshold).flops as f64 > flops);
        thresholds.get(first).copied()
    }
}

impl DynamicModel {
    /// The log-probabilities of every row at each stage of the model, in one pass through all layers. The first stage is the
    /// n-gram exit, if there is one. The other stages are the exits, each combined with the n-gram exit by its
    /// [weights](Stacker).
    ///
    /// # Errors
    /// As [`ExitModel::exit_log_probabilities`].
    pub fn stage_log_probabilities(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<LogProbabilities>> {
        self.stacked(data, self.model().exit_log_probabilities(data, batch_size)?)
    }

    /// The stages of the model, from answers that its exits gave to these texts
    /// ([`ExitModel::exit_log_probabilities`]): the n-gram exit, if there is one, and the exits, each combined with it.
    ///
    /// # Errors
    /// [`Error::Argument`] for answers to other texts or of another number of exits; errors of the n-gram exit.
    pub fn stacked(&self, data: &EncodedDataset, exits: Vec<LogProbabilities>) -> Result<Vec<LogProbabilities>> {
        let (own, rows) = (self.model().exits().len(), data.len());
        if exits.len() != own || exits.iter().any(|exit| exit.len() != rows) {
            let got = exits.iter().map(|exit| exit.len().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::shape("exits' answers", format!("{own} tables of {rows} rows"), format!("rows: {got}")));
        }
        let Some(front) = self.front() else { return Ok(exits) };
        let ngram = front.ngram().log_probabilities_of_all(data)?;
        let stacked = front.stackers().iter().zip(&exits).map(|(stacker, exit)| stacker.stack(&ngram, exit));
        let stacked = stacked.collect::<Result<Vec<_>>>()?;
        Ok(std::iter::once(ngram).chain(stacked).collect())
    }

    /// FLOPs of a text that leaves at each stage of the model, by stage and row. The earlier stages are included; router
    /// FLOPs are excluded, since [`Stages`] has no router.
    pub fn stage_flops(&self, data: &EncodedDataset) -> Vec<Vec<u64>> {
        let exits = exit_flops(self.model(), data);
        let Some(front) = self.front() else { return exits };
        let (ngram, stacking) = (front.ngram().flops_of_all(data), Stacker::flops(self.model().classes()));
        let stacked = exits.into_iter().zip(1..).map(|(flops, reads)| {
            flops.into_iter().zip(&ngram).map(|(flops, ngram)| ngram + flops + reads * stacking).collect()
        });
        std::iter::once(ngram.clone()).chain(stacked).collect()
    }
}

/// FLOPs of a text by the exit where it leaves (the n-gram exit excluded) and by row: the layers below this exit, and
/// every exit up to and including it.
pub(crate) fn exit_flops(model: &ExitModel, data: &EncodedDataset) -> Vec<Vec<u64>> {
    let lengths = data.lengths();
    let mut reads = vec![0; data.len()];
    let of_exit = |(exit, depth): (&dyn crate::exit::LayerExit, &usize)| {
        let of_row = |(tokens, reads): (&usize, &mut u64)| {
            *reads += exit.flops(*tokens).forward.0;
            model.layer_flops(*depth, *tokens) + *reads
        };
        lengths.iter().zip(&mut reads).map(of_row).collect()
    };
    model.exits().iter().map(|exit| &**exit).zip(model.depths()).map(of_exit).collect()
}
