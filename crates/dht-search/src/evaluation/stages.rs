//! Stages that a text passes until one of them is sure: every threshold is arithmetic on their answers.

use dht_transformer::EncodedDataset;

use crate::error::{Error, Result};
use crate::model::{DynamicModel, LogProbabilities, Stacker, best_class, exit_log_probabilities};
use crate::settings::RouterKind;
use crate::space::Route;

/// The answers of some stages to the same rows, and what a row costs that leaves at each of them.
///
/// A row leaves at the first stage where its uncertainty is below the threshold, and else at the last. So a whole curve of
/// accuracy against cost takes no further pass through a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    /// The class of each row, by stage.
    labels: Vec<Vec<u32>>,
    /// By stage and row.
    uncertainties: Vec<Vec<f64>>,
    /// What a row costs that leaves there, by stage.
    flops: Vec<Vec<u64>>,
}

/// What is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LeavingRule {
    /// 1 − max p, as with [`RouterKind::ConfidenceThreshold`].
    #[default]
    Confidence,
    /// −Σ p·ln p / ln C of the C probabilities, as with
    /// [`RouterKind::EntropyThreshold`](crate::settings::RouterKind::EntropyThreshold).
    Entropy,
    /// 1/(1 + a), where a is how many stages before, without a break, say the same class, as with
    /// [`RouterKind::Patience`](crate::settings::RouterKind::Patience): a patience of p is any threshold above
    /// 1/(1 + p) and not above 1/p.
    Patience,
}

impl LeavingRule {
    /// The rule of a threshold router; `None` for bandits.
    pub fn of(router: RouterKind) -> Option<Self> {
        match router {
            RouterKind::ConfidenceThreshold { .. } => Some(Self::Confidence),
            RouterKind::EntropyThreshold { .. } => Some(Self::Entropy),
            RouterKind::Patience { .. } => Some(Self::Patience),
            RouterKind::Bandit | RouterKind::SequentialBandit => None,
        }
    }

    /// The uncertainty of each row, by stage.
    fn uncertainties(self, stages: &[LogProbabilities]) -> Vec<Vec<f64>> {
        let mut before: Vec<(Option<u32>, u32)> = vec![(None, 0); stages[0].len()];
        let mut of_row = |(row, logs): (usize, &[f64])| match self {
            Self::Confidence => 1.0 - best_class(logs).1.exp(),
            Self::Entropy => logs.iter().map(|log| -log.exp() * log).sum::<f64>() / (logs.len() as f64).ln(),
            Self::Patience => {
                let (class, agreeing) = before[row];
                let own = best_class(logs).0;
                before[row] = (Some(own), if class == Some(own) { agreeing + 1 } else { 0 });
                1.0 / f64::from(1 + before[row].1)
            }
        };
        stages.iter().map(|stage| stage.rows().enumerate().map(&mut of_row).collect()).collect()
    }
}

/// Where rows leave at a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Staged {
    /// The class of each row, of the stage where it left.
    pub labels: Vec<u32>,
    /// The stage where each row left.
    pub stages: Vec<usize>,
    /// What all rows cost.
    pub flops: u64,
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
        Ok(Self { labels, uncertainties: rule.uncertainties(stages), flops })
    }

    /// The stages of a model, as [`stage_log_probabilities`] reads them, left where a model is sure.
    ///
    /// # Errors
    /// As there.
    pub fn of_model(model: &DynamicModel, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        Self::new(
            &stage_log_probabilities(model, data, batch_size)?,
            stage_flops(model, data)?,
            LeavingRule::Confidence,
        )
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
        let (labels, uncertainties) = (pick(&self.labels, rows), pick(&self.uncertainties, rows));
        Self { labels, uncertainties, flops: pick(&self.flops, rows) }
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

    /// Where the rows leave at a threshold: at 0 all of them at the last stage, from 1 on at the first.
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
            stages,
        }
    }

    /// Thresholds that tell rows apart, ascending, from 0 (all rows at the last stage) to 1: at most `count` and those two.
    /// They lie between the rows' values, so that no rounding decides.
    pub fn thresholds(&self, count: usize) -> Vec<f64> {
        let before_last = &self.uncertainties[..self.uncertainties.len() - 1];
        let mut known: Vec<f64> = before_last.iter().flatten().copied().collect();
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
    stack_exits(model, data, exit_tables(model, data, batch_size)?)
}

/// What each exit says of every row, before anything is stacked on it.
pub(super) fn exit_tables(
    model: &DynamicModel,
    data: &EncodedDataset,
    batch_size: usize,
) -> Result<Vec<LogProbabilities>> {
    let table = |rows: Vec<Vec<f32>>| {
        let values = rows.into_iter().flatten().map(f64::from).collect();
        LogProbabilities::new(model.model().classes(), values)
    };
    exit_log_probabilities(model.model(), data, batch_size)?.into_iter().map(table).collect()
}

