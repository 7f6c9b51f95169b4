//! Tests accuracy and cost of stages at exit thresholds.

use super::stages::*;
use crate::log_probabilities::LogProbabilities;
use crate::router::LeavingRule;

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
    assert_eq!(stages.leaving_at(vec![2, 1, 0]).flops, 121);
    // The last stage gives .9 to class 0 and .1 to class 1, which the second row gets in between.
    let regrets = stages.regrets(&[0, 1, 2]);
    assert!(
        regrets.iter().zip([0.0, 0.8, 0.0]).all(|(regret, expected)| (regret - expected).abs() < 1e-12),
        "{regrets:?}"
    );
}

#[test]
fn rows_are_selected_and_the_last_stage_takes_other_answers() {
    let stages = stages();
    let twice = stages.select(&[2, 2, 0]);
    assert_eq!(parts(twice.at(0.35)), (vec![1, 1, 0], vec![0; 3], 3));
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
        let threshold = stages.within(cost as f64, &thresholds).unwrap();
        assert_eq!(stages.at(threshold).flops, cost);
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
