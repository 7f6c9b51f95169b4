//! Merging, differences, forgetting, and removal of observations.

use dht_bandits::{
    ArmId, Error, LinUcb, Policy, Ridge, Thompson, Ucb,
    policy::{Delta, Disjoint},
    posterior::{DiagonalLaplace, FullLaplace},
};
use proptest::prelude::*;

use crate::support::{Dense, assert_close, normals, rng};

const LAMBDAS: [f64; 3] = [0.01, 1.0, 100.0];

fn blank(dimension: usize, lambda: f64, keep_information: bool) -> LinUcb {
    LinUcb::new(dimension, 2, Ridge::new(lambda).with_keep_information(keep_information), Ucb { alpha: 1.0 }).unwrap()
}

fn train(policy: &mut LinUcb, rows: &[Vec<f64>]) {
    for (round, row) in rows.iter().enumerate() {
        policy.update(ArmId::new(round as u64 % 2), row, row[0] - 0.5 * row[1], 1.0).unwrap();
    }
}

fn assert_alike(left: &LinUcb, right: &LinUcb, relative: f64) {
    let mut rng = rng(99);
    for arm in left.arms().iter() {
        for _ in 0..5 {
            let context = normals(&mut rng, left.dimension());
            let (a, b) = (left.score(arm, &context).unwrap(), right.score(arm, &context).unwrap());
            assert_close(a.mean, b.mean, relative, "mean");
            assert_close(a.width, b.width, relative, "width");
        }
    }
}

#[test]
fn merging_two_workers_is_learning_from_both_in_either_order() {
    for lambda in LAMBDAS {
        for keep in [false, true] {
            for dimension in [4, 40] {
                let mut rng = rng(1);
                let rows: Vec<_> = (0..120).map(|_| normals(&mut rng, dimension)).collect();
                let mut whole = blank(dimension, lambda, keep);
                let (mut left, mut right) = (whole.clone(), whole.clone());
                train(&mut whole, &rows);
                train(&mut left, &rows[..50]);
                train(&mut right, &rows[50..]);
                let mut there = left.clone();
                there.merge(&right).unwrap();
                let mut back = right.clone();
                back.merge(&left).unwrap();
                assert_alike(&there, &whole, 1e-8);
                assert_alike(&back, &whole, 1e-8);
                assert_eq!(there.version(), 120);
            }
        }
    }
}

#[test]
fn merging_is_associative_and_counts_the_prior_once() {
    let mut rng = rng(2);
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let mut worker = blank(5, 3.0, false);
            train(&mut worker, &(0..30).map(|_| normals(&mut rng, 5)).collect::<Vec<_>>());
            worker
        })
        .collect();
    let mut left = workers[0].clone();
    left.merge(&workers[1]).unwrap();
    left.merge(&workers[2]).unwrap();
    let mut right = workers[1].clone();
    right.merge(&workers[2]).unwrap();
    let mut first = workers[0].clone();
    first.merge(&right).unwrap();
    assert_alike(&left, &first, 1e-10);
    let mut alone = workers[0].clone();
    alone.merge(&blank(5, 3.0, false)).unwrap();
    assert_alike(&alone, &workers[0], 1e-10);
}

#[test]
fn differences_since_a_snapshot_carry_over_and_add() {
    let mut rng = rng(3);
    let mut server = blank(6, 1.0, true);
    train(&mut server, &(0..40).map(|_| normals(&mut rng, 6)).collect::<Vec<_>>());
    let base = server.clone();
    let (mut left, mut right) = (base.clone(), base.clone());
    let rows: Vec<_> = (0..60).map(|_| normals(&mut rng, 6)).collect();
    train(&mut left, &rows[..20]);
    train(&mut right, &rows[20..]);
    let added = left.add_arm().unwrap();
    left.update(added, &rows[0], 1.0, 1.0).unwrap();
    let mut delta = left.diff(&base).unwrap();
    delta.combine(&right.diff(&base).unwrap()).unwrap();
    assert_eq!(delta.updates(), 61);
    let sent: Delta = serde_json::from_str(&serde_json::to_string(&delta).unwrap()).unwrap();
    server.apply(&sent).unwrap();
    let mut whole = base.clone();
    train(&mut whole, &rows);
    let same = whole.add_arm().unwrap();
    whole.update(same, &rows[0], 1.0, 1.0).unwrap();
    assert_alike(&server, &whole, 1e-9);
}

