//! Fits linear exits: logistic regressions on standardised pooled states of the encoder.

use super::settings::{AccelerateSettings, Targets};
use super::states::ExitStates;
use super::step::{FitStep, WatchFit};
use super::texts::FitTexts;
use crate::error::{Error, Result};
use crate::exit_model::ExitModel;
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{
    FeatureMatrix, FitSettings, LinearModel, Minimum, RowTargets, Rows, SmoothedTargets, Standardisation, best_penalty,
};
use crate::outputs::Outputs;

/// Gradient norm at which a fit stops. The result is about as close to the minimum as scikit-learn's with its default
/// tolerance.
const TOLERANCE: f64 = 3e-3;

/// Result of fitting the linear exits. Their weights have already been written to the model.
pub(crate) struct LinearExits {
    /// Inverse penalty C that was selected for each exit.
    pub(crate) c: Vec<f64>,
    /// Log-probabilities of each exit for the held-out texts. Without held-out texts, out-of-fold log-probabilities for
    /// all texts.
    pub(crate) answers: Vec<LogProbabilities>,
    /// FLOPs of all fits, and of the predictions that select the inverse penalty C.
    pub(crate) flops: u64,
}

impl LinearExits {
    /// Fits a logistic regression at each exit for which pooled states are stored, and writes its weights to the model.
    pub(crate) fn fit(
        model: &ExitModel,
        texts: &FitTexts,
        states: &ExitStates,
        settings: &AccelerateSettings,
        watch: WatchFit<'_>,
    ) -> Result<Self> {
        let (labels, judged, outputs) = (texts.labels(), texts.judged_labels(), model.outputs());
        let mut of_labels = float(&labels);
        let targets = match (settings.targets, &states.training.classifier) {
            (Targets::Labels | Targets::Predictions, _) => row_targets(outputs, &labels, &of_labels),
            (Targets::SoftLabels, Some(classifier)) => match outputs {
                Outputs::Classes(_) => RowTargets::Soft(classifier.values()),
                Outputs::Labels(_) => {
                    of_labels = classifier.probabilities().concat();
                    RowTargets::Labels(&of_labels)
                }
            },
            (Targets::SoftLabels, None) => {
                return Err(Error::argument("targets", "labels, where the classifier is fitted too", "soft labels"));
            }
        };
        let exits = states.training.exits.len();
        let fit = |(exit, pooled): (usize, &Rows)| {
            watch(FitStep::Exit { number: exit + 1, exits });
            let fits = Fits::new(outputs, &settings.c).with_class_weights(texts.class_weights());
            match &states.held_out {
                Some(held_out) => {
                    let judge = HeldOut { states: StateRows::all(&held_out.exits[exit]), labels: &judged };
                    fits.with_held_out(StateRows::all(pooled), targets, judge)
                }
                None => fits.crossed(pooled, targets, Folds { fold_of: &texts.fold_of, labels: &judged }),
            }
        };
        let fitted = states.training.exits.iter().enumerate().map(fit).collect::<Result<Vec<FittedExit>>>()?;
        model.set_linear_parts(fitted.iter().map(|exit| (&*exit.weights, &*exit.bias)))?;
        Ok(Self {
            c: fitted.iter().map(|exit| exit.c).collect(),
            flops: fitted.iter().map(|exit| exit.flops).sum(),
            answers: fitted.into_iter().map(|exit| exit.judged).collect(),
        })
    }
}

/// Fits the model's last exit on the first `training` rows, and selects the inverse penalty C on the remaining rows.
/// The texts must be those of a cross-fit, which have no held-out set. Returns the FLOPs.
pub(crate) fn fit_last_exit(
    model: &ExitModel,
    texts: &FitTexts,
    states: &ExitStates,
    training: usize,
    settings: &AccelerateSettings,
) -> Result<u64> {
    let Some(pooled) = states.training.exits.last() else { return Err(Error::argument("exits", "at least one", 0)) };
    let labels = texts.labels();
    let rows: Vec<usize> = (0..texts.training.len()).collect();
    let part = |rows| StateRows { states: pooled, rows: Some(rows) };
    let outputs = model.outputs();
    let (own, others) = labels.split_at(training * outputs.decisions());
    let of_labels = float(own);
    let targets = row_targets(outputs, own, &of_labels);
    let judge = HeldOut { states: part(&rows[training..]), labels: others };
    let fits = Fits::new(outputs, &settings.c).with_class_weights(texts.class_weights());
    let fitted = fits.with_held_out(part(&rows[..training]), targets, judge)?;
    model.set_last_linear_part(&fitted.weights, &fitted.bias)?;
    Ok(fitted.flops)
}