/// The front exit, where there is one, and these exits with it stacked on.
pub(super) fn stack_exits(
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
///
/// # Errors
/// None for texts that the model can predict.
pub fn stage_flops(model: &DynamicModel, data: &EncodedDataset) -> Result<Vec<Vec<u64>>> {
    let parts = model.model();
    let exits = parts.space().exits();
    let mut stages = Vec::new();
    let mut front = vec![0; data.len()];
    let mut stacking = 0;
    if let Some(exit) = model.front() {
        front = exit.ngram().flops_of_all(data);
        stacking = Stacker::flops(parts.classes());
        stages.push(front.clone());
    }
    for (at, depth) in exits.iter().enumerate() {
        let route = Route::truncated(parts.space().model_shape(), *depth)?;
        let of_row = |(tokens, front): (usize, &u64)| {
            let mut reads = parts.full_reads();
            reads.iter_mut().enumerate().for_each(|(exit, reads)| reads.attached = u64::from(exit <= at));
            front + parts.forward_flops(&route, tokens, &reads) + (at as u64 + 1) * stacking
        };
        stages.push(data.lengths().into_iter().zip(&front).map(of_row).collect());
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[f64]) -> LogProbabilities {
        LogProbabilities::new(2, rows.iter().flat_map(|p| [p.ln(), (1.0 - p).ln()]).collect()).unwrap()
    }

    fn stages() -> Stages {
        let tables = [table(&[0.9, 0.6, 0.2]), table(&[0.1, 0.3, 0.45]), table(&[0.8, 0.9, 0.99])];
        Stages::new(&tables, vec![vec![1; 3], vec![10, 20, 30], vec![100; 3]], LeavingRule::Confidence).unwrap()
    }

    #[test]
    fn rows_leave_at_the_first_stage_that_is_sure() {
        let stages = stages();
        let at = |threshold| stages.at(threshold);
        assert_eq!(at(0.0), Staged { labels: vec![0, 0, 0], stages: vec![2; 3], flops: 300 });
        assert_eq!(at(1.0), Staged { labels: vec![0, 0, 1], stages: vec![0; 3], flops: 3 });
        // .1, .4 and .2 in front, then .1, .3 and .45.
        assert_eq!(at(0.35), Staged { labels: vec![0, 1, 1], stages: vec![0, 1, 0], flops: 22 });
        assert_eq!(stages.leaving_at(vec![2, 1, 0]).flops, 121);
    }

    #[test]
    fn rows_are_selected_and_the_last_stage_takes_other_answers() {
        let stages = stages();
        let twice = stages.select(&[2, 2, 0]);
        assert_eq!(twice.at(0.35), Staged { labels: vec![1, 1, 0], stages: vec![0; 3], flops: 3 });
        let own = stages.clone().with_last_answers(vec![1, 1, 0]).unwrap();
        assert_eq!((own.at(0.0).labels, own.at(1.0).labels), (vec![1, 1, 0], stages.at(1.0).labels));
        assert!(stages.with_last_answers(vec![0]).is_err());
    }

    #[test]
    fn the_costliest_threshold_within_a_budget_is_found() {
        let stages = stages();
        let thresholds = stages.thresholds(100);
        assert_eq!((thresholds[0], thresholds[thresholds.len() - 1]), (0.0, 1.0));
        let mut costs: Vec<u64> = thresholds.iter().map(|threshold| stages.at(*threshold).flops).collect();
        assert!(costs.is_sorted_by(|before, after| before >= after));
        costs.dedup();
        assert_eq!(costs.len(), 5, "{costs:?}");
        for cost in costs {
            let found = stages.within(cost as f64, &thresholds).unwrap();
            assert_eq!(stages.at(found).flops, cost);
        }
        assert_eq!(stages.within(2.0, &thresholds), None);
        assert!(stages.thresholds(2).len() <= 4);
    }

    #[test]
    fn entropy_and_patience_leave_where_their_sources_do() {
        let tables = [table(&[0.9, 0.6, 0.2]), table(&[0.1, 0.8, 0.3]), table(&[0.05, 0.9, 0.99])];
        let of = |rule| Stages::new(&tables, vec![vec![1; 3], vec![2; 3], vec![3; 3]], rule).unwrap();
        // Entropies over ln 2: .47, .97, .72, then .47, .72, .88.
        let entropy = of(LeavingRule::Entropy);
        assert_eq!(entropy.at(0.5).stages, [0, 2, 2]);
        assert_eq!(entropy.at(0.73).stages, [0, 1, 0]);
        // The first row changes its class once, the second never, the third at the end.
        let patience = of(LeavingRule::Patience);
        assert_eq!(patience.at(1.0).stages, [2, 1, 1], "a patience of 1");
        assert_eq!(patience.at(0.5).stages, [2, 2, 2], "a patience of 2");
        assert_eq!(patience.at(1.0).labels, [1, 0, 1]);
    }

    #[test]
    fn stages_that_do_not_belong_together_are_refused() {
        let error = |stages: &[LogProbabilities], flops| {
            Stages::new(stages, flops, LeavingRule::Confidence).unwrap_err().to_string()
        };
        assert_eq!(error(&[], vec![]), "stages is 0, expected at least 1");
        let two = [table(&[0.5]), table(&[0.5, 0.5])];
        assert_eq!(error(&two, vec![vec![1], vec![1]]), "a stage is 2 rows of 2 classes, expected 1 rows of 2 classes");
        assert!(error(&two[..1], vec![vec![1, 2]]).starts_with("FLOPs of stages is lists of 2"));
    }
}
