//! N-gram classifier before, beside and on top of classifiers, as predictors.

use std::collections::BTreeSet;

use dht_dynamic::{Evaluation, Predictor, evaluate};
use dht_dynamic::{
    FullModel, LogProbabilities,
    exit::{NgramClassifier, NgramFit, NgramSettings, Stacker},
};
use dht_dynamic::{evaluation::Stages, router::LeavingRule};
use dht_search::Result;
use dht_search::baselines::{Cascade, Stacked};
use dht_search::transformer::{EncodedDataset, Pooling, TextClassifier};
use dht_toys::{config, data, rng, sample};
use rand::RngExt;

const CLASSES: usize = 3;

/// Texts. Most of them have the token of their class, 10, 11 or 12.
fn texts(rows: u64, seed: u64) -> EncodedDataset {
    let mut rng = rng(seed);
    let text = |id| {
        let label = rng.random_range(0..CLASSES as u32);
        let mut ids: Vec<u32> = (0..rng.random_range(2..8)).map(|_| rng.random_range(13..50)).collect();
        if rng.random_bool(0.8) {
            ids[0] = 10 + label;
        }
        sample(id, label, ids)
    };
    data(["a", "b", "c"], (0..rows).map(text))
}

/// Classifier that was not trained; large initial weights make its answers differ from text to text.
fn classifier(layers: usize, classes: usize, seed: u64) -> TextClassifier {
    dht_toys::classifier(&config([layers, 6, 24, 50], 0.5), classes, Pooling::Mean, &mut rng(seed))
}

fn fitted(training: &EncodedDataset) -> Result<NgramFit> {
    let settings = NgramSettings { left_out: BTreeSet::from([0, 1]), ..NgramSettings::default() };
    let full = FullModel::new(&classifier(4, CLASSES, 2));
    Ok(NgramClassifier::fit(training, &settings, full, None, &mut rng(1))?)
}

fn assert_same_answers(got: &Evaluation, expected: &Evaluation) {
    assert_eq!((&got.labels, &got.routes), (&expected.labels, &expected.routes));
    for (got, expected) in got.losses.iter().zip(&expected.losses) {
        assert!((got - expected).abs() < 1e-5, "{got} instead of {expected}");
    }
}

fn depths(evaluation: &Evaluation) -> Vec<usize> {
    evaluation.routes.iter().map(|route| route.depth()).collect()
}

#[test]
fn the_ngram_classifier_scores_like_any_model_with_no_layers() {
    let (training, test) = (texts(300, 1), texts(100, 2));
    let ngram = fitted(&training).unwrap().classifier;
    let evaluation = evaluate(&ngram, &test, 16).unwrap();
    assert!(evaluation.confusion.accuracy() > 0.8, "{}", evaluation.confusion.accuracy());
    assert_eq!(evaluation.labels, ngram.log_probabilities_of_all(&test).unwrap().labels());
    assert_eq!(evaluation.route_counts().into_iter().collect::<Vec<_>>(), [("0L".to_owned(), 100)]);
    assert_eq!(evaluation.layer_head_ratio, 0.0);
    // Two FLOPs for each of three classes and at most 2·7 − 1 n-grams a text.
    assert!(
        evaluation.flops > 0 && evaluation.flops <= 100 * 13 * 6 && evaluation.flops.is_multiple_of(6),
        "{}",
        evaluation.flops
    );
    let full = classifier(4, CLASSES, 2);
    assert!((1..9).all(|tokens| ngram.full_flops(tokens) == full.full_flops(tokens)));
    let mut other = test.clone();
    other.samples[0].label = 3;
    assert!(evaluate(&ngram, &other, 16).is_err());
}

#[test]
fn threshold_one_is_the_last_cascade_stage_and_zero_the_first() {
    let (training, test) = (texts(300, 3), texts(60, 4));
    let ngram = fitted(&training).unwrap().classifier;
    let stages = || vec![classifier(1, CLASSES, 5), classifier(4, CLASSES, 6)];
    let last = evaluate(&classifier(4, CLASSES, 6), &test, 8).unwrap();
    let first = evaluate(&ngram, &test, 8).unwrap();
    let shallow = evaluate(&classifier(1, CLASSES, 5), &test, 8).unwrap();
    let mut model = Cascade::new(ngram.clone(), stages(), None, 1.0).unwrap();
    for threshold in [1.0, 7.0] {
        model.set_threshold(threshold).unwrap();
        let evaluation = evaluate(&model, &test, 8).unwrap();
        assert_same_answers(&evaluation, &last);
        assert_eq!(evaluation.flops, first.flops + shallow.flops + last.flops);
    }
    model.set_threshold(0.0).unwrap();
    let evaluation = evaluate(&model, &test, 8).unwrap();
    assert_same_answers(&evaluation, &first);
    assert_eq!(evaluation.flops, first.flops);
}

