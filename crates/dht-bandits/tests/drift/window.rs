//! A sliding window equals a policy that learned only the observations of the window.

use dht_bandits::{ArmId, LinUcb, Policy, Request, Ridge, Ucb, policy::SlidingWindow};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn ridge() -> LinUcb {
    LinUcb::new(3, 3, Ridge::default(), Ucb { alpha: 1.0 }).unwrap_or_else(|error| unreachable!("{error}"))
}

fn observation<R: Rng + ?Sized>(rng: &mut R) -> (ArmId, Vec<f64>, f64) {
    // One observation in thirty outweighs all others by far, so that removing it would leave no correct digits.
    let scale = if rng.random::<f64>() < 0.03 { 1e5 } else { 1.0 };
    let context = (0..3).map(|_| scale * (rng.random::<f64>() - 0.5)).collect();
    (ArmId::new(rng.random_range(0..3)), context, rng.random())
}

#[test]
fn it_has_learned_the_last_observations_and_no_other() {
    for length in [1, 7, 40] {
        let mut rng = ChaCha8Rng::seed_from_u64(length as u64);
        let mut window = SlidingWindow::new(ridge(), length).unwrap();
        let mut seen = Vec::new();
        for round in 0..500 {
            let (arm, context, reward) = observation(&mut rng);
            window.update(arm, &context, reward, 1.0).unwrap();
            seen.push((arm, context, reward));
            if round % 23 != 0 {
                continue;
            }
            let mut plain = ridge();
            for (arm, context, reward) in &seen[seen.len().saturating_sub(length)..] {
                plain.update(*arm, context, *reward, 1.0).unwrap();
            }
            let x = [0.3, -0.2, 0.9];
            for arm in (0..3).map(ArmId::new) {
                let (left, right) = (window.policy().score(arm, &x).unwrap(), plain.score(arm, &x).unwrap());
                assert!((left.mean - right.mean).abs() < 1e-5, "{length} {round}: {left:?} {right:?}");
                assert!((left.width - right.width).abs() < 1e-5 * right.width, "{length} {round}: {left:?} {right:?}");
            }
        }
        assert_eq!((window.len(), window.version()), (length, 500));
    }
}

#[test]
fn removed_arms_are_left_out_and_bad_input_changes_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut window = SlidingWindow::new(ridge(), 5).unwrap();
    for _ in 0..12 {
        let (arm, context, reward) = observation(&mut rng);
        window.update(arm, &context, reward, 1.0).unwrap();
    }
    window.policy_mut().remove_arm(ArmId::new(1)).unwrap();
    let before = window.policy().state();
    assert!(window.update(ArmId::new(1), &[1.0, 1.0, 1.0], 1.0, 1.0).is_err());
    assert!(window.update(ArmId::new(0), &[1.0, f64::NAN, 1.0], 1.0, 1.0).is_err());
    assert_eq!((window.policy().state(), window.len()), (before, 5));
    for _ in 0..20 {
        let (arm, context, reward) = observation(&mut rng);
        if arm != ArmId::new(1) {
            window.update(arm, &context, reward, 1.0).unwrap();
        }
    }
    assert_eq!(window.arms().len(), 2);
    assert!(window.select(&Request::new(&[1.0, 0.0, 0.0]), &mut rng).is_ok());
    assert!(SlidingWindow::new(ridge(), 0).is_err());
    let fading = Ridge::default().with_decay(0.9);
    assert!(SlidingWindow::new(LinUcb::new(3, 3, fading, Ucb { alpha: 1.0 }).unwrap(), 5).is_err());
}

#[test]
fn observations_out_of_bounds_are_rejected_and_change_nothing() {
    let linear = || LinUcb::new(1, 1, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    let mut window = SlidingWindow::new(linear(), 2).unwrap();
    let first = ArmId::new(0);
    // x² is 1e98, which is in the range even without earlier observations.
    window.update(first, &[1e49], 1.0, 1.0).unwrap();
    let before = serde_json::to_string(&window).unwrap();
    for (x, weight) in [(1e60, 1.0), (1e49, 1e10)] {
        assert!(window.update(first, &[x], 1.0, weight).is_err());
        assert_eq!(serde_json::to_string(&window).unwrap(), before);
    }
    for round in 0..200 {
        let x = 10f64.powi(round % 49) * if round % 2 == 0 { 1.0 } else { -1.0 };
        let before = serde_json::to_string(&window).unwrap();
        if window.update(first, &[x], f64::from(round % 3), 1.0).is_err() {
            assert_eq!(serde_json::to_string(&window).unwrap(), before, "{round}");
        }
        let saved = serde_json::to_string(&window).unwrap();
        let loaded: SlidingWindow<Ucb> = serde_json::from_str(&saved).unwrap();
        assert_eq!(loaded.version(), window.version());
    }
}

#[test]
fn a_reset_also_forgets_a_reward_that_the_prior_cannot_learn() {
    use dht_bandits::policy::{ChangeTest, ResetOnChange};
    let linear = LinUcb::new(1, 1, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    let mut policy = ResetOnChange::new(linear, ChangeTest::PageHinkley { tolerance: 0.0, threshold: 1.0 }).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut learn = |policy: &mut ResetOnChange<_, Ucb>, x: f64, reward: f64| {
        let decision = policy.decide(&Request::new(&[x]), &mut rng).unwrap();
        policy.learn(&decision, reward).unwrap();
    };
    learn(&mut policy, 1e49, 0.0);
    learn(&mut policy, 1e49, 0.0);
    learn(&mut policy, 1e60, 1e3);
    assert_eq!((policy.resets(), policy.version()), (1, 3));
    let score = policy.policy().score(ArmId::new(0), &[1.0]).unwrap();
    assert_eq!((score.mean, score.width), (0.0, 1.0));
}
