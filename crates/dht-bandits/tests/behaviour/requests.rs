//! Every policy takes the same request, also in a box or behind a reference.

use dht_bandits::{
    ArmId, Error, LinTs, LinUcb, Policy, Request, Result, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Softmax, SquareCb},
    features::Interactions,
    policy::{Disjoint, Fixed, Hybrid, TopK, Uniform},
    posterior::{DiagonalLaplace, FullLaplace},
};
use rand_chacha::ChaCha8Rng;

use crate::support::{featured, normals, rng};

const RIDGE: Ridge = Ridge::new(1.0).with_decay(1.0);

fn products() -> Interactions {
    Interactions::new(2, 3).unwrap()
}

/// One policy per type, with 4 arms, contexts of length 2 and 3 features. Policies without a context first receive context
/// and features as one vector.
fn policies() -> Vec<Box<dyn Policy>> {
    let laplace = DiagonalLaplace::default();
    vec![
        Box::new(LinUcb::new(2, 4, RIDGE, Ucb { alpha: 0.5 }).unwrap()),
        Box::new(LinTs::new(2, 4, RIDGE, Thompson { alpha: 0.5 }).unwrap()),
        Box::new(Disjoint::new(2, 4, FullLaplace::default(), Thompson { alpha: 0.5 }).unwrap()),
        Box::new(Disjoint::new(2, 4, RIDGE, EpsilonGreedy::new(0.2)).unwrap()),
        Box::new(Disjoint::<Ridge, _>::new(2, 4, RIDGE, EpsilonGreedy::new(1.0).with_decay(0.5)).unwrap()),
        Box::new(Disjoint::<Ridge, _>::new(2, 4, RIDGE, EpsilonGreedy::new(0.0).with_first(6)).unwrap()),
        Box::new(Disjoint::<Ridge, _>::new(2, 4, RIDGE, Softmax { temperature: 0.3 }).unwrap()),
        Box::new(Disjoint::<FullLaplace, _>::new(2, 4, FullLaplace::default(), SquareCb::new(3.0)).unwrap()),
        Box::new(Hybrid::new(2, 3, 4, 1.0, Ucb { alpha: 0.5 }).unwrap()),
        Box::new(dht_bandits::policy::Hybrid::new(2, 3, 4, 1.0, Thompson { alpha: 0.5 }).unwrap()),
        Box::new(dht_bandits::policy::Hybrid::new(2, 3, 4, 1.0, SquareCb::new(3.0)).unwrap()),
        Box::new(TopK::shared(11, RIDGE, Ucb { alpha: 0.5 }).unwrap().with_interactions(products()).unwrap()),
        Box::new(TopK::shared(11, RIDGE, Thompson { alpha: 0.5 }).unwrap().with_interactions(products()).unwrap()),
        Box::new(TopK::per_arm(5, 4, laplace, Thompson { alpha: 0.5 }).unwrap()),
        Box::new(Uniform::new(2, 4).unwrap()),
        Box::new(Fixed::new(2, 4, ArmId::new(2)).unwrap()),
    ]
}

/// Rounds in which a policy learns. Returns the choices.
fn play(policy: &mut dyn Policy, rounds: usize, rng: &mut ChaCha8Rng) -> Result<Vec<(ArmId, f64)>> {
    let arms = [0, 1, 2, 3].map(ArmId::new);
    let mut chosen = Vec::new();
    for round in 0..rounds {
        let (context, features) = (normals(rng, 2), normals(rng, 12));
        let request = featured(&context, &arms, &features);
        let propensities = policy.propensities(&request)?;
        let sum: f64 = propensities.iter().map(|entry| entry.probability).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let decision = policy.decide(&request, rng)?;
        let propensity = decision.choice.propensity.unwrap();
        let entry = propensities.iter().find(|entry| entry.arm == decision.arm()).unwrap();
        // Estimated propensities of policies that draw shared weights once agree within their errors.
        let error = decision.choice.propensity_error;
        let tolerance = if error > 1e-9 { 6.0 * error.hypot(entry.standard_error) } else { 1e-12 };
        assert!((propensity - entry.probability).abs() < tolerance && propensity > 0.0, "{propensity} {entry:?}");
        policy.learn(&decision, (round % 2) as f64)?;
        assert_eq!(policy.version(), round as u64 + 1);
        chosen.push((decision.arm(), propensity));
    }
    Ok(chosen)
}

#[test]
fn every_policy_decides_with_its_propensity_and_then_learns() {
    for mut policy in policies() {
        // A copy of a boxed policy is the same policy.
        let mut copy = policy.clone();
        let left = play(policy.as_mut(), 12, &mut rng(4)).unwrap();
        assert_eq!(left, play(&mut copy, 12, &mut rng(4)).unwrap());
    }
}

#[test]
fn policies_whose_arms_have_no_features_ignore_them() {
    let arms = [3, 1].map(ArmId::new);
    let policy = LinTs::new(2, 4, RIDGE, Thompson { alpha: 0.5 }).unwrap();
    let (context, features) = ([0.4, -1.0], [f64::MAX; 2]);
    let with = policy.select(&featured(&context, &arms, &features), &mut rng(1)).unwrap();
    assert_eq!(with, policy.select(&Request::new(&context).only(&arms), &mut rng(1)).unwrap());
    let unknown = [ArmId::new(7)];
    let refused = policy.select(&featured(&context, &unknown, &[1.0]), &mut rng(1)).unwrap_err();
    assert_eq!(refused, Error::UnknownArm { arm: unknown[0] });
}

