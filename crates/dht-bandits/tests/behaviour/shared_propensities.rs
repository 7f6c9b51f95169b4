//! Setting of how propensities are computed when one draw of shared weights scores all candidates.

use dht_bandits::{
    ArmId, Error, Policy, Ridge, Thompson,
    policy::{SharedPropensity, TopK},
};

use crate::support::{featured, normals, rng};

const ARMS: [ArmId; 6] = [ArmId::new(0), ArmId::new(1), ArmId::new(2), ArmId::new(3), ArmId::new(4), ArmId::new(5)];

fn policy(method: SharedPropensity) -> TopK<Ridge, Thompson> {
    let mut policy = TopK::shared(4, Ridge::default(), Thompson { alpha: 0.6 }).unwrap();
    for round in 0..10 {
        let row = normals(&mut rng(round), 4);
        Policy::update(&mut policy, ARMS[0], &row, row[0], 1.0).unwrap();
    }
    policy.with_shared_propensity(method).unwrap()
}

#[test]
fn an_estimate_agrees_with_the_integral_within_its_error() {
    let rows = normals(&mut rng(20), 24);
    let request = featured(&[], &ARMS, &rows);
    let all = policy(SharedPropensity::Integral).propensities(&request).unwrap();
    let of = |arm: ArmId| *all.iter().find(|entry| entry.arm == arm).unwrap();
    let mut errors = Vec::new();
    for lines in [64, 1024, 16_384] {
        let estimated = policy(SharedPropensity::Estimated { lines });
        let mut sum = 0.0;
        for seed in 0..30 {
            let choice = estimated.decide(&request, &mut rng(seed)).unwrap().choice;
            let (exact, error) = (of(choice.arm), choice.propensity_error);
            let gap = (choice.propensity.unwrap() - exact.probability).abs();
            assert!(
                error > 0.0 && gap < 6.0 * error.hypot(exact.standard_error) + 1e-6,
                "{lines}: {choice:?} {exact:?}"
            );
            sum += error;
        }
        errors.push(sum / 30.0);
    }
    assert!(errors[1] < 0.5 * errors[0] && errors[2] < 0.5 * errors[1], "{errors:?}");
    let slate = policy(SharedPropensity::Integral).decide_slate(3, &request, &mut rng(1)).unwrap();
    let shown = policy(SharedPropensity::Integral).slate_propensities(3, &request).unwrap();
    for choice in slate.choices() {
        let entry = shown.iter().find(|entry| entry.arm == choice.arm).unwrap();
        let gap = (choice.propensity.unwrap() - entry.probability).abs();
        assert!(gap < 6.0 * entry.standard_error + 1e-9 && choice.propensity_error > 0.0, "{choice:?} {entry:?}");
    }
}

#[test]
fn propensities_may_be_left_out() {
    let rows = normals(&mut rng(21), 24);
    let request = featured(&[], &ARMS, &rows);
    let mut without = policy(SharedPropensity::Omitted);
    let decision = without.decide(&request, &mut rng(3)).unwrap();
    assert_eq!((decision.choice.propensity, decision.choice.propensity_error), (None, 0.0));
    // The choice is the same as with a propensity.
    let with = policy(SharedPropensity::default()).decide(&request, &mut rng(3)).unwrap();
    assert_eq!((decision.arm(), &decision.context), (with.arm(), &with.context));
    without.learn(&decision, 1.0).unwrap();
    let saved = serde_json::to_string(&without).unwrap();
    let again: TopK<Ridge, Thompson> = serde_json::from_str(&saved).unwrap();
    assert_eq!(again.decide(&request, &mut rng(3)).unwrap().choice.propensity, None);
    // A propensity is computed if it is requested.
    assert!(without.propensities(&request).is_ok());
}

#[test]
fn numbers_of_lines_out_of_range_are_refused() {
    for lines in [0, 63, 65_537] {
        let policy = TopK::shared(2, Ridge::default(), Thompson { alpha: 0.6 }).unwrap();
        let refused = policy.with_shared_propensity(SharedPropensity::Estimated { lines }).unwrap_err();
        assert!(matches!(refused, Error::Parameter { name: "lines", .. }), "{refused}");
    }
    let saved = serde_json::to_string(&policy(SharedPropensity::Estimated { lines: 64 })).unwrap();
    assert!(serde_json::from_str::<TopK<Ridge, Thompson>>(&saved.replace("\"lines\":64", "\"lines\":1")).is_err());
}
