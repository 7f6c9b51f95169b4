use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::logistic::{Rows, Standardisation};
use crate::outputs::Outputs;

const TIGHT: FitSettings<'_> = FitSettings { c: 2.0, tolerance: 1e-9, row_weights: None };
const CLASSES: usize = 3;

/// Random rows of seven features, most of which are 0, with classes that depend on the features at random.
fn problem(rows: usize, seed: u64) -> (Vec<f32>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let row: Vec<f32> =
            (0..7).map(|_| if rng.random_bool(0.4) { rng.random_range(-1.0..1.5_f32) } else { 0.0 }).collect();
        let class = row[0] + 2.0 * row[1] - row[2] + rng.random_range(-0.5..1.0_f32);
        labels.push(if class > 0.7 { 2 } else { u32::from(class > 0.0) });
        values.extend(row);
    }
    (values, labels)
}

fn sparse(values: &[f32]) -> FeatureMatrix {
    let rows: Vec<Vec<(u32, f32)>> = values
        .chunks(7)
        .map(|row| (0..).zip(row.iter().copied()).filter(|(_, value)| *value != 0.0).collect())
        .collect();
    FeatureMatrix::sparse(7, rows.iter().map(Vec::as_slice))
}

fn naive_product(left: &[f64], right: &[f64], inner: usize, columns: usize) -> Vec<f64> {
    let rows = left.len() / inner;
    let cell = |row: usize, column: usize| {
        (0..inner).map(|at| left[row * inner + at] * right[at * columns + column]).sum::<f64>()
    };
    (0..rows).flat_map(|row| (0..columns).map(move |column| cell(row, column))).collect()
}

#[test]
fn dense_and_sparse_products_are_those_of_three_loops() {
    let (values, _) = problem(23, 1);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut numbers = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    let wide: Vec<f64> = values.iter().copied().map(f64::from).collect();
    let transposed: Vec<f64> = (0..7).flat_map(|column| wide.chunks(7).map(move |row| row[column])).collect();
    for classes in 1..=6 {
        let (weights, residuals) = (numbers(7 * classes), numbers(23 * classes));
        for matrix in [FeatureMatrix::dense(7, values.clone()), sparse(&values)] {
            assert_eq!((matrix.rows(), matrix.columns()), (23, 7));
            assert_close(&matrix.times(&weights, classes).unwrap(), &naive_product(&wide, &weights, 7, classes), 1e-12);
            let expected = naive_product(&transposed, &residuals, 23, classes);
            assert_close(&matrix.transposed_times(&residuals, classes).unwrap(), &expected, 1e-12);
            let squares: Vec<f64> = transposed.chunks(23).map(|column| column.iter().map(|x| x * x).sum()).collect();
            assert_close(&matrix.squares().unwrap(), &squares, 1e-12);
        }
    }
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < tolerance, "{got} instead of {expected}");
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let (values, labels) = problem(40, 3);
    for features in [sparse(&values), FeatureMatrix::dense(7, values.clone())] {
        gradient_is_that_of_finite_differences(&features, RowTargets::Classes(&labels), CLASSES);
        gradient_is_that_of_finite_differences(&features, RowTargets::Labels(&several(&labels)), CLASSES);
        gradient_is_that_of_finite_differences(&features, RowTargets::Numbers(&numbers(&labels)), 1);
    }
}

/// Builds three labels for each row: two that depend on the class, and one that every second row has.
fn several(classes: &[u32]) -> Vec<f32> {
    let row = |(row, class): (usize, &u32)| {
        [*class > 0, *class == 2, row.is_multiple_of(2)].map(|has| f32::from(u8::from(has)))
    };
    classes.iter().enumerate().flat_map(row).collect()
}

fn numbers(classes: &[u32]) -> Vec<f32> {
    classes.iter().enumerate().map(|(row, class)| 1.5 * *class as f32 + 0.1 * (row % 5) as f32 - 1.0).collect()
}

fn gradient_is_that_of_finite_differences(features: &FeatureMatrix, targets: RowTargets<'_>, outputs: usize) {
    let loss = PenalisedLoss::new(features, targets, outputs, 0.7, &mut None).unwrap().0;
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut at: Vec<f64> = (0..8 * outputs).map(|_| rng.random_range(-1.0..1.0)).collect();
    let gradient = loss.value_and_gradient(&at).unwrap().1;
    for index in 0..at.len() {
        let (here, step) = (at[index], 1e-5);
        let mut value = |shift: f64| {
            at[index] = here + shift;
            loss.value_and_gradient(&at).unwrap().0
        };
        let difference = (value(step) - value(-step)) / (2.0 * step);
        value(0.0);
        assert!((gradient[index] - difference).abs() < 1e-9, "{} instead of {difference}", gradient[index]);
    }
}

