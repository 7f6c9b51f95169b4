//! Exits of a frozen encoder: logistic regressions on standardised pooled states.

use super::parts::Parts;
use super::pooled_states::States;
use super::settings::{AccelerateSettings, Targets};
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{
    FeatureMatrix, FitSettings, LogisticRegression, Minimum, RowTargets, Rows, Standardisation, best_penalty,
};
use crate::model::ExitModel;

/// Gradient tolerance of a fit. The fit is then about as near to the minimum as
/// scikit-learn's at its default tolerance.
const TOLERANCE: f64 = 3e-3;

/// Rows on which values of C (the inverse strength of the penalty) are compared and exits are judged.
enum Judge<'a> {
    /// Pooled states of held-out rows, with their labels.
    HeldOut { states: &'a Rows, labels: &'a [u32] },
    /// The training rows themselves. Each row is judged by regressions fitted without its fold; `fold_of` is the fold
    /// of each row.
    CrossFit { fold_of: &'a [usize], labels: &'a [u32] },
}

/// A fitted exit.
pub(super) struct FittedExit {
    /// Weights W for unscaled states, (hidden, classes).
    pub(super) weights: Vec<f32>,
    /// Bias b, (classes).
    pub(super) bias: Vec<f32>,
    pub(super) c: f64,
    /// Log-probabilities of held-out rows. For cross-fitted rows, those of the regression that was fitted without the
    /// row's fold.
    pub(super) judged: LogProbabilities,
    /// FLOPs of all fits, and of the log-probabilities by which they are judged.
    pub(super) flops: u64,
}

/// Fits the exits that have pooled states.
pub(super) fn fit_exits(
    model: &ExitModel,
    parts: &Parts,
    (training, other): (&States, Option<&States>),
    settings: &AccelerateSettings,
) -> Result<Vec<FittedExit>> {
    let classes = model.classes();
    let labels = parts.labels();
    let targets = match settings.targets {
        Targets::Labels | Targets::Predictions => RowTargets::Classes(&labels),
        Targets::SoftLabels => match &training.own {
            Some(own) => RowTargets::Soft(own.values()),
            None => {
                return Err(Error::argument("targets", "labels, where the classifier is fitted too", "soft labels"));
            }
        },
    };
    let judged = parts.judged_labels();
    let fit = |(exit, pooled): (usize, &Rows)| {
        let judge = match (other, &parts.fold_of) {
            (Some(other), _) => Judge::HeldOut { states: &other.pooled[exit], labels: &judged },
            (None, fold_of) => Judge::CrossFit { fold_of, labels: &judged },
        };
        fit_exit(pooled, targets, classes, &settings.c, &judge)
    };
    training.pooled.iter().enumerate().map(fit).collect()
}