fn float(labels: &[u32]) -> Vec<f32> {
    labels.iter().map(|label| *label as f32).collect()
}

/// Selects the targets of a logistic regression: class indices, or for multi-label tasks `of_labels`, the labels as
/// floats.
fn row_targets<'a>(outputs: Outputs, labels: &'a [u32], of_labels: &'a [f32]) -> RowTargets<'a> {
    match outputs {
        Outputs::Classes(_) => RowTargets::Classes(labels),
        Outputs::Labels(_) => RowTargets::Labels(of_labels),
    }
}

/// Fits a regression like the one of the last exit on some training rows, and predicts the held-out texts. `rows` are
/// the indices of the training rows, ascending. Returns the log-probabilities and the FLOPs. No model is changed.
pub(crate) fn judged_by_rows(
    outputs: Outputs,
    texts: &FitTexts,
    states: &ExitStates,
    rows: &[usize],
    settings: &AccelerateSettings,
) -> Result<(LogProbabilities, u64)> {
    let held_out = states.held_out.as_ref().and_then(|states| states.exits.last());
    let (Some(pooled), Some(held_out)) = (states.training.exits.last(), held_out) else {
        return Err(Error::argument("held-out texts", "at least one", "none"));
    };
    let (all, judged) = (texts.labels(), texts.judged_labels());
    let decisions = outputs.decisions();
    let labels: Vec<u32> = rows.iter().flat_map(|row| &all[row * decisions..(row + 1) * decisions]).copied().collect();
    let of_labels = float(&labels);
    let judge = HeldOut { states: StateRows::all(held_out), labels: &judged };
    let training = StateRows { states: pooled, rows: Some(rows) };
    let targets = row_targets(outputs, &labels, &of_labels);
    let fits = Fits::new(outputs, &settings.c).with_class_weights(texts.class_weights());
    let fitted = fits.with_held_out(training, targets, judge)?;
    Ok((fitted.judged, fitted.flops))
}

/// Weights and bias of a fitted exit, and its predictions for the held-out or cross-fitted rows.
struct FittedExit {
    /// Weights for raw states, without standardisation. Shape (hidden, classes).
    weights: Vec<f32>,
    /// Bias, shape (classes,).
    bias: Vec<f32>,
    c: f64,
    /// Log-probabilities of the held-out or cross-fitted rows. A cross-fitted row is predicted by the regression whose
    /// training left out the row's fold.
    judged: LogProbabilities,
    flops: u64,
}

#[derive(Clone, Copy)]
struct StateRows<'a> {
    states: &'a Rows,
    /// Indices of the selected rows, ascending; `None` for all rows.
    rows: Option<&'a [usize]>,
}

impl<'a> StateRows<'a> {
    fn all(states: &'a Rows) -> Self {
        Self { states, rows: None }
    }

    fn len(self) -> usize {
        self.rows.map_or(self.states.len(), <[usize]>::len)
    }

    fn features(self, scaling: &Standardisation) -> FeatureMatrix {
        FeatureMatrix::of_rows(self.states, self.rows, scaling)
    }
}

/// Held-out rows, on which the inverse penalty C is selected and the exit is scored.
struct HeldOut<'a> {
    states: StateRows<'a>,
    labels: &'a [u32],
}

/// Cross-fitting fold and label of each row.
struct Folds<'a> {
    fold_of: &'a [usize],
    labels: &'a [u32],
}

/// Fits the logistic regressions of one exit, one for each candidate C (inverse penalty), and adds up their FLOPs.
struct Fits<'a> {
    outputs: Outputs,
    c: &'a [f64],
    /// Weight of each class; `None` for equal weights.
    class_weights: Option<&'a [f32]>,
    flops: u64,
}

impl<'a> Fits<'a> {
    fn new(outputs: Outputs, c: &'a [f64]) -> Self {
        Self { outputs, c, class_weights: None, flops: 0 }
    }

    /// Weights the classes in the regressions, and in the losses that select the inverse penalty C.
    fn with_class_weights(self, class_weights: Option<&'a [f32]>) -> Self {
        Self { class_weights, ..self }
    }