#[test]
fn each_label_gets_the_regression_of_that_label_alone() {
    let (values, classes) = problem(60, 5);
    let (features, targets) = (FeatureMatrix::dense(7, values), several(&classes));
    let (_, together) = LinearModel::fit(&features, RowTargets::Labels(&targets), CLASSES, TIGHT, None).unwrap();
    for label in 0..CLASSES {
        let own: Vec<u32> = targets.iter().skip(label).step_by(CLASSES).map(|target| *target as u32).collect();
        // A softmax of two classes has the weights (−w/2, w/2) and half the penalty: C/2 there is C here.
        let settings = FitSettings { c: TIGHT.c / 2.0, ..TIGHT };
        let (_, alone) = LinearModel::fit(&features, RowTargets::Classes(&own), 2, settings, None).unwrap();
        let column: Vec<f64> = together.at.iter().skip(label).step_by(CLASSES).copied().collect();
        let difference: Vec<f64> = alone.at.chunks(2).map(|pair| pair[1] - pair[0]).collect();
        assert_close(&column, &difference, 1e-6);
    }
}

#[test]
fn numbers_get_ridge_regression_by_its_normal_equations() {
    let (values, classes) = problem(60, 6);
    let (features, targets) = (FeatureMatrix::dense(7, values.clone()), numbers(&classes));
    let (model, minimum) = LinearModel::fit(&features, RowTargets::Numbers(&targets), 1, TIGHT, None).unwrap();
    // (XᵀX + 1/C·I)·w = Xᵀt with a column of ones for the bias, which has no penalty; by Gaussian elimination.
    let row =
        |row: usize| values[row * 7..][..7].iter().map(|value| f64::from(*value)).chain([1.0]).collect::<Vec<_>>();
    let mut system = vec![[0.0; 9]; 8];
    for (at, target) in targets.iter().enumerate() {
        let row = row(at);
        for (i, equation) in system.iter_mut().enumerate() {
            (0..8).for_each(|j| equation[j] += row[i] * row[j]);
            equation[8] += row[i] * f64::from(*target);
        }
    }
    (0..7).for_each(|i| system[i][i] += 1.0 / TIGHT.c);
    for i in 0..8 {
        for other in (0..8).filter(|other| *other != i) {
            let (pivot, factor) = (system[i], system[other][i] / system[i][i]);
            system[other].iter_mut().zip(pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    let expected: Vec<f64> = (0..8).map(|i| system[i][8] / system[i][i]).collect();
    assert_close(&minimum.at, &expected, 1e-6);
    let squares = (0..60).map(|at| {
        let predicted: f64 = row(at).iter().zip(&expected).map(|(value, weight)| value * weight).sum();
        0.5 * (predicted - f64::from(targets[at])).powi(2)
    });
    let loss = model.mean_loss(&features, RowTargets::Numbers(&targets)).unwrap();
    assert!((loss - squares.sum::<f64>() / 60.0).abs() < 1e-4, "{loss}");
}

#[test]
fn without_features_probabilities_are_the_class_frequencies() {
    let labels = [0, 0, 0, 1, 1, 2];
    let features = FeatureMatrix::sparse(0, labels.iter().map(|_| &[][..]));
    let (model, _) = LinearModel::fit(&features, RowTargets::Classes(&labels), CLASSES, TIGHT, None).unwrap();
    let logs = Outputs::Classes(CLASSES).of_scores(model.scores(&[]));
    assert_close(&logs, &[0.5_f64.ln(), (1.0_f64 / 3.0).ln(), (1.0_f64 / 6.0).ln()], 1e-6);
}

#[test]
fn a_row_weight_counts_as_equal_rows() {
    let (values, labels) = problem(60, 12);
    let weights: Vec<usize> = (0..60).map(|row| 1 + row * 7 % 3).collect();
    let (mut repeated, mut repeated_labels) = (Vec::new(), Vec::new());
    for (row, weight) in weights.iter().enumerate() {
        repeated.extend(values[7 * row..7 * (row + 1)].repeat(*weight));
        repeated_labels.extend(std::iter::repeat_n(labels[row], *weight));
    }
    let weights: Vec<f64> = weights.iter().map(|weight| *weight as f64).collect();
    let settings = FitSettings { row_weights: Some(&weights), ..TIGHT };
    let fit = |features: &FeatureMatrix, labels: &[u32], settings| {
        LinearModel::fit(features, RowTargets::Classes(labels), CLASSES, settings, None).unwrap().1.at
    };
    let of_rows = fit(&FeatureMatrix::dense(7, repeated.clone()), &repeated_labels, TIGHT);
    assert_close(&fit(&FeatureMatrix::dense(7, values.clone()), &labels, settings), &of_rows, 1e-6);
    assert_close(&fit(&sparse(&values), &labels, settings), &of_rows, 1e-6);
}

#[test]
fn row_weights_of_1_change_no_bit() {
    let (values, labels) = problem(60, 13);
    let ones = vec![1.0; 60];
    for features in [sparse(&values), FeatureMatrix::dense(7, values.clone())] {
        let fit = |row_weights| {
            let settings = FitSettings { row_weights, ..TIGHT };
            let (_, minimum) =
                LinearModel::fit(&features, RowTargets::Classes(&labels), CLASSES, settings, None).unwrap();
            minimum.at.into_iter().map(f64::to_bits).collect::<Vec<u64>>()
        };
        assert_eq!(fit(None), fit(Some(&ones)));
    }
}

#[test]
fn two_opposite_rows_give_the_weight_of_the_scalar_equation() {
    // With W = (−t, t) and b = 0 the objective is 2C·ln(1 + e^(−2t)) + t², whose derivative is 0 at t = 2C/(1 +
    // e^(2t)).
    let features = FeatureMatrix::dense(1, vec![-1.0, 1.0]);
    for c in [0.1, 1.0, 30.0] {
        let (mut low, mut high) = (0.0, 100.0);
        for _ in 0..200 {
            let t: f64 = (low + high) / 2.0;
            if t < 2.0 * c / (1.0 + (2.0 * t).exp()) { low = t } else { high = t }
        }
        let (model, minimum) =
            LinearModel::fit(&features, RowTargets::Classes(&[0, 1]), 2, FitSettings { c, ..TIGHT }, None).unwrap();
        assert_close(&minimum.at, &[-low, low, 0.0, 0.0], 1e-7);
        let expected = [-low, low].map(|score| score - ((-low).exp() + low.exp()).ln());
        assert_close(&Outputs::Classes(2).of_scores(model.scores(&[(0, 1.0)])), &expected, 1e-6);
    }
}

#[test]
fn the_fit_is_where_plain_gradient_descent_ends_up() {
    for (seed, c) in [(5, 0.3), (6, 2.0), (7, 20.0)] {
        let (values, labels) = problem(60, seed);
        let features = FeatureMatrix::dense(7, values.clone());
        let settings = FitSettings { c, ..TIGHT };
        let (_, minimum) = LinearModel::fit(&features, RowTargets::Classes(&labels), CLASSES, settings, None).unwrap();
        assert!(minimum.gradient_norm < 1e-8, "{}", minimum.gradient_norm);
        let loss = PenalisedLoss {
            scaling: Scaling::Diagonal(vec![1.0; 8]),
            ..PenalisedLoss::new(&features, RowTargets::Classes(&labels), CLASSES, c, &mut None).unwrap().0
        };
        let mut at = vec![0.0; 8 * CLASSES];
        for _ in 0..200_000 {
            let (_, gradient) = loss.value_and_gradient(&at).unwrap();
            at.iter_mut().zip(&gradient).for_each(|(at, gradient)| *at -= 0.5 * gradient);
            if gradient.iter().map(|part| part * part).sum::<f64>() < 1e-22 {
                break;
            }
        }
        assert_close(&minimum.at, &at, 1e-5);
        let objectives = [&minimum.at, &at].map(|at| loss.value_and_gradient(at).unwrap().0);
        assert!((objectives[0] - objectives[1]).abs() < 1e-12, "{objectives:?}");
        let (_, of_sparse) =
            LinearModel::fit(&sparse(&values), RowTargets::Classes(&labels), CLASSES, settings, None).unwrap();
        assert_close(&of_sparse.at, &at, 1e-5);
    }
}

#[test]
fn a_fit_that_starts_at_the_minimum_stays_there() {
    let (values, labels) = problem(60, 8);
    let features = sparse(&values);
    let (model, minimum) = LinearModel::fit(&features, RowTargets::Classes(&labels), CLASSES, TIGHT, None).unwrap();
    let looser = FitSettings { tolerance: 1e-8, ..TIGHT };
    let (again, second) =
        LinearModel::fit(&features, RowTargets::Classes(&labels), CLASSES, looser, Some(minimum.clone())).unwrap();
    assert_eq!((again, second.at), (model, minimum.at));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (values, labels) = problem(500, 9);
    for features in [sparse(&values), FeatureMatrix::dense(7, values.clone())] {
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                LinearModel::fit(&features, RowTargets::Classes(&labels), CLASSES, TIGHT, None).unwrap().1.at
            })
        };
        assert_eq!(fit(1), fit(4));
    }
    // Longer than the chunks of the solver's sums.
    let long: Vec<f64> = (0..100_000).map(|at| (f64::from(at) * 0.37).sin()).collect();
    let sum = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| super::super::minimize::dot(&long, &long))
    };
    assert_eq!(sum(1), sum(4));
    assert!((sum(1) - long.iter().map(|value| value * value).sum::<f64>()).abs() < 1e-9);
}

