//! Stages of a model, where a text may stop: the n-gram classifier and the early exits.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::number_levels::NumberLevels;
use crate::outputs::Outputs;
use crate::router::LeavingRule;

/// Stored predictions and costs of every exit of a model, from which the result at any exit threshold is computed.
///
/// Each stage is the n-gram classifier before the first layer, or an exit after a layer. A row stops at the first stage
/// whose prediction has an uncertainty below the threshold, otherwise at the last stage. A whole curve of accuracy
/// against cost therefore needs only one pass through the model.
///
/// # Examples
/// ```
/// use dht_dynamic::{LogProbabilities, evaluation::Stages, router::LeavingRule};
///
/// // Two stages, two rows, two classes.
/// let table = |rows: [f64; 2]| LogProbabilities::new(2, rows.iter().flat_map(|p| [p.ln(), (1.0 - p).ln()]).collect());
/// let tables = [table([0.95, 0.6])?, table([0.9, 0.1])?];
/// let flops = vec![vec![10, 10], vec![100, 100]];
/// let stages = Stages::new(&tables, flops, LeavingRule::Confidence)?;
///
/// // The first row is confident enough for the first stage, the second is not.
/// let result = stages.at(0.2);
/// assert_eq!((result.stages, result.labels, result.flops), (vec![0, 1], vec![0, 1], 110));
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    /// Type and number of the outputs: one class per text, or independent labels.
    outputs: Outputs,
    /// Predictions, one list for each stage. A list has one class index per text, or one 0 or 1 per text and label.
    labels: Vec<Vec<u32>>,
    /// Expected loss of accuracy if a text stops at a stage, indexed by stage and text. The expectation uses the last
    /// stage's probabilities. For numbers, the loss of R².
    regrets: Vec<Vec<f64>>,
    /// Uncertainty of the predictions, indexed by stage (n-gram classifier or exit) and text.
    uncertainties: Vec<Vec<f64>>,
    /// FLOPs of a text that stops at a stage (n-gram classifier or exit), indexed by stage and text.
    flops: Vec<Vec<u64>>,
    /// FLOPs of each text at threshold 0, where every text runs all layers and no exit but the last is computed.
    full_flops: Vec<u64>,
}

/// Result of stopping each text at a stage (n-gram classifier or early exit): the stages, the predictions and the total
/// cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Staged {
    /// Predicted class of each row. For a multi-label model, 0 or 1 for each label of the first row, then of the second
    /// row, and so on.
    pub labels: Vec<u32>,
    /// Index of the stage (n-gram classifier or early exit) at which each text stops.
    pub stages: Vec<usize>,
    /// Total FLOPs of all rows.
    pub flops: u64,
}

impl Stages {
    /// Builds stages (n-gram classifier and early exits) from their log-probabilities. `flops` is indexed by stage and
    /// row: the FLOPs of a row that stops at the stage, earlier stages included.
    ///
    /// # Errors
    /// * [`Error::Argument`] if there are no stages.
    /// * [`Error::Shape`] if the stages differ in the number of rows or classes, or `flops` has other sizes.
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

    /// Predicts the texts at all stages of a model (n-gram classifier and early exits). Uncertainties are those of the
    /// router's [rule](crate::Router::rule). If the router has no rule, the default rule, a threshold on the
    /// confidence, is used. See [`DynamicModel::stage_log_probabilities`].
    ///
    /// # Errors
    /// As [`DynamicModel::stage_log_probabilities`].
    pub fn of_model(model: &DynamicModel, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        Self::of_answers(model, data, &model.stage_log_probabilities(data, batch_size)?)
    }

    /// Builds the stages of a model as [`of_model`](Self::of_model) does, from log-probabilities that were already
    /// computed.
    ///
    /// # Errors
    /// [`Error::Argument`] if `stages` is empty; [`Error::Shape`] if the number of stages or rows does not match the
    /// model and the texts.
    pub fn of_answers(model: &DynamicModel, data: &EncodedDataset, stages: &[LogProbabilities]) -> Result<Self> {
        let rule = model.router().rule().unwrap_or_default();
        let full_flops = model.full_stage_flops(data);
        Ok(Self { full_flops, ..Self::new(stages, model.stage_flops(data), rule)? })
    }

