//! Removal of observations: the policy can still be saved, loaded and scored, or the call is refused and changes no
//! bit.

use dht_bandits::{ArmId, Error, LinUcb, Policy, Result, Ridge, Ucb};
use proptest::prelude::*;

use crate::support::{Dense, assert_close, normals, rng};

const ARM: ArmId = ArmId::new(0);

fn blank(dimension: usize, lambda: f64, keep_information: bool) -> LinUcb {
    LinUcb::new(dimension, 1, Ridge::new(lambda).with_keep_information(keep_information), Ucb { alpha: 0.5 }).unwrap()
}

fn text(policy: &LinUcb) -> String {
    serde_json::to_string(policy).unwrap()
}

/// Runs an operation and checks its result. After a refusal every bit must be as before. Otherwise the policy must be
/// fit to be saved, loaded and scored.
fn sound(policy: &mut LinUcb, act: impl FnOnce(&mut LinUcb) -> Result<()>) -> Result<(), String> {
    let before = text(policy);
    let outcome = act(policy);
    let after = text(policy);
    if outcome.is_err() {
        return if after == before { Ok(()) } else { Err(format!("{outcome:?} changed {before} to {after}")) };
    }
    let loaded: LinUcb = serde_json::from_str(&after).map_err(|error| format!("{error}: {after}"))?;
    if text(&loaded) != after {
        return Err(format!("loaded otherwise: {after}"));
    }
    let dimension = policy.dimension();
    for position in 0..=dimension {
        let context: Vec<_> =
            (0..dimension).map(|i| f64::from(u8::from(position == dimension || i == position))).collect();
        let score = policy.score(ARM, &context).map_err(|error| format!("{error}: {after}"))?;
        if score.width.is_nan() || score.width < 0.0 {
            return Err(format!("{score:?}: {after}"));
        }
    }
    Ok(())
}

#[test]
fn an_observation_that_outweighs_all_else_is_not_unlearned() {
    for keep in [false, true] {
        for (context, weight) in [
            ([0.0, 1e12, 1e12], 1e30),
            ([1.0, 1e-100, 0.0], 1e30),
            ([0.0, 1.0, 1.0], 1e30),
            ([1e8, 0.0, 0.0], 1.0),
            ([1e7, -3e7, 2e7], 1.0),
        ] {
            let mut policy = blank(3, 1.0, keep);
            policy.update(ARM, &context, 0.0, weight).unwrap();
            let before = text(&policy);
            let refused = policy.unlearn(ARM, &context, 0.0, weight);
            assert!(
                matches!(refused, Err(Error::NotPositiveDefinite { .. } | Error::LostDigits { .. })),
                "{context:?}: {refused:?}"
            );
            assert_eq!(text(&policy), before);
        }
    }
}

#[test]
fn the_refusal_says_how_little_would_be_left() {
    let mut policy = blank(3, 1.0, false);
    policy.update(ARM, &[0.0, 1e5, 0.0], 1.0, 1.0).unwrap();
    let Err(Error::LostDigits { pivot, value, least, .. }) = policy.unlearn(ARM, &[0.0, 1e5, 0.0], 1.0, 1.0) else {
        panic!("1e-10 of a precision has six digits at most");
    };
    assert_eq!((pivot, least), (1, f64::EPSILON.sqrt()));
    assert_close(value * 1e10, 1.0, 1e-4, "what would be left, times 1e10");
}

#[test]
fn at_least_seven_digits_of_what_is_left_survive_one_call() {
    let mut rng = rng(8);
    for size in [1.0, 1e1, 1e2, 1e3, 3e3] {
        for dimension in [1, 3, 9, 17] {
            let (mut policy, mut dense) = (blank(dimension, 1.0, false), Dense::new(dimension, 1.0));
            for _ in 0..dimension {
                let row = normals(&mut rng, dimension);
                policy.update(ARM, &row, row[0], 1.0).unwrap();
                dense.learn(&row, row[0], 1.0);
            }
            let probe = normals(&mut rng, dimension);
            let length = normals(&mut rng, dimension);
            let norm = length.iter().map(|value| value * value).sum::<f64>().sqrt();
            let large: Vec<_> = length.iter().map(|value| size * value / norm).collect();
            policy.update(ARM, &large, 1.0, 1.0).unwrap();
            policy.unlearn(ARM, &large, 1.0, 1.0).unwrap();
            let score = policy.score(ARM, &probe).unwrap();
            let (mean, width) = dense.mean_and_width(&probe);
            assert_close(score.mean, mean, 1e-7, "mean");
            assert_close(score.width, width, 1e-7, "width");
        }
    }
}