#[test]
fn whitening_is_inverted_and_its_curvature_is_one() {
    let (values, labels) = problem(300, 10);
    let features = FeatureMatrix::dense(7, values);
    let (loss, flops) = PenalisedLoss::new(&features, RowTargets::Classes(&labels), CLASSES, 5.0, &mut None).unwrap();
    assert!(flops > 0 && matches!(loss.scaling, Scaling::Whitened { .. }));
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let at: Vec<f64> = (0..8 * CLASSES).map(|_| rng.random_range(-1.0..1.0)).collect();
    assert_close(&loss.scaling.variables(&loss.scaling.weights(&at, CLASSES), CLASSES), &at, 1e-9);
    // Along any direction in W between two classes, at equal probabilities; the moments come from a sample of rows.
    let start = vec![0.0; 8 * CLASSES];
    for feature in 0..7 {
        let slope = |step: f64| {
            let mut at = start.clone();
            (at[feature * CLASSES], at[feature * CLASSES + 1]) = (step, -step);
            let gradient = loss.value_and_gradient(&at).unwrap().1;
            (gradient[feature * CLASSES] - gradient[feature * CLASSES + 1]) / 2.0
        };
        let second = (slope(1e-4) - slope(-1e-4)) / 2e-4;
        assert!((0.5..3.0).contains(&second), "{second}");
    }
}