    /// Fits the exit on training rows for several candidates C (inverse penalty). Returns the fit with the smallest
    /// mean loss on the held-out rows. The [search](best_penalty) begins at the middle candidate.
    fn with_held_out(
        mut self,
        training: StateRows<'_>,
        targets: RowTargets<'_>,
        judge: HeldOut<'_>,
    ) -> Result<FittedExit> {
        let (class_weights, rows) = (self.class_weights, (0..training.len()).collect::<Vec<_>>());
        let scaling = Standardisation::new(training.states, training.rows)?;
        let all = SmoothedTargets::new(targets, &rows, self.outputs.count());
        let row_weights = targets.row_weights(&rows, class_weights);
        let (features, others) = (training.features(&scaling), judge.states.features(&scaling));
        let mut start = None;
        let (best, (regression, judged)) = best_penalty(self.c.len(), |at| {
            let regression = self.fit(at, &features, (all.as_targets(), row_weights.as_deref()), &mut start)?;
            let judged = LogProbabilities::of(self.outputs, self.judge(&regression, &others)?)?;
            Ok((judged.weighted_loss(judge.labels, class_weights), (regression, judged)))
        })?;
        Ok(self.exit(best, &regression, &scaling, judged))
    }

    /// Cross-fits the exit for several candidates C (inverse penalty). Refits it on all rows with the C that has the
    /// smallest out-of-fold loss.
    fn crossed(
        mut self,
        states: &Rows,
        targets: RowTargets<'_>,
        Folds { fold_of, labels }: Folds<'_>,
    ) -> Result<FittedExit> {
        let (outputs, class_weights, scaling) = (self.outputs, self.class_weights, Standardisation::new(states, None)?);
        let (classes, width) = (outputs.count(), outputs.width());
        let features = |rows: &[usize]| StateRows { states, rows: Some(rows) }.features(&scaling);
        let folds = fold_of.iter().copied().max().map_or(0, |last| last + 1);
        let data = |fold: usize| {
            let (held, rows): (Vec<usize>, Vec<usize>) = (0..fold_of.len()).partition(|row| fold_of[*row] == fold);
            let weighted = (SmoothedTargets::new(targets, &rows, classes), targets.row_weights(&rows, class_weights));
            (features(&rows), weighted, features(&held), held, None)
        };
        let mut folds: Vec<_> = (0..folds).map(data).collect();
        let (best, judged) = best_penalty(self.c.len(), |at| {
            let mut table = vec![0.0; fold_of.len() * width];
            for (features, (targets, row_weights), others, held, start) in &mut folds {
                let regression = self.fit(at, features, (targets.as_targets(), row_weights.as_deref()), start)?;
                for (row, logs) in held.iter().zip(self.judge(&regression, others)?.chunks_exact(width)) {
                    table[*row * width..(*row + 1) * width].copy_from_slice(logs);
                }
            }
            let table = LogProbabilities::of(outputs, table)?;
            Ok((table.weighted_loss(labels, class_weights), table))
        })?;
        // The folds take the memory of all states times the number of folds.
        drop(folds);
        let rows: Vec<usize> = (0..states.len()).collect();
        let all = SmoothedTargets::new(targets, &rows, classes);
        let row_weights = targets.row_weights(&rows, class_weights);
        let features = StateRows::all(states).features(&scaling);
        let regression = self.fit(best, &features, (all.as_targets(), row_weights.as_deref()), &mut None)?;
        Ok(self.exit(best, &regression, &scaling, judged))
    }