#[test]
fn forgetting_once_keeps_the_prior() {
    for lambda in LAMBDAS {
        let mut policy = blank(4, lambda, false);
        let mut dense = Dense::new(4, lambda);
        let mut rng = rng(4);
        for round in 0..5 {
            for _ in 0..8 {
                let row = normals(&mut rng, 4);
                policy.update(ArmId::new(0), &row, row[1], 1.0).unwrap();
                dense.learn(&row, row[1], 1.0);
            }
            let decay = 0.5 + 0.1 * f64::from(round);
            policy.forget(decay).unwrap();
            dense.a = dense.a.clone() * decay + nalgebra::DMatrix::identity(4, 4) * ((1.0 - decay) * lambda);
            dense.b *= decay;
        }
        let context = normals(&mut rng, 4);
        let score = policy.score(ArmId::new(0), &context).unwrap();
        let (mean, width) = dense.mean_and_width(&context);
        assert_close(score.mean, mean, 1e-9, "mean");
        assert_close(score.width, width, 1e-9, "width");
    }
}

#[test]
fn a_sliding_window_unlearns_exactly() {
    for dimension in [3, 35] {
        let mut rng = rng(5);
        let rows: Vec<_> = (0..150).map(|_| normals(&mut rng, dimension)).collect();
        let (mut window, mut recent) = (blank(dimension, 1.0, false), blank(dimension, 1.0, false));
        for (round, row) in rows.iter().enumerate() {
            window.update(ArmId::new(0), row, row[0], 1.0).unwrap();
            if round >= 50 {
                let old = &rows[round - 50];
                window.unlearn(ArmId::new(0), old, old[0], 1.0).unwrap();
            }
        }
        rows[100..].iter().for_each(|row| recent.update(ArmId::new(0), row, row[0], 1.0).unwrap());
        assert_alike(&window, &recent, 1e-9);
        let before = window.state();
        let stranger = vec![100.0; dimension];
        let error = window.unlearn(ArmId::new(0), &stranger, 1.0, 1.0).unwrap_err();
        assert!(matches!(error, Error::NotPositiveDefinite { .. }));
        assert_eq!(window.state(), before);
    }
}

#[test]
fn unlike_policies_are_not_merged() {
    let mut policy = blank(3, 1.0, false);
    let before = policy.state();
    assert_eq!(
        policy.merge(&blank(4, 1.0, false)).unwrap_err(),
        Error::Unlike { what: "dimension", ours: 3.0, theirs: 4.0 }
    );
    assert_eq!(
        policy.merge(&blank(3, 2.0, false)).unwrap_err(),
        Error::Unlike { what: "prior precision", ours: 1.0, theirs: 2.0 }
    );
    let fading = LinUcb::new(3, 2, Ridge::default().with_decay(0.9), Ucb { alpha: 1.0 }).unwrap();
    assert!(matches!(policy.merge(&fading), Err(Error::Parameter { name: "decay", .. })));
    assert_eq!(policy.state(), before);
}

