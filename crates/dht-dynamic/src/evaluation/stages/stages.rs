//! Stages that a text passes until one of them is confident. The result at any threshold is computed from stored
//! answers.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::outputs::Outputs;
use crate::router::LeavingRule;

/// Answers of several stages to the same rows, and the cost of each row for each stage where it may stop.
///
/// A row leaves at the first stage whose answer has an uncertainty below the threshold, otherwise at the last stage. A
/// whole curve of accuracy against cost therefore needs no further pass through a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    /// Decisions that make up an answer.
    outputs: Outputs,
    /// Answer to each decision, row after row, by stage: the predicted class, or 0 or 1 for each label.
    labels: Vec<Vec<u32>>,
    /// Score that a stage's answers are expected to lose by the last stage's probabilities, by stage and row.
    regrets: Vec<Vec<f64>>,
    /// Uncertainty by stage and row.
    uncertainties: Vec<Vec<f64>>,
    /// FLOPs of each row if it stops at a stage, by stage and row.
    flops: Vec<Vec<u64>>,
    /// FLOPs of each row at threshold 0.
    full_flops: Vec<u64>,
}

/// Stage where each row stops at a threshold, with the answers and the cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Staged {
    /// Predicted class of each row, at the stage where it left. For several labels, 0 or 1 for each label of the first
    /// row, then of the second.
    pub labels: Vec<u32>,
    /// Stage where each row left.
    pub stages: Vec<usize>,
    /// FLOPs of all rows.
    pub flops: u64,
}

impl Stages {
    /// Builds stages from their log-probabilities and the FLOPs of each row by the stage where it leaves. These FLOPs
    /// include the earlier stages.
    ///
    /// # Errors
    /// [`Error::Argument`] for no stages, and for stages that differ in the number of rows or classes.
    pub fn new(stages: &[LogProbabilities], flops: Vec<Vec<u64>>, rule: LeavingRule) -> Result<Self> {
        let Some(first) = stages.first() else { return Err(Error::argument("stages", "at least 1", 0)) };
        let shape = |stage: &LogProbabilities| format!("{} rows of {}", stage.len(), stage.outputs());
        if let Some(other) =
            stages.iter().find(|stage| (stage.len(), stage.outputs()) != (first.len(), first.outputs()))
        {
            return Err(Error::shape("a stage", shape(first), shape(other)));
        }
        if flops.len() != stages.len() || flops.iter().any(|flops| flops.len() != first.len()) {
            let expected = format!("{} lists of {}, one a stage", stages.len(), first.len());
            let got = flops.iter().map(|flops| flops.len().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::shape("FLOPs of stages", expected, format!("lists of {got}")));
        }
        let labels: Vec<Vec<u32>> = stages.iter().map(LogProbabilities::labels).collect();
        let last = &stages[stages.len() - 1];
        let regrets = labels.iter().map(|labels| last.regrets(labels)).collect();
        let full_flops = flops[flops.len() - 1].clone();
        let uncertainties = rule.uncertainties(stages);
        Ok(Self { outputs: first.outputs(), labels, regrets, uncertainties, flops, full_flops })
    }

    /// Stages of a model, as [`DynamicModel::stage_log_probabilities`] reads them, with the [rule](crate::Router::rule)
    /// of its router. If the router has no rule, the stages use the default rule, the confidence.
    ///
    /// # Errors
    /// As [`DynamicModel::stage_log_probabilities`].
    pub fn of_model(model: &DynamicModel, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        Self::of_answers(model, data, &model.stage_log_probabilities(data, batch_size)?)
    }

    /// Stages of a model, from the answers of its stages to these texts, as [`of_model`](Self::of_model).
    ///
    /// # Errors
    /// [`Error::Argument`] for answers to other texts, or of other stages.
    pub fn of_answers(model: &DynamicModel, data: &EncodedDataset, stages: &[LogProbabilities]) -> Result<Self> {
        let rule = model.router().rule().unwrap_or_default();
        let full_flops = model.full_stage_flops(data);
        Ok(Self { full_flops, ..Self::new(stages, model.stage_flops(data), rule)? })
    }

    /// Replaces the answers of the stages by those that `decide` reads from their tables.
    pub(crate) fn decided(self, stages: &[LogProbabilities], decide: &dyn Fn(&LogProbabilities) -> Vec<u32>) -> Self {
        Self { labels: stages.iter().map(decide).collect(), ..self }
    }

    /// Number of stages.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// Decisions that make up the answer to a row.
    pub fn outputs(&self) -> Outputs {
        self.outputs
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.full_flops.len()
    }

    /// Answers of a stage to a row.
    fn answers(&self, stage: usize, row: usize) -> &[u32] {
        let decisions = self.outputs.decisions();
        &self.labels[stage][row * decisions..(row + 1) * decisions]
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
        let stages = 0..self.count();
        let labels = |stage| rows.iter().flat_map(|row| self.answers(stage, *row)).copied().collect();
        Self {
            outputs: self.outputs,
            labels: stages.map(labels).collect(),
            regrets: pick(&self.regrets, rows),
            uncertainties: pick(&self.uncertainties, rows),
            flops: pick(&self.flops, rows),
            full_flops: rows.iter().map(|row| self.full_flops[*row]).collect(),
        }
    }