    /// Fits the regression to targets and row weights, with the candidate C (inverse penalty) at index `at`. The fit
    /// starts from `start`, the minimum for the previous C, and replaces it.
    fn fit(
        &mut self,
        at: usize,
        features: &FeatureMatrix,
        (targets, row_weights): (RowTargets<'_>, Option<&[f64]>),
        start: &mut Option<Minimum>,
    ) -> Result<LinearModel> {
        let settings = FitSettings { c: self.c[at], tolerance: TOLERANCE, row_weights };
        let (regression, minimum) = LinearModel::fit(features, targets, self.outputs.count(), settings, start.take())?;
        self.flops += minimum.flops;
        *start = Some(minimum);
        Ok(regression)
    }

    /// Predicts the log-probabilities of the rows in `others`, concatenated.
    fn judge(&mut self, regression: &LinearModel, others: &FeatureMatrix) -> Result<Vec<f64>> {
        self.flops += others.flops(self.outputs.count());
        Ok(self.outputs.of_scores(regression.scores_of(others)?))
    }

    fn exit(
        self,
        best: usize,
        regression: &LinearModel,
        scaling: &Standardisation,
        judged: LogProbabilities,
    ) -> FittedExit {
        let (weights, bias) = regression.unscaled(scaling).into_parameters();
        FittedExit { weights, bias, c: self.c[best], judged, flops: self.flops }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::logistic::MULTIPLY_ADDS;

    const WIDTH: usize = 5;

    /// Random rows with five features each. The label is the index of the largest of the first three features. The
    /// fourth feature is constant.
    fn rows(count: usize, seed: u64) -> (Rows, Vec<u32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut states, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let row: [f32; WIDTH] = std::array::from_fn(|at| if at == 3 { 7.0 } else { rng.random_range(-1.0..1.0) });
            let best = (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
            labels.push(best as u32);
            states.extend(row.iter().zip([100.0, 1.0, 0.01, 1.0, 1.0]).map(|(value, scale)| value * scale));
        }
        (Rows::in_memory(WIDTH, states), labels)
    }

    /// Fits an exit on the rows `states`, and scores it on the held-out rows `others`.
    fn held_out(
        states: &Rows,
        labels: &[u32],
        (others, judged): (&Rows, &[u32]),
        classes: usize,
        c: &[f64],
    ) -> FittedExit {
        let judge = HeldOut { states: StateRows::all(others), labels: judged };
        Fits::new(classes.into(), c).with_held_out(StateRows::all(states), RowTargets::Classes(labels), judge).unwrap()
    }

    #[test]
    fn folding_the_scaling_into_the_weights_preserves_predictions() {
        let ((states, labels), (others, other_labels)) = (rows(200, 1), rows(50, 2));
        let exit = held_out(&states, &labels, (&others, &other_labels), 3, &[1e-3, 1.0, 10.0]);
        assert!(exit.judged.accuracy(&other_labels) > 0.9, "states of any scale serve alike");
        assert!(exit.c > 1e-3, "a strong penalty is not chosen");
        let mut rows = exit.judged.rows();
        others
            .each(None, |state| {
                let mut scores: Vec<f64> = exit.bias.iter().copied().map(f64::from).collect();
                for (value, weights) in state.iter().zip(exit.weights.chunks_exact(3)) {
                    scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += f64::from(value * weight));
                }
                crate::outputs::log_softmax(&mut scores);
                for (score, judged) in scores.iter().zip(rows.next().unwrap()) {
                    assert!((score - judged).abs() < 1e-4, "{score} and {judged}");
                }
            })
            .unwrap();
        assert!(exit.weights[9..12].iter().all(|weight| *weight == 0.0), "a constant state says nothing");
    }

    #[test]
    fn class_weights_move_the_predicted_frequencies() {
        // The states say nothing about the labels, so that the exit predicts the weighted class frequencies.
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let count = 2_000;
        let states = Rows::in_memory(1, (0..count).map(|_| rng.random_range(-1.0..1.0)).collect());
        let labels: Vec<u32> = (0..count as u32).map(|row| u32::from(row.is_multiple_of(10))).collect();
        let fold_of: Vec<usize> = (0..count).map(|row| row / 10 % 5).collect();
        let weights = [1.0, 9.0];
        let fits = || Fits::new(2.into(), &[1e-3]).with_class_weights(Some(&weights));
        let judge = HeldOut { states: StateRows::all(&states), labels: &labels };
        let held_out = fits().with_held_out(StateRows::all(&states), RowTargets::Classes(&labels), judge).unwrap();
        let folds = Folds { fold_of: &fold_of, labels: &labels };
        let crossed = fits().crossed(&states, RowTargets::Classes(&labels), folds).unwrap();
        for exit in [held_out, crossed] {
            let mean = exit.judged.rows().map(|row| row[1].exp()).sum::<f64>() / count as f64;
            assert!((mean - 0.5).abs() < 0.01, "{mean}");
        }
    }

    #[test]
    fn equal_class_weights_change_no_bit() {
        let ((states, labels), (others, other_labels)) = (rows(200, 1), rows(50, 2));
        let alone = held_out(&states, &labels, (&others, &other_labels), 3, &[1e-3, 1.0, 10.0]);
        let judge = HeldOut { states: StateRows::all(&others), labels: &other_labels };
        let fits = Fits::new(3.into(), &[1e-3, 1.0, 10.0]).with_class_weights(Some(&[1.0; 3]));
        let weighted = fits.with_held_out(StateRows::all(&states), RowTargets::Classes(&labels), judge).unwrap();
        assert_eq!((&weighted.weights, &weighted.bias, weighted.c), (&alone.weights, &alone.bias, alone.c));
        assert_eq!(weighted.judged, alone.judged);
    }

    #[test]
    fn a_component_that_a_layer_norm_switched_off_gets_no_weight() {
        let (states, labels) = rows(200, 1);
        let mut values = Vec::new();
        states.each(None, |row| values.extend([row[0] / 100.0, row[1], row[2] * 100.0, row[4] * 2e-9])).unwrap();
        let states = Rows::in_memory(4, values);
        let exit = held_out(&states, &labels, (&states, &labels), 3, &[1.0]);
        assert_eq!(exit.weights[9..], [0.0; 3]);
        assert!(exit.judged.accuracy(&labels) > 0.9);
    }

    #[test]
    fn a_class_without_rows_keeps_a_small_finite_probability() {
        let (states, labels) = rows(100, 1);
        let exit = held_out(&states, &labels, (&states, &labels), 5, &[1.0]);
        for row in exit.judged.rows() {
            for log in &row[3..] {
                assert!((1e-4..0.05).contains(&log.exp()), "{}", log.exp());
            }
        }
    }

    #[test]
    fn smoothed_targets_sum_to_one_for_any_number_of_absent_classes() {
        for classes in 3..6 {
            let smoothed = SmoothedTargets::new(RowTargets::Classes(&[0, 1, 1]), &[0, 1, 2], classes);
            let SmoothedTargets::Soft(logs) = smoothed else { panic!("a class is absent") };
            for row in logs.chunks_exact(classes) {
                let sum: f64 = row.iter().map(|log| log.exp()).sum();
                assert!((sum - 1.0).abs() < 1e-12, "{sum} of {classes} classes");
            }
        }
    }

    #[test]
    fn a_cross_fit_judges_no_row_by_itself() {
        // The labels are random: only a model that was fitted on a row can predict its label.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (count, width) = (60, 40);
        let states = Rows::in_memory(width, (0..count * width).map(|_| rng.random_range(-1.0..1.0)).collect());
        let labels: Vec<u32> = (0..count).map(|_| rng.random_range(0..2)).collect();
        let fold_of: Vec<usize> = (0..count).map(|row| row % 5).collect();
        let own = held_out(&states, &labels, (&states, &labels), 2, &[10.0]).judged.accuracy(&labels);
        let folds = Folds { fold_of: &fold_of, labels: &labels };
        let crossed = Fits::new(2.into(), &[10.0]).crossed(&states, RowTargets::Classes(&labels), folds).unwrap();
        let crossed = crossed.judged.accuracy(&labels);
        assert!(own > 0.95 && crossed < 0.75, "{own}, {crossed}");
    }

    #[test]
    fn flops_are_the_multiply_adds_that_run() {
        let ((states, labels), (others, other_labels)) = (rows(200, 1), rows(50, 2));
        let fold_of: Vec<usize> = (0..200).map(|row| row % 5).collect();
        let c = [1e-3, 1.0, 10.0];
        let fits: [&(dyn Fn() -> FittedExit + Sync); 2] =
            [&|| held_out(&states, &labels, (&others, &other_labels), 3, &c), &|| {
                let folds = Folds { fold_of: &fold_of, labels: &labels };
                Fits::new(3.into(), &c).crossed(&states, RowTargets::Classes(&labels), folds).unwrap()
            }];
        // On one thread, which counts what it does.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        for fit in fits {
            let (counted, flops) = pool.install(|| {
                MULTIPLY_ADDS.set(0);
                let exit = fit();
                (2 * MULTIPLY_ADDS.get(), exit.flops)
            });
            assert!(counted > 0 && flops == counted, "{flops}, and {counted} ran");
        }
    }