/// Arithmetic of a cascade; its costs do not matter here.
fn stages_of(tables: &[LogProbabilities]) -> Stages {
    Stages::new(tables, vec![vec![0; tables[0].len()]; tables.len()], LeavingRule::Confidence)
        .expect("stages of one shape")
}

#[test]
fn the_cascade_that_runs_is_the_one_of_the_tables() {
    let (training, test) = (texts(300, 7), texts(120, 8));
    let ngram = fitted(&training).unwrap().classifier;
    let stages = || vec![classifier(1, CLASSES, 9), classifier(4, CLASSES, 10)];
    let stackers = vec![Stacker { ngram: 0.7, exit: 0.4 }, Stacker { ngram: 0.3, exit: 0.9 }];
    let first = ngram.log_probabilities_of_all(&test).unwrap();
    let stacked = |(stacker, stage): (&Stacker, &TextClassifier)| {
        stacker.stack(&first, &LogProbabilities::of_classifier(stage, &test, 8)?)
    };
    let later = stackers.iter().zip(&stages()).map(stacked).collect::<dht_dynamic::Result<Vec<_>>>().unwrap();
    let tables: Vec<LogProbabilities> = std::iter::once(first.clone()).chain(later).collect();
    let mut model = Cascade::new(ngram, stages(), Some(stackers), 0.5).unwrap();
    for threshold in [0.4, 0.6, 0.9] {
        model.set_threshold(threshold).unwrap();
        let (evaluation, expected) = (evaluate(&model, &test, 8).unwrap(), stages_of(&tables).at(1.0 - threshold));
        assert_eq!(evaluation.labels, expected.labels);
        assert_eq!(depths(&evaluation), expected.stages.iter().map(|stage| [0, 1, 4][*stage]).collect::<Vec<_>>());
        // Every stage is the last one of some text; otherwise the test would show nothing.
        assert!(threshold < 0.9 || (0..3).all(|stage| expected.stages.contains(&stage)), "{:?}", expected.stages);
    }
}

#[test]
fn a_stacked_classifier_adds_the_log_probabilities_of_both() {
    let (training, held_out, test) = (texts(300, 11), texts(80, 12), texts(60, 13));
    let ngram = fitted(&training).unwrap().classifier;
    let full = || classifier(4, CLASSES, 14);
    let labels: Vec<u32> = held_out.samples.iter().map(|sample| sample.label).collect();
    let exit = LogProbabilities::of_classifier(&full(), &held_out, 8).unwrap();
    let stacker = Stacker::fit(&ngram.log_probabilities_of_all(&held_out).unwrap(), &exit, &labels).unwrap();
    // The classifier was never trained: the n-grams are worth more.
    assert!(stacker.ngram > stacker.exit.abs(), "{stacker:?}");
    let evaluation = evaluate(&Stacked::new(ngram.clone(), full(), stacker).unwrap(), &test, 8).unwrap();
    let exit = LogProbabilities::of_classifier(&full(), &test, 8).unwrap();
    let expected = stacker.stack(&ngram.log_probabilities_of_all(&test).unwrap(), &exit).unwrap();
    assert_eq!(evaluation.labels, expected.labels());
    let [alone, beside] = [evaluate(&ngram, &test, 8).unwrap(), evaluate(&full(), &test, 8).unwrap()];
    assert_eq!(evaluation.flops, alone.flops + beside.flops + 60 * 4 * CLASSES as u64);
    assert!(depths(&evaluation).iter().all(|depth| *depth == 4));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let ngram = fitted(&texts(60, 15)).unwrap().classifier;
    let refused = |stages: Vec<TextClassifier>, stackers, threshold| {
        Cascade::new(ngram.clone(), stages, stackers, threshold).unwrap_err().to_string()
    };
    let stage = |layers, classes| classifier(layers, classes, 1);
    assert!(refused(vec![], None, 0.5).contains("expected at least 1"));
    assert!(refused(vec![stage(2, 2)], None, 0.5).contains("classes of a stage is 2, expected 3"));
    assert!(refused(vec![stage(4, 3), stage(2, 3)], None, 0.5).contains("at most 2 layers of 6 heads"));
    assert!(refused(vec![stage(2, 3)], Some(vec![]), 0.5).contains("expected 1, one a classifier"));
    assert!(refused(vec![stage(2, 3)], None, f64::NAN).contains("threshold"));
    assert!(Stacked::new(ngram, stage(2, 2), Stacker::halves()).is_err());
}
