//! Stages that a text passes until one of them is sure: every threshold is arithmetic on their answers.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::log_probabilities::{LogProbabilities, best_class};
use crate::model::{DynamicModel, ExitModel, exit_log_probabilities};
use crate::router::LeavingRule;

/// The answers of some stages to the same rows, and what a row costs that leaves at each of them.
///
/// A row leaves at the first stage where its uncertainty is below the threshold, and else at the last. So a whole curve of
/// accuracy against cost takes no further pass through a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    /// The class of each row, by stage.
    labels: Vec<Vec<u32>>,
    /// The probability of that class, by stage.
    confidences: Vec<Vec<f64>>,
    /// By stage and row.
    uncertainties: Vec<Vec<f64>>,
    /// What a row costs that leaves there, by stage.
    flops: Vec<Vec<u64>>,
}

/// Where rows leave at a threshold.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Staged {
    /// The class of each row, of the stage where it left.
    pub labels: Vec<u32>,
    /// The stage where each row left.
    pub stages: Vec<usize>,
    /// What all rows cost.
    pub flops: u64,
    /// The mean of what these stages say of the likeliest class, max p. Where stages are calibrated, it is the accuracy that is to be
    /// expected, with much less variance than the share of right answers (Guo et al. 2017, equation 1).
    pub confidence: f64,
}

impl Stages {
    /// Stages by their log-probabilities, with the FLOPs of each row that leaves there, those of the stages before it
    /// included.
    ///
    /// # Errors
    /// [`Error::Setting`] for no stage, and for stages of different numbers of rows or classes.
    pub fn new(stages: &[LogProbabilities], flops: Vec<Vec<u64>>, rule: LeavingRule) -> Result<Self> {
        let Some(first) = stages.first() else { return Err(Error::setting("stages", "at least 1", 0)) };
        let shape = |rows: usize, classes: usize| format!("{rows} rows of {classes} classes");
        if let Some(other) =
            stages.iter().find(|stage| (stage.len(), stage.classes()) != (first.len(), first.classes()))
        {
            let expected = shape(first.len(), first.classes());
            return Err(Error::setting("a stage", expected, shape(other.len(), other.classes())));
        }
        if flops.len() != stages.len() || flops.iter().any(|flops| flops.len() != first.len()) {
            let expected = format!("{} lists of {}, one a stage", stages.len(), first.len());
            let got = flops.iter().map(|flops| flops.len().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::setting("FLOPs of stages", expected, format!("lists of {got}")));
        }
        let labels = stages.iter().map(LogProbabilities::labels).collect();
        let confidence = |logs: &[f64]| best_class(logs).1.exp();
        let confidences = stages.iter().map(|stage| stage.rows().map(confidence).collect()).collect();
        Ok(Self { labels, confidences, uncertainties: rule.uncertainties(stages), flops })
    }

    /// The stages of a model, as [`stage_log_probabilities`] reads them, left by its router's
    /// [rule](crate::Router::rule); of a router without one, where a stage is sure.
    ///
    /// # Errors
    /// As there.
    pub fn of_model(model: &DynamicModel, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        let rule = model.router().rule().unwrap_or_default();
        Self::new(&stage_log_probabilities(model, data, batch_size)?, stage_flops(model, data), rule)
    }