/// Fits an exit on the states (rows, width) of training rows. Selects the C with the smallest mean loss on the judged
/// rows, from the [middle](best_penalty) on.
fn fit_exit(
    states: &Rows,
    targets: RowTargets<'_>,
    classes: usize,
    c: &[f64],
    judge: &Judge<'_>,
) -> Result<FittedExit> {
    let scaling = Standardisation::new(states, None)?;
    let all = SmoothedTargets::new(targets, &(0..states.len()).collect::<Vec<_>>(), classes);
    let all = all.as_targets();
    let mut flops = 0;
    let mut fit = |features: &FeatureMatrix, targets: RowTargets<'_>, c: f64, start: Option<Minimum>, judged: u64| {
        let settings = FitSettings { c, tolerance: TOLERANCE };
        let fitted = LogisticRegression::fit(features, targets, classes, settings, start)?;
        flops += fitted.1.flops + judged;
        Ok::<_, Error>(fitted)
    };
    match judge {
        Judge::HeldOut { states: others, labels } => {
            let features = FeatureMatrix::of_rows(states, None, &scaling);
            let others = FeatureMatrix::of_rows(others, None, &scaling);
            let mut start = None;
            let (chosen, (regression, judged)) = best_penalty(c.len(), |at| {
                let (regression, minimum) = fit(&features, all, c[at], start.take(), others.flops(classes))?;
                start = Some(minimum);
                let judged = LogProbabilities::new(classes, regression.log_probabilities_of(&others)?)?;
                Ok((judged.mean_loss(labels), (regression, judged)))
            })?;
            let c = c[chosen];
            let (weights, bias) = regression.unscaled(&scaling).into_parameters();
            Ok(FittedExit { weights, bias, c, judged, flops })
        }
        Judge::CrossFit { fold_of, labels } => {
            let folds = fold_of.iter().copied().max().map_or(0, |last| last + 1);
            let data = |fold: usize| {
                let (held, rows): (Vec<usize>, Vec<usize>) = (0..fold_of.len()).partition(|row| fold_of[*row] == fold);
                let pick = |rows: &[usize]| FeatureMatrix::of_rows(states, Some(rows), &scaling);
                (pick(&rows), SmoothedTargets::new(targets, &rows, classes), pick(&held), held, None)
            };
            let mut folds: Vec<_> = (0..folds).map(data).collect();
            let (chosen, judged) = best_penalty(c.len(), |at| {
                let mut table = vec![0.0; fold_of.len() * classes];
                for (features, own, others, held, start) in &mut folds {
                    let (regression, minimum) =
                        fit(features, own.as_targets(), c[at], start.take(), others.flops(classes))?;
                    *start = Some(minimum);
                    let logs = regression.log_probabilities_of(others)?;
                    for (row, logs) in held.iter().zip(logs.chunks_exact(classes)) {
                        table[*row * classes..(*row + 1) * classes].copy_from_slice(logs);
                    }
                }
                let table = LogProbabilities::new(classes, table)?;
                Ok((table.mean_loss(labels), table))
            })?;
            let (regression, _) = fit(&FeatureMatrix::of_rows(states, None, &scaling), all, c[chosen], None, 0)?;
            let (weights, bias) = regression.unscaled(&scaling).into_parameters();
            Ok(FittedExit { weights, bias, c: c[chosen], judged, flops })
        }
    }
}

/// Targets of some training rows. Class labels are smoothed so that classes without rows get a positive probability;
/// soft labels are used as they are.
enum SmoothedTargets {
    Classes(Vec<u32>),
    Soft(Vec<f64>),
}

/// ln of a probability that underflows to 0 in f64.
const NEVER: f64 = -1e3;

impl SmoothedTargets {
    /// Gives each class without any row the probability 1/(rows + classes), as in the n-gram classifier; otherwise the
    /// bias of that class would decrease without limit.
    fn new(targets: RowTargets<'_>, rows: &[usize], classes: usize) -> Self {
        let labels: Vec<u32> = match targets {
            RowTargets::Classes(labels) => rows.iter().map(|row| labels[*row]).collect(),
            RowTargets::Soft(logs) => {
                let row = |row: &usize| logs[row * classes..(row + 1) * classes].iter().copied();
                return Self::Soft(rows.iter().flat_map(row).collect());
            }
        };
        let mut present = vec![false; classes];
        labels.iter().for_each(|label| present[*label as usize] = true);
        let absent = present.iter().filter(|present| !**present).count();
        if absent == 0 {
            return Self::Classes(labels);
        }
        let share = 1.0 / (labels.len() + classes) as f64;
        let rest = (1.0 - share * absent as f64).ln();
        let of_class = |label: u32, class: usize| match present[class] {
            false => share.ln(),
            true if class == label as usize => rest,
            true => NEVER,
        };
        Self::Soft(labels.iter().flat_map(|label| (0..classes).map(|class| of_class(*label, class))).collect())
    }

