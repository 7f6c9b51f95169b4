//! Logs of decisions whose propensities are estimates with a standard error.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use dht_bandits::{
    ArmId, Error, Policy, Request, Ridge, Thompson,
    evaluation::{Evaluation, EvaluationSettings, Target},
    log::{DecisionLog, LogSettings, LoggedDecision},
    policy::{SharedPropensity, TopK},
};
use rand_distr::{Distribution, StandardNormal};

use crate::support::{read, rng};

const ARMS: u64 = 8;

fn joined_rows(lines: u32) -> Vec<LoggedDecision> {
    let policy = TopK::shared(3, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
    let policy = policy.with_shared_propensity(SharedPropensity::Estimated { lines }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let arms: Vec<_> = (0..ARMS).map(ArmId::new).collect();
    for round in 0..60u64 {
        let mut generator = rng(round);
        let rows: Vec<f64> = (0..3 * ARMS).map(|_| StandardNormal.sample(&mut generator)).collect();
        let request = Request::new(&[]).featured(&arms, &rows, 3).unwrap();
        let decision = policy.decide(&request, &mut generator).unwrap();
        let all = policy.propensities(&request).unwrap();
        let all: Vec<_> = all.iter().map(|entry| (entry.arm, entry.probability)).collect();
        let time = round as f64;
        let id = log.append_request(&request, &decision, Some(&all), time).unwrap();
        log.reward(id, f64::from(u8::from(round % 3 == 0)), time).unwrap();
    }
    let (joined, errors, _) = read(folder.path(), LogSettings::default());
    assert!(errors.is_empty(), "{errors:?}");
    joined.into_iter().map(|joined| joined.into_row()).collect()
}

#[test]
fn estimates_may_differ_from_all_probabilities_by_their_errors() {
    for lines in [64, 2048] {
        let rows = joined_rows(lines);
        assert!(rows.len() == 60 && rows.iter().all(|row| row.propensity_error > 1e-6), "{:?}", rows[0]);
        let gap = |row: &LoggedDecision| {
            let of_arm = row.probabilities.as_ref().unwrap().iter().find(|entry| entry.0 == row.arm).unwrap().1;
            (of_arm - row.propensity.unwrap()).abs()
        };
        // An exact propensity would be refused.
        assert!(rows.iter().map(gap).fold(0.0, f64::max) > 1e-6);
        let uniform = Target::new("uniform", |_| Ok((0..ARMS).map(|arm| (ArmId::new(arm), 1.0 / 8.0)).collect()));
        let settings = EvaluationSettings::default().with_model(None);
        Evaluation::run(&rows, &[uniform], &settings, &mut rng(1)).unwrap();
        let mut out = Vec::new();
        rows.iter().for_each(|row| row.write_dsjson(&mut out, "1").unwrap());
    }
}

#[test]
fn a_contradiction_beyond_the_error_is_refused() {
    let mut row = joined_rows(2048).swap_remove(0);
    row.propensity = Some(row.propensity.unwrap() / 2.0 + 0.5);
    assert!(matches!(row.check(4), Err(Error::InRound { round: 4, .. })));
    row.propensity_error = f64::NAN;
    assert!(row.check(0).is_err());
}
