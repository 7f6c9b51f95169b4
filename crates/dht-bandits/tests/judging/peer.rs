//! Estimates of the Open Bandit Pipeline from the same log, computed by `scripts/golden_off_policy.py`.

use std::collections::BTreeMap;

use dht_bandits::evaluation::{Estimator, LoggedRound, OffPolicy};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    values: BTreeMap<String, f64>,
    rounds: Vec<LoggedRound>,
}

#[test]
fn estimates_are_those_of_the_open_bandit_pipeline() {
    let golden: Golden = serde_json::from_str(include_str!("obp.json")).unwrap();
    let log = OffPolicy::new(&golden.rounds).unwrap();
    let ours = [
        Estimator::Direct,
        Estimator::InversePropensity,
        Estimator::SelfNormalised,
        Estimator::DoublyRobust,
        Estimator::SelfNormalisedDoublyRobust,
        Estimator::SwitchDoublyRobust { threshold: 1.0 },
        Estimator::OptimisticDoublyRobust { shrinkage: 2.0 },
    ];
    assert_eq!(golden.values.len(), ours.len());
    for estimator in ours {
        let (ours, theirs) = (log.estimate(estimator).unwrap().value, golden.values[&estimator.to_string()]);
        assert!((ours - theirs).abs() < 1e-12, "{estimator}: {ours} instead of {theirs}");
    }
}