#[test]
fn unlearning_stops_before_the_covariance_cannot_be_loaded() {
    let mut policy = blank(2, 1e-100, true);
    let mut refused = None;
    for _ in 0..60 {
        // Each removal takes away 1 − 1e-7 of the precision.
        let width = policy.score(ARM, &[1.0, 0.0]).unwrap().width;
        let length = (1.0 - 1e-7f64).sqrt() / width;
        let outcome = policy.unlearn(ARM, &[length, 0.0], 0.0, 1.0);
        sound(&mut policy, |_| Ok(())).unwrap();
        if outcome.is_err() {
            refused = Some(outcome);
            break;
        }
    }
    assert!(matches!(refused, Some(Err(Error::TooLarge { what: "covariance", .. }))), "{refused:?}");
}

#[test]
fn a_window_that_slides_for_long_stays_close() {
    let mut rng = rng(9);
    let dimension = 12;
    let rows: Vec<_> = (0..20_000).map(|_| normals(&mut rng, dimension)).collect();
    let (mut window, mut dense) = (blank(dimension, 1.0, false), Dense::new(dimension, 1.0));
    for (round, row) in rows.iter().enumerate() {
        window.update(ARM, row, row[0], 1.0).unwrap();
        if round >= 40 {
            let old = &rows[round - 40];
            window.unlearn(ARM, old, old[0], 1.0).unwrap();
        }
    }
    rows[rows.len() - 40..].iter().for_each(|row| dense.learn(row, row[0], 1.0));
    let probe = normals(&mut rng, dimension);
    let score = window.score(ARM, &probe).unwrap();
    let (mean, width) = dense.mean_and_width(&probe);
    assert_close(score.mean, mean, 1e-10, "mean");
    assert_close(score.width, width, 1e-10, "width");
}

#[derive(Debug, Clone)]
enum Event {
    Learn(Vec<f64>, f64, f64),
    /// Removes the observation that was learned this number of observations ago, with its weight times a factor.
    Unlearn(usize, f64),
    /// Removes an observation that was most likely never learned.
    Stranger(Vec<f64>, f64, f64),
    Forget(f64),
}

fn extreme(largest: i32) -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => -2.0f64..2.0,
        2 => prop::sample::select(vec![0.0, 1.0, -1.0, 1e-100, 1e7, 1e8, 1e12, 1e30]),
        1 => (-1.0f64..1.0, -largest..largest).prop_map(|(digits, exponent)| digits * 10f64.powi(exponent)),
    ]
}

fn weight() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => Just(1.0),
        2 => prop::sample::select(vec![0.5, 1e-30, 1e7, 1e15, 1e30]),
        1 => (-100i32..100).prop_map(|exponent| 10f64.powi(exponent)),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let observation = || (prop::collection::vec(extreme(100), 19), extreme(100), weight());
    prop_oneof![
        4 => observation().prop_map(|(context, reward, weight)| Event::Learn(context, reward, weight)),
        5 => (0usize..4, prop::sample::select(vec![1.0, 1.0, 1.0, 0.5, 0.999_999])).prop_map(|(ago, share)| Event::Unlearn(ago, share)),
        1 => observation().prop_map(|(context, reward, weight)| Event::Stranger(context, reward, weight)),
        1 => (0.1f64..1.0).prop_map(Event::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn learning_and_unlearning_always_leave_a_loadable_policy(
        events in prop::collection::vec(event(), 1..16),
        lambda in prop::sample::select(vec![1e-100, 1e-3, 1.0, 1e3, 1e100]),
        dimension in prop::sample::select(vec![1usize, 2, 3, 8, 19]),
        keep in any::<bool>(),
    ) {
        let mut policy = blank(dimension, lambda, keep);
        let mut learned = Vec::new();
        for event in events {
            let outcome = match event {
                Event::Learn(mut context, reward, weight) => {
                    context.truncate(dimension);
                    let outcome = sound(&mut policy, |policy| policy.update(ARM, &context, reward, weight));
                    learned.push((context, reward, weight));
                    outcome
                }
                Event::Unlearn(ago, share) => {
                    let Some(position) = learned.len().checked_sub(ago + 1) else { continue };
                    let (context, reward, weight) = learned.remove(position);
                    sound(&mut policy, |policy| policy.unlearn(ARM, &context, reward, share * weight))
                }
                Event::Stranger(mut context, reward, weight) => {
                    context.truncate(dimension);
                    sound(&mut policy, |policy| policy.unlearn(ARM, &context, reward, weight))
                }
                Event::Forget(decay) => sound(&mut policy, |policy| policy.forget(decay)),
            };
            prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
        }
    }
}