    /// Recomputes the predictions of each stage: `decide` maps a stage's log-probabilities to predicted labels.
    pub(crate) fn decided(self, stages: &[LogProbabilities], decide: &dyn Fn(&LogProbabilities) -> Vec<u32>) -> Self {
        Self { labels: stages.iter().map(decide).collect(), ..self }
    }

    /// Replaces the expected losses of labels by those of the numbers that the labels stand for. A loss is the increase
    /// of the expected squared error, divided by `variance`, the variance of the true numbers. `stages` are the
    /// log-probabilities of the stages.
    pub(crate) fn with_number_regrets(self, stages: &[LogProbabilities], levels: &NumberLevels, variance: f64) -> Self {
        let Some(last) = stages.last() else { return self };
        let regrets = |stage: &LogProbabilities| last.number_regrets(&stage.numbers(levels), levels, variance);
        Self { regrets: stages.iter().map(regrets).collect(), ..self }
    }

    /// Recomputes the [expected losses of accuracy](LogProbabilities::weighted_regrets) for a model that was fitted
    /// with class weights. `stages` has the log-probabilities of the stages. Without class weights, nothing changes.
    pub(crate) fn with_class_weights(self, stages: &[LogProbabilities], class_weights: Option<&[f32]>) -> Self {
        let (Some(last), true) = (stages.last(), class_weights.is_some()) else { return self };
        let regrets = self.labels.iter().map(|labels| last.weighted_regrets(labels, class_weights)).collect();
        Self { regrets, ..self }
    }

    /// Number of stages: the early exits, and the n-gram classifier if there is one.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// Type and number of the outputs: one class per text, or independent labels.
    pub fn outputs(&self) -> Outputs {
        self.outputs
    }

    /// Number of rows (texts).
    pub fn rows(&self) -> usize {
        self.full_flops.len()
    }

    /// Prediction for one text at one stage (n-gram classifier or exit): a class index, or a 0 or 1 for each label.
    fn answers(&self, stage: usize, row: usize) -> &[u32] {
        let decisions = self.outputs.decisions();
        &self.labels[stage][row * decisions..(row + 1) * decisions]
    }

    /// Selects some rows (texts) of all stages. `rows` has their indices, in the order of the result; an index may
    /// repeat.
    ///
    /// # Panics
    /// If a row index is out of range.
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

    /// Replaces the predictions of the last stage, for example by those of the full model without stacking.
    ///
    /// # Errors
    /// [`Error::Shape`] if `labels` does not have one prediction for each row.
    pub fn with_last_answers(mut self, labels: Vec<u32>) -> Result<Self> {
        let expected = self.rows() * self.outputs.decisions();
        match self.labels.last_mut() {
            Some(last) if labels.len() == expected => *last = labels,
            _ => return Err(Error::shape("answers", format!("{expected}, one a row"), labels.len())),
        }
        Ok(self)
    }

    /// Computes at which stage each row stops at a threshold, with the resulting predictions and cost.
    ///
    /// At a threshold of 0, all rows stop at the last stage. If the stages are those [of a model](Self::of_model), the
    /// earlier exits then cost nothing, since they are not computed. At a threshold above 1, each row stops at the
    /// first stage with a finite uncertainty. Only the patience rule has infinite uncertainties.
    pub fn at(&self, threshold: f64) -> Staged {
        let last = self.labels.len() - 1;
        if threshold == 0.0 {
            return Staged { flops: self.full_flops.iter().sum(), ..self.leaving_at(vec![last; self.rows()]) };
        }
        let sure = |row: usize| (0..last).find(|stage| self.uncertainties[*stage][row] < threshold);
        self.leaving_at((0..self.rows()).map(|row| sure(row).unwrap_or(last)).collect())
    }

