//! Policies that are reset by a change test.

use dht_bandits::{
    LinUcb, Normalizer, Policy, Request, Ridge, Ucb,
    policy::{ChangeTest, Normalised, ResetOnChange},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[test]
fn worsening_predictions_reset_a_policy_and_learning_does_not() {
    let policy = LinUcb::new(2, 2, Ridge::default(), Ucb { alpha: 0.3 }).unwrap();
    let mut policy = ResetOnChange::new(policy, ChangeTest::PageHinkley { tolerance: 0.1, threshold: 5.0 }).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..2000 {
        let context = [1.0, rng.random::<f64>() - 0.5];
        let decision = policy.decide(&Request::new(&context), &mut rng).unwrap();
        let sign = if round < 1000 { 1.0 } else { -1.0 };
        let reward = sign * (context[1] + decision.arm().number() as f64) + 0.1 * rng.random::<f64>();
        policy.learn(&decision, reward).unwrap();
        if round == 999 {
            assert_eq!(policy.resets(), 0);
        }
    }
    assert_eq!((policy.resets(), policy.version()), (1, 2000));
    assert!(policy.window() < 1000 && policy.error() < 0.5, "{} {}", policy.window(), policy.error());
}

#[test]
fn late_rewards_of_a_warm_up_say_nothing_of_a_change() {
    let inside = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.1 }).unwrap();
    let inside = ResetOnChange::new(inside, ChangeTest::PageHinkley { tolerance: 0.02, threshold: 5.0 }).unwrap();
    let mut policy = Normalised::new(inside, Normalizer::new(1).unwrap(), 20, false).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut decide = |policy: &Normalised<_>| {
        policy.decide(&Request::new(&[rng.random::<f64>()]), &mut ChaCha8Rng::seed_from_u64(1))
    };
    let late: Vec<_> = (0..10).map(|_| decide(&policy).unwrap()).collect();
    let rewarded = |policy: &mut Normalised<_>, decision: &_| policy.learn(decision, 0.5).unwrap();
    for _ in 0..400 {
        let decision = decide(&policy).unwrap();
        rewarded(&mut policy, &decision);
    }
    // No reward was predicted for these observations. If their rewards counted as errors, they would be a change.
    let version = policy.version();
    late.iter().for_each(|decision| policy.learn(decision, 50.0).unwrap());
    assert_eq!((policy.inner().resets(), policy.version()), (0, version + 10));
}