    /// Replaces the answers of the last stage by the answers of the full model without stacking.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of rows.
    pub fn with_last_answers(mut self, labels: Vec<u32>) -> Result<Self> {
        let expected = self.rows() * self.outputs.decisions();
        match self.labels.last_mut() {
            Some(last) if labels.len() == expected => *last = labels,
            _ => return Err(Error::shape("answers", format!("{expected}, one a row"), labels.len())),
        }
        Ok(self)
    }

    /// Rows at a threshold. At threshold 0, all rows leave at the last stage, and for the stages
    /// [of a model](Self::of_model) the exits before it cost nothing, since they are not computed. Above 1, each row leaves
    /// at the first stage with a finite uncertainty (the patience rule has infinite ones).
    pub fn at(&self, threshold: f64) -> Staged {
        let last = self.labels.len() - 1;
        if threshold == 0.0 {
            return Staged { flops: self.full_flops.iter().sum(), ..self.leaving_at(vec![last; self.rows()]) };
        }
        let sure = |row: usize| (0..last).find(|stage| self.uncertainties[*stage][row] < threshold);
        self.leaving_at((0..self.rows()).map(|row| sure(row).unwrap_or(last)).collect())
    }

    /// Rows when each leaves at a given stage, for example a stage that another method selected or that was drawn
    /// at random.
    ///
    /// # Panics
    /// For another number of rows, or a stage that does not exist.
    pub fn leaving_at(&self, stages: Vec<usize>) -> Staged {
        assert_eq!(stages.len(), self.rows(), "a stage for each row");
        let rows = || stages.iter().enumerate();
        Staged {
            labels: rows().flat_map(|(row, stage)| self.answers(*stage, row)).copied().collect(),
            flops: rows().map(|(row, stage)| self.flops[*stage][row]).sum(),
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

    /// FLOPs of each row at a threshold.
    pub fn row_flops(&self, threshold: f64, at: &Staged) -> Vec<u64> {
        match threshold {
            0.0 => self.full_flops.clone(),
            _ => at.stages.iter().enumerate().map(|(row, stage)| self.flops[*stage][row]).collect(),
        }
    }

    /// The [regret](crate::evaluation::Risk::Regret) of each row if it leaves at this stage.
    pub(crate) fn regrets(&self, stages: &[usize]) -> Vec<f64> {
        stages.iter().enumerate().map(|(row, stage)| self.regrets[*stage][row]).collect()
    }

    /// Smallest of `thresholds` (ascending) at which the rows cost at most `flops`; `None` where all cost more.
    pub fn within(&self, flops: f64, thresholds: &[f64]) -> Option<f64> {
        thresholds.iter().copied().find(|threshold| self.at(*threshold).flops as f64 <= flops)
    }
}

impl DynamicModel {
    /// Log-probabilities of every row at each stage of the model, in one pass through all layers. The first stage is
    /// the n-gram exit, if there is one. The other stages are the exits, each combined with the n-gram exit by its
    /// [weights](Stacker).
    ///
    /// # Errors
    /// As [`ExitModel::exit_log_probabilities`](crate::ExitModel::exit_log_probabilities).
    pub fn stage_log_probabilities(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<LogProbabilities>> {
        self.stacked(data, self.model().exit_log_probabilities(data, batch_size)?)
    }

    /// Stages of the model, from answers that its exits gave to these texts
    /// ([`ExitModel::exit_log_probabilities`](crate::ExitModel::exit_log_probabilities)): the n-gram exit, if there is one, and the exits, each combined with it.
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
        let exits = self.model().exit_flops(data);
        let Some(front) = self.front() else { return exits };
        let (ngram, stacking) = (front.ngram().flops_of_all(data), Stacker::flops(self.model().classes()));
        let stacked = exits.into_iter().zip(1..).map(|(flops, reads)| {
            flops.into_iter().zip(&ngram).map(|(flops, ngram)| ngram + flops + reads * stacking).collect()
        });
        std::iter::once(ngram.clone()).chain(stacked).collect()
    }

    /// FLOPs of each text at speed 0, where no exit between the n-gram exit and the last one is computed.
    fn full_stage_flops(&self, data: &EncodedDataset) -> Vec<u64> {
        let layers = self.full_flops_of_each(data);
        match self.front() {
            None => layers,
            Some(front) => {
                let stacking = Stacker::flops(self.model().classes());
                front
                    .ngram()
                    .flops_of_all(data)
                    .into_iter()
                    .zip(layers)
                    .map(|(ngram, own)| ngram + own + stacking)
                    .collect()
            }
        }
    }
}