    /// Computes predictions and cost if each row stops at a prescribed stage, for example one that another method
    /// selected or that was drawn at random.
    ///
    /// # Panics
    /// If the number of stages is not the number of rows, or a stage does not exist.
    pub fn leaving_at(&self, stages: Vec<usize>) -> Staged {
        assert_eq!(stages.len(), self.rows(), "a stage for each row");
        let rows = || stages.iter().enumerate();
        Staged {
            labels: rows().flat_map(|(row, stage)| self.answers(*stage, row)).copied().collect(),
            flops: rows().map(|(row, stage)| self.flops[*stage][row]).sum(),
            stages,
        }
    }

    /// Ascending exit thresholds, between which the stopping stage of some row changes. The list begins with 0 (all
    /// rows at the last stage), ends with 1, and has at most `count` thresholds in between. Each inner threshold lies
    /// midway between two uncertainties, so that rounding does not matter.
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

    /// FLOPs of each row at a threshold. `at` must be the result of [`at`](Self::at) for this threshold.
    pub fn row_flops(&self, threshold: f64, at: &Staged) -> Vec<u64> {
        match threshold {
            0.0 => self.full_flops.clone(),
            _ => at.stages.iter().enumerate().map(|(row, stage)| self.flops[*stage][row]).collect(),
        }
    }

    /// Expected loss of each text: of accuracy ([regret](crate::evaluation::Risk::Regret)), or of R² for numbers.
    /// `stages` has the index of the stage at which each text stops.
    pub(crate) fn regrets(&self, stages: &[usize]) -> Vec<f64> {
        stages.iter().enumerate().map(|(row, stage)| self.regrets[*stage][row]).collect()
    }

    /// Smallest of the ascending `thresholds` at which all rows together cost at most `flops`; `None` if no threshold
    /// does.
    pub fn within(&self, flops: f64, thresholds: &[f64]) -> Option<f64> {
        thresholds.iter().copied().find(|threshold| self.at(*threshold).flops as f64 <= flops)
    }
}

impl DynamicModel {
    /// Computes the log-probabilities of every row at each stage of the model, in one pass through all layers. The
    /// first stage is the n-gram classifier, if there is one. The other stages are the exits, each combined with the
    /// n-gram classifier by [stacking weights](Stacker).
    ///
    /// # Errors
    /// As [`ExitModel::exit_log_probabilities`](crate::ExitModel::exit_log_probabilities).
    pub fn stage_log_probabilities(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<LogProbabilities>> {
        self.stacked(data, self.model().exit_log_probabilities(data, batch_size)?)
    }

    /// Combines the log-probabilities of the model's exits with those of the n-gram classifier, if there is one.
    /// `exits` are the results of [`ExitModel::exit_log_probabilities`](crate::ExitModel::exit_log_probabilities). The
    /// n-gram classifier is the first stage of the result; each exit, combined with it, is a further stage.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of exits or of rows is wrong; errors of the n-gram classifier.
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

    /// FLOPs of each text if it stops at a stage (n-gram classifier or early exit). The lists are indexed by stage and
    /// text. Earlier stages are included, and router FLOPs are excluded, since [`Stages`] has no router.
    pub fn stage_flops(&self, data: &EncodedDataset) -> Vec<Vec<u64>> {
        let exits = self.model().exit_flops(data);
        let Some(front) = self.front() else { return exits };
        let (ngram, stacking) = (front.ngram().flops_of_all(data), Stacker::flops(self.model().classes()));
        let stacked = exits.into_iter().zip(1..).map(|(flops, reads)| {
            flops.into_iter().zip(&ngram).map(|(flops, ngram)| ngram + flops + reads * stacking).collect()
        });
        std::iter::once(ngram.clone()).chain(stacked).collect()
    }

    /// FLOPs of each text at speed 0, where only the n-gram classifier, all layers and the last exit run.
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
