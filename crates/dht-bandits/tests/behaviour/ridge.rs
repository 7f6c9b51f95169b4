//! LinUCB against ridge regression by dense inversion.

use dht_bandits::{ArmId, Error, LinUcb, Policy, Request, Ridge, Ucb};

use crate::support::{Dense, assert_close, normals, rng};

fn learner(dimension: usize, arms: usize, lambda: f64) -> LinUcb {
    LinUcb::new(dimension, arms, Ridge::new(lambda), Ucb { alpha: 1.0 }).unwrap()
}

#[test]
fn ridge_mean_and_width_equal_the_closed_form() {
    for lambda in [0.01, 1.0, 100.0] {
        // The dimensions cover every shape of the last and the first panel.
        for dimension in [1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 33, 64, 65] {
            let mut rng = rng(dimension as u64);
            let mut policy = learner(dimension, 2, lambda);
            let mut dense = [Dense::new(dimension, lambda), Dense::new(dimension, lambda)];
            for round in 0..3 * dimension + 5 {
                let context = normals(&mut rng, dimension);
                let arm = round % 2;
                let (reward, weight) = (context[0] + 0.1 * round as f64, 0.5 + (round % 3) as f64);
                policy.update(ArmId::new(arm as u64), &context, reward, weight).unwrap();
                dense[arm].learn(&context, reward, weight);
            }
            for (arm, dense) in dense.iter().enumerate() {
                let context = normals(&mut rng, dimension);
                let score = policy.score(ArmId::new(arm as u64), &context).unwrap();
                let (mean, width) = dense.mean_and_width(&context);
                assert_close(score.mean, mean, 1e-9, "mean");
                assert_close(score.width, width, 1e-9, "width");
            }
        }
    }
}

#[test]
fn a_new_arm_has_the_width_of_the_prior_for_every_precision() {
    for lambda in [0.01, 1.0, 100.0] {
        let policy = learner(3, 1, lambda);
        let score = policy.score(ArmId::new(0), &[1.0, 2.0, 2.0]).unwrap();
        assert_eq!(score.mean, 0.0);
        assert_close(score.width, 3.0 / f64::sqrt(lambda), 1e-15, "width");
    }
}

#[test]
fn a_weight_of_two_is_two_observations() {
    let (mut once, mut twice) = (learner(5, 1, 1.0), learner(5, 1, 1.0));
    let mut rng = rng(1);
    for _ in 0..20 {
        let context = normals(&mut rng, 5);
        once.update(ArmId::new(0), &context, 0.3, 2.0).unwrap();
        twice.update(ArmId::new(0), &context, 0.3, 1.0).unwrap();
        twice.update(ArmId::new(0), &context, 0.3, 1.0).unwrap();
    }
    let context = normals(&mut rng, 5);
    let (once, twice) = (once.score(ArmId::new(0), &context).unwrap(), twice.score(ArmId::new(0), &context).unwrap());
    assert_close(once.mean, twice.mean, 1e-12, "mean");
    assert_close(once.width, twice.width, 1e-12, "width");
}

#[test]
fn the_order_of_coordinates_does_not_matter() {
    let order = [3, 0, 5, 1, 4, 2];
    let permute = |context: &[f64]| order.map(|from| context[from]).to_vec();
    let (mut plain, mut permuted) = (learner(6, 1, 0.5), learner(6, 1, 0.5));
    let mut rng = rng(2);
    for _ in 0..40 {
        let context = normals(&mut rng, 6);
        plain.update(ArmId::new(0), &context, context[1], 1.0).unwrap();
        permuted.update(ArmId::new(0), &permute(&context), context[1], 1.0).unwrap();
    }
    let context = normals(&mut rng, 6);
    let plain = plain.score(ArmId::new(0), &context).unwrap();
    let permuted = permuted.score(ArmId::new(0), &permute(&context)).unwrap();
    assert_close(permuted.mean, plain.mean, 1e-11, "mean");
    assert_close(permuted.width, plain.width, 1e-11, "width");
}