    fn as_targets(&self) -> RowTargets<'_> {
        match self {
            Self::Classes(labels) => RowTargets::Classes(labels),
            Self::Soft(logs) => RowTargets::Soft(logs),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::logistic::MULTIPLY_ADDS;

    const WIDTH: usize = 5;

    /// Random rows of four states. A row's label is the index of the largest of its first three states; the fourth
    /// state is constant.
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

    #[test]
    fn folding_the_scaling_into_the_weights_preserves_predictions() {
        let ((states, labels), (others, other_labels)) = (rows(200, 1), rows(50, 2));
        let judge = Judge::HeldOut { states: &others, labels: &other_labels };
        let exit = fit_exit(&states, RowTargets::Classes(&labels), 3, &[1e-3, 1.0, 10.0], &judge).unwrap();
        assert!(exit.judged.accuracy(&other_labels) > 0.9, "states of any scale serve alike");
        assert!(exit.c > 1e-3, "a strong penalty is not chosen");
        let mut rows = exit.judged.rows();
        others
            .each(None, |state| {
                let mut scores: Vec<f64> = exit.bias.iter().copied().map(f64::from).collect();
                for (value, weights) in state.iter().zip(exit.weights.chunks_exact(3)) {
                    scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += f64::from(value * weight));
                }
                crate::logistic::log_softmax(&mut scores);
                for (score, judged) in scores.iter().zip(rows.next().unwrap()) {
                    assert!((score - judged).abs() < 1e-4, "{score} and {judged}");
                }
            })
            .unwrap();
        assert!(exit.weights[9..12].iter().all(|weight| *weight == 0.0), "a constant state says nothing");
    }

    #[test]
    fn a_component_that_a_layer_norm_switched_off_gets_no_weight() {
        let (states, labels) = rows(200, 1);
        let mut values = Vec::new();
        states.each(None, |row| values.extend([row[0] / 100.0, row[1], row[2] * 100.0, row[4] * 2e-9])).unwrap();
        let states = Rows::in_memory(4, values);
        let judge = Judge::HeldOut { states: &states, labels: &labels };
        let exit = fit_exit(&states, RowTargets::Classes(&labels), 3, &[1.0], &judge).unwrap();
        assert_eq!(exit.weights[9..], [0.0; 3]);
        assert!(exit.judged.accuracy(&labels) > 0.9);
    }

    #[test]
    fn a_class_without_rows_keeps_a_small_finite_probability() {
        let (states, labels) = rows(100, 1);
        let judge = Judge::HeldOut { states: &states, labels: &labels };
        let exit = fit_exit(&states, RowTargets::Classes(&labels), 5, &[1.0], &judge).unwrap();
        for row in exit.judged.rows() {
            for log in &row[3..] {
                assert!((1e-4..0.05).contains(&log.exp()), "{}", log.exp());
            }
        }
    }

    #[test]
    fn a_cross_fit_judges_no_row_by_itself() {
        // Labels are chance: whoever has seen them knows them, and nobody else.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (count, width) = (60, 40);
        let states = Rows::in_memory(width, (0..count * width).map(|_| rng.random_range(-1.0..1.0)).collect());
        let labels: Vec<u32> = (0..count).map(|_| rng.random_range(0..2)).collect();
        let fold_of: Vec<usize> = (0..count).map(|row| row % 5).collect();
        let judged = |judge| fit_exit(&states, RowTargets::Classes(&labels), 2, &[10.0], &judge).unwrap().judged;
        let own = judged(Judge::HeldOut { states: &states, labels: &labels }).accuracy(&labels);
        let crossed = judged(Judge::CrossFit { fold_of: &fold_of, labels: &labels }).accuracy(&labels);
        assert!(own > 0.95 && crossed < 0.75, "{own}, {crossed}");
    }

    #[test]
    fn flops_are_the_multiply_adds_that_run() {
        let ((states, labels), (others, other_labels)) = (rows(200, 1), rows(50, 2));
        let fold_of: Vec<usize> = (0..200).map(|row| row % 5).collect();
        let judges = [
            Judge::HeldOut { states: &others, labels: &other_labels },
            Judge::CrossFit { fold_of: &fold_of, labels: &labels },
        ];
        // On one thread, which counts what it does.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        for judge in judges {
            let (counted, flops) = pool.install(|| {
                MULTIPLY_ADDS.set(0);
                let exit = fit_exit(&states, RowTargets::Classes(&labels), 3, &[1e-3, 1.0, 10.0], &judge).unwrap();
                (2 * MULTIPLY_ADDS.get(), exit.flops)
            });
            assert!(counted > 0 && flops == counted, "{flops}, and {counted} ran");
        }
    }
}
