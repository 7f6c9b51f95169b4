use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Random log-probabilities of three classes. `knowledge` is added to the score of each row's true class.
fn table(labels: &[u32], knowledge: f64, seed: u64) -> LogProbabilities {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let row = |label: &u32| {
        let mut scores: Vec<f64> = (0..3).map(|_| rng.random_range(-1.0..1.0)).collect();
        scores[*label as usize] += knowledge;
        log_softmax(&mut scores);
        scores
    };
    LogProbabilities::new(3, labels.iter().flat_map(row).collect()).unwrap()
}

fn labels(rows: u32) -> Vec<u32> {
    (0..rows).map(|row| row * 7 % 3).collect()
}

#[test]
fn scores_are_weighed_sums_of_log_probabilities() {
    let logs = |[a, b]: [f64; 2]| LogProbabilities::new(2, vec![a.ln(), b.ln()]).unwrap();
    let stacked = Stacker { ngram: 2.0, exit: 1.0 }.stack(&logs([0.5, 0.5]), &logs([0.2, 0.8])).unwrap();
    let expected = logs([0.2, 0.8]);
    // ½²·.2 : ½²·.8
    for (got, expected) in stacked.rows().flatten().zip(expected.rows().flatten()) {
        assert!((got - expected).abs() < 1e-12);
    }
    // √(.9·.2) : √(.1·.8) = √18 : √8 = 3 : 2
    let halves = Stacker::halves().stack(&logs([0.9, 0.1]), &logs([0.2, 0.8])).unwrap();
    let probabilities: Vec<f64> = halves.rows().flatten().map(|log| log.exp()).collect();
    assert!((probabilities[0] - 0.6).abs() < 1e-12 && (probabilities[1] - 0.4).abs() < 1e-12);
}

#[test]
fn the_gradient_of_the_weights_is_that_of_finite_differences() {
    let labels = labels(30);
    let (ngram, exit) = (table(&labels, 0.5, 1), table(&labels, 1.0, 2));
    let loss = StackedLoss { tables: [&ngram, &exit], labels: &labels, row_weights: None, free: [true; 2] };
    let at = [0.7, -0.2];
    let gradient = loss.value_and_gradient(&at).unwrap().1;
    for index in 0..2 {
        let value = |shift: f64| {
            let mut at = at;
            at[index] += shift;
            loss.value_and_gradient(&at).unwrap().0
        };
        let difference = (value(1e-5) - value(-1e-5)) / 2e-5;
        assert!((gradient[index] - difference).abs() < 1e-9);
    }
}

#[test]
fn fitted_stacking_beats_equal_weights_and_each_model_alone() {
    let labels = labels(600);
    let (ngram, exit) = (table(&labels, 0.5, 3), table(&labels, 1.5, 4));
    let stacker = Stacker::fit(&ngram, &exit, &labels).unwrap();
    assert!(stacker.exit > stacker.ngram && stacker.ngram > 0.0, "{stacker:?}");
    let loss = |stacker: Stacker| stacker.stack(&ngram, &exit).unwrap().mean_loss(&labels);
    let fitted = loss(stacker);
    for other in [Stacker::halves(), Stacker { ngram: 1.0, exit: 0.0 }, Stacker { ngram: 0.0, exit: 1.0 }] {
        assert!(fitted < loss(other), "{fitted} is not below {} of {other:?}", loss(other));
    }
    let gradient = StackedLoss { tables: [&ngram, &exit], labels: &labels, row_weights: None, free: [true; 2] }
        .value_and_gradient(&[stacker.ngram, stacker.exit])
        .unwrap()
        .1;
    assert!(gradient.iter().all(|part| part.abs() < 1e-8), "{gradient:?}");
}