fn probabilities<E: Exploration>(rule: E, rewards: &[f64], available: Option<&[ArmId]>) -> Vec<f64> {
    let mut policy = Disjoint::<Ridge, E>::new(1, rewards.len(), RIDGE, rule).unwrap();
    for (arm, reward) in (0..).map(ArmId::new).zip(rewards) {
        // Prior precision 1 and one observation: the mean is half the reward.
        policy.update(arm, &[1.0], 2.0 * reward, 1.0).unwrap();
    }
    let request = available.map_or(Request::new(&[1.0]), |arms| Request::new(&[1.0]).only(arms));
    policy.propensities(&request).unwrap().iter().map(|entry| entry.probability).collect()
}

fn assert_all_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-14), "{got:?} {expected:?}");
}

#[test]
fn propensities_of_rules_are_those_computed_by_hand() {
    let means = [0.2, 0.8, 0.8, 0.5];
    let all = None;
    assert_all_close(&probabilities(Ucb { alpha: 1.0 }, &means, all), &[0.0, 0.5, 0.5, 0.0]);
    assert_all_close(&probabilities(EpsilonGreedy::new(0.2), &means, all), &[0.05, 0.45, 0.45, 0.05]);
    // After four learned rewards ε is .5/√5.
    let epsilon = 0.5 / 5f64.sqrt();
    let expected = [epsilon / 4.0, epsilon / 4.0 + (1.0 - epsilon) / 2.0];
    let expected = [expected[0], expected[1], expected[1], expected[0]];
    assert_all_close(&probabilities(EpsilonGreedy::new(0.5).with_decay(0.5), &means, all), &expected);
    assert_all_close(&probabilities(EpsilonGreedy::new(0.0).with_first(5), &means, all), &[0.25; 4]);
    assert_all_close(&probabilities(EpsilonGreedy::new(0.0).with_first(4), &means, all), &[0.0, 0.5, 0.5, 0.0]);
    let weights = means.map(|mean: f64| (mean / 0.3).exp());
    let sum: f64 = weights.iter().sum();
    assert_all_close(&probabilities(Softmax { temperature: 0.3 }, &means, all), &weights.map(|weight| weight / sum));
    // γ is 10·√5, the gaps are .6 and .3, and the two best arms share the remaining probability.
    let gamma = 10.0 * 5f64.sqrt();
    let (far, near) = (1.0 / (4.0 + 0.6 * gamma), 1.0 / (4.0 + 0.3 * gamma));
    let best = (1.0 - far - near) / 2.0;
    assert_all_close(&probabilities(SquareCb::new(10.0), &means, all), &[far, best, best, near]);
    // With two available arms, K is 2.
    let two = [0, 3].map(ArmId::new);
    let far = 1.0 / (2.0 + 0.3 * gamma);
    assert_all_close(&probabilities(SquareCb::new(10.0), &means, Some(&two)), &[far, 1.0 - far]);
    assert_all_close(&probabilities(SquareCb { gamma: 0.0, power: 0.5 }, &means, all), &[0.25; 4]);
    // Thompson sampling between two equal widths: Φ(gap/(√2·α·width)), width² = ½; Φ(.6) is in every table.
    let thompson = Thompson { alpha: 0.5 };
    let propensities = probabilities(thompson, &[0.8, 0.5], all);
    assert!((propensities[0] - 0.725_746_882_249_927).abs() < 1e-9, "{propensities:?}");
}

#[test]
fn square_cb_chooses_one_arm_and_refuses_slates_of_two() {
    let policy = dht_bandits::policy::TopK::<Ridge, _>::shared(2, RIDGE, SquareCb::new(3.0)).unwrap();
    let arms = [4, 5].map(ArmId::new);
    let request = Request::new(&[]).featured(&arms, &[0.1, 1.0, 0.4, 1.0], 2).unwrap();
    assert_eq!(policy.decide_slate(1, &request, &mut rng(1)).unwrap().choices()[0].propensity, Some(0.5));
    assert!(matches!(policy.select_slate(2, &request, &mut rng(1)), Err(Error::Parameter { name: "positions", .. })));
}

#[test]
fn vectors_of_nalgebra_are_contexts() {
    use nalgebra::{DMatrix, DVector, SVector};
    let mut policy = LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    policy.update(ArmId::new(1), &[1.0, 0.2, -0.5], 1.0, 1.0).unwrap();
    let values = [0.3, -1.0, 2.0];
    let expected = policy.select(&Request::new(&values), &mut rng(1)).unwrap();
    let dynamic = DVector::from_row_slice(&values);
    let fixed = SVector::<f64, 3>::from(values);
    let matrix = DMatrix::from_columns(&[DVector::zeros(3), dynamic.clone()]);
    let column = matrix.column(1);
    for request in [Request::from(&dynamic), Request::from(&fixed), Request::from(&column)] {
        assert_eq!(policy.select(&request, &mut rng(1)), Ok(expected));
    }
    assert!(policy.decide(&(&DVector::from_element(2, 1.0)).into(), &mut rng(1)).is_err());
}