#[test]
fn bad_input_is_refused_with_what_would_be_right() {
    let features = FeatureMatrix::dense(1, vec![1.0, 2.0]);
    let fit = |features: &FeatureMatrix, labels: &[u32], classes, c| {
        LinearModel::fit(features, RowTargets::Classes(labels), classes, FitSettings { c, ..TIGHT }, None)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(fit(&features, &[0, 0], 1, 1.0), "classes is 1, expected at least 2");
    assert_eq!(fit(&features, &[0], 2, 1.0), "labels is 1, expected 2, one a row, at least 1");
    assert_eq!(fit(&features, &[0, 2], 2, 1.0), "label is 2, expected below 2");
    for c in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(fit(&features, &[0, 1], 2, c), format!("C is {c}, expected a positive number"));
    }
    let settings = FitSettings { row_weights: Some(&[1.0]), ..TIGHT };
    let weighted = LinearModel::fit(&features, RowTargets::Classes(&[0, 1]), 2, settings, None).unwrap_err();
    assert_eq!(weighted.to_string(), "row weights is 1, expected 2, one a row");
    let bad = FeatureMatrix::dense(1, vec![1.0, f32::NAN]);
    assert_eq!(fit(&bad, &[0, 1], 2, 1.0), "features is NaN or infinity, expected finite numbers");
}

#[test]
fn rows_in_a_file_give_the_bits_of_rows_in_memory() {
    // More rows than one block.
    let count = 5_000;
    let (values, _) = problem(count, 8);
    let memory = Rows::in_memory(7, values.clone());
    let mut file = Rows::zeros(count, 7, true).unwrap();
    // In any order.
    for (row, values) in values.chunks_exact(7).enumerate().rev() {
        file.set(row, values).unwrap();
    }
    let some: Vec<usize> = (0..count).filter(|row| row % 5 != 2).collect();
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for chosen in [None, Some(some.as_slice())] {
        let scaling = Standardisation::new(&memory, chosen).unwrap();
        assert_eq!(bits(scaling.mean().to_vec()), bits(Standardisation::new(&file, chosen).unwrap().mean().to_vec()));
        let [memory, file] = [&memory, &file].map(|rows| FeatureMatrix::of_rows(rows, chosen, &scaling));
        assert_eq!((memory.rows(), memory.columns()), (file.rows(), file.columns()));
        assert_eq!(bits(memory.squares().unwrap()), bits(file.squares().unwrap()));
        let [of_memory, of_file] = [&memory, &file].map(|matrix| matrix.second_moments(30).unwrap().unwrap());
        assert_eq!((bits(of_memory.0), of_memory.1), (bits(of_file.0), of_file.1));
        for classes in 2..=9 {
            let mut numbers = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
            let (weights, residuals) = (numbers(7 * classes), numbers(memory.rows() * classes));
            assert_eq!(memory.flops(classes), file.flops(classes));
            let [of_memory, of_file] = [&memory, &file].map(|matrix| bits(matrix.times(&weights, classes).unwrap()));
            assert_eq!(of_memory, of_file);
            let [of_memory, of_file] =
                [&memory, &file].map(|matrix| bits(matrix.transposed_times(&residuals, classes).unwrap()));
            assert_eq!(of_memory, of_file, "{classes} classes");
        }
    }
}