    /// The number of stages.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.labels[0].len()
    }

    /// The same stages of some of the rows, in this order; a row may come several times.
    ///
    /// # Panics
    /// For a row that is not there.
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

    /// The same stages with other answers at the last: those of the full model alone, where nothing is stacked on it.
    ///
    /// # Errors
    /// [`Error::Setting`] for another number of rows.
    pub fn with_last_answers(mut self, labels: Vec<u32>) -> Result<Self> {
        let rows = self.rows();
        match self.labels.last_mut() {
            Some(last) if labels.len() == rows => *last = labels,
            _ => return Err(Error::setting("answers", format!("{rows}, one a row"), labels.len())),
        }
        Ok(self)
    }

    /// Where the rows leave at a threshold: at 0 all of them at the last stage, above 1 at the first where their uncertainty is
    /// finite.
    pub fn at(&self, threshold: f64) -> Staged {
        let last = self.labels.len() - 1;
        let sure = |row: usize| (0..last).find(|stage| self.uncertainties[*stage][row] < threshold);
        self.leaving_at((0..self.rows()).map(|row| sure(row).unwrap_or(last)).collect())
    }

    /// The rows at given stages: for routes that something else has chosen, or chance.
    ///
    /// # Panics
    /// For another number of rows, or a stage that is not there.
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

    /// Thresholds that tell rows apart, ascending, from 0 (all rows at the last stage) to 1: at most `count` and those two.
    /// They lie between the rows' values, so that no rounding decides.
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

    /// The highest of `thresholds`, ascending, at which rows with these labels lose nothing: the answers are as accurate as
    /// `accuracy`, and as [confident](Staged::confidence) as if all rows ran all stages. 0 where there is none.
    ///
    /// Accuracy alone is too optimistic: of many thresholds the highest that reaches it on a few hundred rows is a lucky one.
    pub fn lossless(&self, labels: &[u32], accuracy: f64, thresholds: &[f64]) -> f64 {
        let last = self.at(0.0).confidence;
        let keeps = |threshold: &&f64| {
            let at = self.at(**threshold);
            let right = at.labels.iter().zip(labels).filter(|(found, label)| found == label).count();
            at.confidence >= last && right as f64 / labels.len().max(1) as f64 >= accuracy
        };
        thresholds.iter().rev().find(keeps).copied().unwrap_or(0.0)
    }

    /// The least of `thresholds`, ascending, at which the rows cost no more than `flops`; `None` where all cost more.
    pub fn within(&self, flops: f64, thresholds: &[f64]) -> Option<f64> {
        // A higher threshold never costs more.
        let first = thresholds.partition_point(|threshold| self.at(*threshold).flops as f64 > flops);
        thresholds.get(first).copied()
    }
}

/// What each stage of a model says of every row, in one pass through all layers: the front exit, where there is one, and then
/// each exit with it stacked on.
///
/// # Errors
/// As [`exit_log_probabilities`].
pub fn stage_log_probabilities(
    model: &DynamicModel,
    data: &EncodedDataset,
    batch_size: usize,
) -> Result<Vec<LogProbabilities>> {
    stack_exits(model, data, exit_tables(model.model(), data, batch_size)?)
}

/// What each exit says of every row, before anything is stacked on it.
pub(crate) fn exit_tables(
    model: &ExitModel,
    data: &EncodedDataset,
    batch_size: usize,
) -> Result<Vec<LogProbabilities>> {
    let table = |rows: Vec<Vec<f32>>| {
        let values = rows.into_iter().flatten().map(f64::from).collect();
        LogProbabilities::new(model.classes(), values)
    };
    exit_log_probabilities(model, data, batch_size)?.into_iter().map(table).collect()
}

/// The front exit, where there is one, and these exits with it stacked on.
pub(crate) fn stack_exits(
    model: &DynamicModel,
    data: &EncodedDataset,
    exits: Vec<LogProbabilities>,
) -> Result<Vec<LogProbabilities>> {
    let Some(front) = model.front() else { return Ok(exits) };
    let ngram = front.ngram().log_probabilities_of_all(data)?;
    let stacked = front.stackers().iter().zip(&exits).map(|(stacker, exit)| stacker.stack(&ngram, exit));
    let stacked = stacked.collect::<Result<Vec<_>>>()?;
    Ok(std::iter::once(ngram).chain(stacked).collect())
}

/// FLOPs of a text that leaves at each stage of a model, by stage and row, those of the stages before included and those of
/// routers left out: [`Stages`] has none.
pub fn stage_flops(model: &DynamicModel, data: &EncodedDataset) -> Vec<Vec<u64>> {
    let exits = exit_flops(model.model(), data);
    let Some(front) = model.front() else { return exits };
    let (ngram, stacking) = (front.ngram().flops_of_all(data), Stacker::flops(model.model().classes()));
    let stacked = exits.into_iter().zip(1..).map(|(flops, reads)| {
        flops.into_iter().zip(&ngram).map(|(flops, ngram)| ngram + flops + reads * stacking).collect()
    });
    std::iter::once(ngram.clone()).chain(stacked).collect()
}

/// FLOPs of a text that leaves at each exit after a layer, by exit and row: its layers, and every exit up to there.
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