#[test]
fn class_weights_count_as_repeated_rows() {
    let labels = labels(300);
    let (ngram, exit) = (table(&labels, 0.5, 6), table(&labels, 1.0, 7));
    let fit = |class_weights: Option<&[f32]>| Stacker::fit_weighted(&ngram, &exit, &labels, class_weights).unwrap().0;
    assert_eq!(fit(Some(&[1.0; 3])), Stacker::fit(&ngram, &exit, &labels).unwrap());
    assert_eq!(fit(Some(&[4.0; 3])), fit(None));
    let weighted = fit(Some(&[1.0, 3.0, 1.0]));
    let of_class = |label: u32| std::iter::repeat_n((), if label == 1 { 3 } else { 1 });
    let rows: Vec<usize> =
        labels.iter().enumerate().flat_map(|(row, label)| of_class(*label).map(move |()| row)).collect();
    let repeated: Vec<u32> = rows.iter().map(|row| labels[*row]).collect();
    let of_rows = Stacker::fit(&ngram.select(&rows), &exit.select(&rows), &repeated).unwrap();
    // The prior has the weight of one row among 300 instead of one among 500, so that the weights differ a little.
    let loss = |stacker: Stacker| stacker.stack(&ngram, &exit).unwrap().weighted_loss(&labels, Some(&[1.0, 3.0, 1.0]));
    let [own, repeated, equal] = [weighted, of_rows, fit(None)].map(loss);
    assert!(repeated <= own && own - repeated < (equal - repeated) / 2.0, "{own} {repeated} {equal}");
    assert!((weighted.ngram - fit(None).ngram).abs() > 1e-6);
}

#[test]
fn stacking_weights_default_to_halves_and_stay_finite() {
    let none = table(&[], 0.0, 5);
    assert_eq!(Stacker::fit(&none, &none, &[]).unwrap(), Stacker::halves());
    let labels = labels(50);
    let (noise, perfect) = (table(&labels, 0.0, 6), table(&labels, 30.0, 7));
    let stacker = Stacker::fit(&noise, &perfect, &labels).unwrap();
    assert!(stacker.exit.is_finite() && stacker.exit.abs() < 20.0, "{stacker:?}");
}

#[test]
fn weights_are_the_best_that_are_not_negative() {
    let labels = labels(40);
    // A negative number gives answers that avoid the true class, as the out-of-fold answers of a model without
    // knowledge do.
    for (ngram, exit) in [(-1.0, 1.0), (0.7, -0.8), (-0.5, -0.6), (0.4, 0.9)] {
        let (ngram, exit) = (table(&labels, ngram, 11), table(&labels, exit, 12));
        let stacker = Stacker::fit(&ngram, &exit, &labels).unwrap();
        let loss = StackedLoss { tables: [&ngram, &exit], labels: &labels, row_weights: None, free: [true; 2] };
        let value = |ngram: f64, exit: f64| loss.value_and_gradient(&[ngram, exit]).unwrap().0;
        let best = value(stacker.ngram, stacker.exit);
        assert!(stacker.ngram >= 0.0 && stacker.exit >= 0.0, "{stacker:?}");
        let grid = || (0..60).map(|step| f64::from(step) * 0.05);
        let least = grid().flat_map(|a| grid().map(move |b| (a, b))).map(|(a, b)| value(a, b)).fold(f64::MAX, f64::min);
        assert!(best <= least && best > least - 1e-3, "{best}, {least} on the grid");
    }
}

#[test]
fn tables_and_labels_that_do_not_belong_together_are_refused() {
    let (three, two) = (table(&labels(3), 1.0, 8), table(&labels(2), 1.0, 9));
    let message = |result: Result<Stacker>| result.unwrap_err().to_string();
    assert!(message(Stacker::fit(&three, &two, &labels(3))).contains("expected 3 rows of 3 classes"));
    assert!(message(Stacker::fit(&three, &three, &labels(2))).contains("expected 3, one for each decision"));
    assert!(message(Stacker::fit(&three, &three, &[0, 1, 3])).contains("expected below 3"));
    assert!(Stacker { ngram: f64::NAN, exit: 1.0 }.stack(&three, &three).is_err());
}
