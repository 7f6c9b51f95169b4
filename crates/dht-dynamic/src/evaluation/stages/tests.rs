//! Thresholds over stages.

use super::stages::*;
use crate::log_probabilities::LogProbabilities;
use crate::router::LeavingRule;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn table(rows: &[f64]) -> LogProbabilities {
    LogProbabilities::new(2, rows.iter().flat_map(|p| [p.ln(), (1.0 - p).ln()]).collect()).unwrap()
}

fn stages() -> Stages {
    let tables = [table(&[0.9, 0.6, 0.2]), table(&[0.1, 0.3, 0.45]), table(&[0.8, 0.9, 0.99])];
    Stages::new(&tables, vec![vec![1; 3], vec![10, 20, 30], vec![100; 3]], LeavingRule::Confidence).unwrap()
}

fn parts(at: Staged) -> (Vec<u32>, Vec<usize>, u64) {
    (at.labels, at.stages, at.flops)
}

#[test]
fn rows_leave_at_the_first_stage_that_is_sure() {
    let stages = stages();
    let at = |threshold| parts(stages.at(threshold));
    assert_eq!(at(0.0), (vec![0, 0, 0], vec![2; 3], 300));
    assert_eq!(at(1.0), (vec![0, 0, 1], vec![0; 3], 3));
    // .1, .4 and .2 in front, then .1, .3 and .45.
    assert_eq!(at(0.35), (vec![0, 1, 1], vec![0, 1, 0], 22));
    assert!((stages.at(0.35).confidence - (0.9 + 0.7 + 0.8) / 3.0).abs() < 1e-12);
    assert_eq!(stages.leaving_at(vec![2, 1, 0]).flops, 121);
}

#[test]
fn rows_are_selected_and_the_last_stage_takes_other_answers() {
    let stages = stages();
    let twice = stages.select(&[2, 2, 0]);
    assert_eq!(parts(twice.at(0.35)), (vec![1, 1, 0], vec![0; 3], 3));
    assert!((twice.at(0.35).confidence - (0.8 + 0.8 + 0.9) / 3.0).abs() < 1e-12);
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

/// Labels are 1 with probability sigmoid(3x + 3y). The last of two stages predicts from x + y, the first from x alone,
/// with `sharpness` times the log-odds that it should have.
fn draw(rng: &mut ChaCha8Rng, count: usize, sharpness: f64) -> (Stages, Vec<u32>) {
    let (mut first, mut last, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        // Twelve uniform numbers have the variance 1 together.
        let [x, y] = [(); 2].map(|()| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        // The mean of sigmoid(a + b·y) over y (MacKay 1992).
        first.push(sigmoid(sharpness * 3.0 * x / (1.0 + std::f64::consts::PI * 9.0 / 8.0).sqrt()));
        last.push(sigmoid(3.0 * (x + y)));
        labels.push(u32::from(rng.random::<f64>() >= last[last.len() - 1]));
    }
    let flops = vec![vec![1; count], vec![10; count]];
    (Stages::new(&[table(&first), table(&last)], flops, LeavingRule::Confidence).unwrap(), labels)
}

fn right(stages: &Stages, labels: &[u32], threshold: f64) -> f64 {
    let at = stages.at(threshold).labels;
    at.iter().zip(labels).filter(|(found, label)| found == label).count() as f64 / labels.len() as f64
}

#[test]
fn a_lossless_threshold_of_few_rows_loses_little_on_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (all, all_labels) = draw(&mut rng, 20_000, 1.0);
    let lost = |threshold: f64| right(&all, &all_labels, 0.0) - right(&all, &all_labels, threshold);
    let (mut lossless, mut lucky) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let (stages, labels) = draw(&mut rng, 300, 1.0);
        let thresholds = stages.thresholds(100);
        let own = right(&stages, &labels, 0.0);
        lossless.push(lost(stages.lossless(&labels, own, &thresholds)));
        let highest = thresholds.iter().rev().find(|threshold| right(&stages, &labels, **threshold) >= own);
        lucky.push(lost(*highest.unwrap()));
    }
    let above = |losses: &[f64]| losses.iter().filter(|lost| **lost > 0.01).count();
    assert!(above(&lossless) == 0 && above(&lucky) >= 5, "{} {}", above(&lossless), above(&lucky));
}

#[test]
fn the_brier_score_stops_overconfident_stages() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (all, all_labels) = draw(&mut rng, 20_000, 3.0);
    let lost = |threshold: f64| right(&all, &all_labels, 0.0) - right(&all, &all_labels, threshold);
    let (mut counted, mut asked) = (0.0, 0.0);
    for _ in 0..100 {
        let (stages, labels) = draw(&mut rng, 150, 3.0);
        let thresholds = stages.thresholds(100);
        let own = right(&stages, &labels, 0.0);
        let safe = stages.no_surer_than_right(&labels, &thresholds);
        assert_eq!(safe.first(), Some(&0.0));
        counted += lost(stages.lossless(&labels, own, &thresholds)) / 100.0;
        asked += lost(stages.lossless(&labels, own, &safe)) / 100.0;
    }
    assert!(counted > 0.005 && asked < counted / 2.0, "{counted}, {asked}");
}

#[test]
fn the_brier_score_falls_by_a_standard_error() {
    let safe = |p: f64| {
        let tables = [table(&[0.9, 0.9, 0.9, p]), table(&[0.8; 4])];
        let stages = Stages::new(&tables, vec![vec![1; 4], vec![2; 4]], LeavingRule::Confidence).unwrap();
        let labels = stages.at(0.0).labels;
        stages.no_surer_than_right(&labels, &[0.0, 1.0])
    };
    // Differences of three rows are (1 - .9)² - (1 - .8)² = -.03. With (1 - .7)² - (1 - .8)² = .05 their mean is -.01 and
    // its standard error .02; with (1 - .75)² - (1 - .8)² = .0225 they are -.017 and .013.
    assert_eq!(safe(0.7), [0.0]);
    assert_eq!(safe(0.75), [0.0, 1.0]);
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