    #[test]
    fn a_fit_on_some_rows_equals_one_on_those_rows_alone() {
        let ((states, labels), (others, other_labels)) = (rows(200, 1), rows(50, 2));
        let alone = held_out(&states, &labels, (&others, &other_labels), 3, &[1e-3, 1.0, 10.0]);
        let mut values = Vec::new();
        states.each(None, |row| values.extend_from_slice(row)).unwrap();
        others.each(None, |row| values.extend_from_slice(row)).unwrap();
        let mut in_file = Rows::zeros(250, WIDTH, true).unwrap();
        values.chunks_exact(WIDTH).enumerate().for_each(|(row, state)| in_file.set(row, state).unwrap());
        let rows: Vec<usize> = (0..250).collect();
        for joined in [Rows::in_memory(WIDTH, values), in_file] {
            let part = |rows| StateRows { states: &joined, rows: Some(rows) };
            let judge = HeldOut { states: part(&rows[200..]), labels: &other_labels };
            let fits = Fits::new(3.into(), &[1e-3, 1.0, 10.0]);
            let exit = fits.with_held_out(part(&rows[..200]), RowTargets::Classes(&labels), judge).unwrap();
            assert_eq!((&exit.weights, &exit.bias, exit.c), (&alone.weights, &alone.bias, alone.c));
            assert_eq!((exit.judged, exit.flops), (alone.judged.clone(), alone.flops));
        }
    }
}