#[test]
fn laplace_posteriors_merge_to_something_near_the_whole() {
    let mut rng = rng(6);
    let rows: Vec<_> = (0..200).map(|_| normals(&mut rng, 3)).collect();
    let mut diagonal = Vec::new();
    let mut full = Vec::new();
    for part in [&rows[..], &rows[..100], &rows[100..]] {
        let mut one = Disjoint::new(3, 1, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
        let mut other = Disjoint::new(3, 1, FullLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
        for row in part {
            let reward = f64::from(u8::from(row[0] + 0.5 * row[1] > 0.2));
            one.update(ArmId::new(0), row, reward, 1.0).unwrap();
            other.update(ArmId::new(0), row, reward, 1.0).unwrap();
        }
        diagonal.push(one);
        full.push(other);
    }
    let (whole, right) = (diagonal.remove(0), diagonal.pop().unwrap());
    diagonal[0].merge(&right).unwrap();
    let (full_whole, full_right) = (full.remove(0), full.pop().unwrap());
    full[0].merge(&full_right).unwrap();
    for axis in 0..3 {
        let mut unit = [0.0; 3];
        unit[axis] = 1.0;
        let near = |left: dht_bandits::posterior::Score, right: dht_bandits::posterior::Score| {
            assert!((left.mean - right.mean).abs() < 0.5 && (left.width / right.width - 1.0).abs() < 0.3);
        };
        near(diagonal[0].score(ArmId::new(0), &unit).unwrap(), whole.score(ArmId::new(0), &unit).unwrap());
        near(full[0].score(ArmId::new(0), &unit).unwrap(), full_whole.score(ArmId::new(0), &unit).unwrap());
    }
}

/// Event in the history of a worker. Contexts are drawn from a seed.
#[derive(Debug, Clone, Copy)]
enum Event {
    Learn(u64, f64),
    Forget(f64),
    Merge(u64, usize),
    Window(u64),
    Save,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (any::<u64>(), 0.1f64..4.0).prop_map(|(seed, weight)| Event::Learn(seed, weight)),
        1 => (0.3f64..1.0).prop_map(Event::Forget),
        1 => (any::<u64>(), 0usize..8).prop_map(|(seed, rows)| Event::Merge(seed, rows)),
        1 => any::<u64>().prop_map(Event::Window),
        1 => Just(Event::Save),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn updates_merges_and_forgetting_equal_the_closed_form(
        events in prop::collection::vec(event(), 1..40),
        lambda in prop::sample::select(LAMBDAS.to_vec()),
        dimension in prop::sample::select(vec![1, 3, 8, 16, 19]),
        keep in any::<bool>(),
    ) {
        let arm = ArmId::new(1);
        let mut policy = blank(dimension, lambda, keep);
        let mut dense = Dense::new(dimension, lambda);
        for event in events {
            match event {
                Event::Learn(seed, weight) => {
                    let row = normals(&mut rng(seed), dimension);
                    policy.update(arm, &row, row[0] - 0.2, weight).unwrap();
                    dense.learn(&row, row[0] - 0.2, weight);
                }
                Event::Forget(decay) => {
                    policy.forget(decay).unwrap();
                    let prior = nalgebra::DMatrix::identity(dimension, dimension) * ((1.0 - decay) * lambda);
                    dense.a = dense.a * decay + prior;
                    dense.b *= decay;
                }
                Event::Merge(seed, rows) => {
                    let mut other = blank(dimension, lambda, !keep);
                    let mut generator = rng(seed);
                    for _ in 0..rows {
                        let row = normals(&mut generator, dimension);
                        other.update(arm, &row, row[0], 1.0).unwrap();
                        dense.learn(&row, row[0], 1.0);
                    }
                    policy.merge(&other).unwrap();
                }
                Event::Window(seed) => {
                    // An observation that is learned and removed leaves the policy as it was.
                    let row = normals(&mut rng(seed), dimension);
                    policy.update(arm, &row, 5.0, 1.0).unwrap();
                    policy.unlearn(arm, &row, 5.0, 1.0).unwrap();
                }
                Event::Save => {
                    policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
                }
            }
        }
        let context = normals(&mut rng(7), dimension);
        let score = policy.score(arm, &context).unwrap();
        let (mean, width) = dense.mean_and_width(&context);
        assert_close(score.mean, mean, 1e-7, "mean");
        assert_close(score.width, width, 1e-7, "width");
    }
}