#[test]
fn forgetting_keeps_the_prior() {
    let (dimension, gamma, lambda) = (5, 0.9, 2.0);
    let options = Ridge::new(lambda).with_decay(gamma);
    let mut policy = LinUcb::new(dimension, 1, options, Ucb { alpha: 1.0 }).unwrap();
    let mut dense = Dense::new(dimension, lambda);
    let mut rng = rng(3);
    for round in 0..60 {
        let context = normals(&mut rng, dimension);
        policy.update(ArmId::new(0), &context, context[2], 1.0).unwrap();
        dense.a *= gamma;
        dense.b *= gamma;
        dense.learn(&context, context[2], 1.0);
        let turn = round % dimension;
        dense.a[(turn, turn)] += (1.0 - gamma.powi(dimension as i32)) * lambda;
    }
    let context = normals(&mut rng, dimension);
    let score = policy.score(ArmId::new(0), &context).unwrap();
    let (mean, width) = dense.mean_and_width(&context);
    assert_close(score.mean, mean, 1e-10, "mean");
    assert_close(score.width, width, 1e-10, "width");
    // A direction that never occurs again keeps the prior. Its width stays within the prior's, except during one cycle
    // of the coordinates.
    for _ in 0..400 {
        policy.update(ArmId::new(0), &[1.0, 0.0, 0.0, 0.0, 0.0], 0.5, 1.0).unwrap();
    }
    let width = policy.score(ArmId::new(0), &[0.0, 0.0, 0.0, 0.0, 1.0]).unwrap().width;
    let least = lambda * gamma.powi(dimension as i32);
    assert!(width <= (1.0 / least).sqrt() && width >= (1.0 / lambda).sqrt() * 0.999, "{width}");
}

#[test]
fn a_refused_update_leaves_every_bit_as_it_was() {
    let mut policy = learner(3, 2, 1.0);
    policy.update(ArmId::new(0), &[0.1, 0.2, 0.3], 1.0, 1.0).unwrap();
    policy.remove_arm(ArmId::new(1)).unwrap();
    let before = serde_json::to_string(&policy).unwrap();
    let good = [1.0, 2.0, 3.0];
    let refusals = [
        (ArmId::new(0), vec![1.0, f64::NAN, 0.0], 1.0, 1.0),
        (ArmId::new(0), vec![f64::INFINITY, 0.0, 0.0], 1.0, 1.0),
        (ArmId::new(0), vec![1.0; 4], 1.0, 1.0),
        (ArmId::new(0), good.to_vec(), f64::NAN, 1.0),
        (ArmId::new(0), good.to_vec(), 1.0, 0.0),
        (ArmId::new(0), good.to_vec(), 1.0, -1.0),
        (ArmId::new(0), good.to_vec(), 1.0, f64::NAN),
        (ArmId::new(0), vec![1e300; 3], 1.0, 1.0),
        (ArmId::new(1), good.to_vec(), 1.0, 1.0),
        (ArmId::new(7), good.to_vec(), 1.0, 1.0),
    ];
    let mut seen = Vec::new();
    for (arm, context, reward, weight) in refusals {
        seen.push(policy.update(arm, &context, reward, weight).unwrap_err());
        assert_eq!(serde_json::to_string(&policy).unwrap(), before);
    }
    assert!(matches!(seen[0], Error::NotFinite { what: "context", index: 1, .. }));
    assert_eq!(seen[2], Error::Dimension { what: "context", expected: 3, got: 4 });
    assert_eq!(seen[4], Error::Weight { weight: 0.0 });
    assert_eq!(seen[8], Error::RemovedArm { arm: ArmId::new(1) });
    assert_eq!(seen[9], Error::UnknownArm { arm: ArmId::new(7) });
    let error = policy.select(&Request::new(&[1.0, f64::NAN, 0.0]), &mut rng(0)).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }));
}

#[test]
fn settings_out_of_range_are_refused_with_their_names() {
    let refused = |options, alpha| LinUcb::new(2, 2, options, Ucb { alpha }).unwrap_err();
    let name = |error| match error {
        Error::Parameter { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(name(refused(Ridge::new(0.0), 1.0)), "prior_precision");
    assert_eq!(name(refused(Ridge::new(f64::INFINITY), 1.0)), "prior_precision");
    assert_eq!(name(refused(Ridge::default(), -0.1)), "alpha");
    assert_eq!(name(refused(Ridge::default().with_decay(1.1), 1.0)), "decay");
    assert_eq!(name(refused(Ridge::default().with_decay(0.0), 1.0)), "decay");
    assert_eq!(name(LinUcb::new(0, 2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap_err()), "dimension");
}
