//! Hybrid and shared models, full Laplace posteriors, propensities, snapshots.

use dht_bandits::{
    ArmId, Error, LinTs, Policy, Request, Ridge, Thompson, Ucb,
    exploration::EpsilonGreedy,
    policy::{Disjoint, Feedback, Hybrid, Publisher, TopK},
    posterior::{DiagonalLaplace, FullLaplace, sigmoid},
};

use crate::support::{Dense, assert_close, featured, normals, rng};

#[test]
fn the_hybrid_model_is_one_ridge_regression_over_all_weights() {
    for (d, k) in [(3, 4), (9, 2), (34, 5), (2, 40)] {
        let (arms, lambda, shared_prior_precision) = (3, 0.5, 2.0);
        let hybrid = Hybrid::new(d, k, arms, lambda, Ucb { alpha: 1.0 }).unwrap();
        let mut hybrid = hybrid.with_shared_prior_precision(shared_prior_precision).unwrap();
        // Reference: one long vector of weights, first the shared weights, then those of each arm.
        let mut dense = Dense::new(k + arms * d, lambda);
        (0..k).for_each(|position| dense.a[(position, position)] = shared_prior_precision);
        let long = |arm: usize, context: &[f64], features: &[f64]| {
            let mut row = vec![0.0; k + arms * d];
            row[..k].copy_from_slice(features);
            row[k + arm * d..][..d].copy_from_slice(context);
            row
        };
        let mut rng = rng(1);
        for round in 0..60 {
            let (context, features) = (normals(&mut rng, d), normals(&mut rng, k));
            let (arm, reward, weight) = (round % arms, context[0] + features[1], 1.0 + 0.5 * (round % 2) as f64);
            hybrid.update(ArmId::new(arm as u64), &context, &features, reward, weight).unwrap();
            dense.learn(&long(arm, &context, &features), reward, weight);
        }
        for arm in 0..arms {
            let (context, features) = (normals(&mut rng, d), normals(&mut rng, k));
            let score = hybrid.score(ArmId::new(arm as u64), &context, &features).unwrap();
            let (mean, width) = dense.mean_and_width(&long(arm, &context, &features));
            assert_close(score.mean, mean, 1e-8, "mean");
            assert_close(score.width, width, 1e-8, "width");
        }
        let loaded: Hybrid<Ucb> = serde_json::from_str(&serde_json::to_string(&hybrid).unwrap()).unwrap();
        assert_eq!(loaded.state(), hybrid.state());
    }
}

#[test]
fn a_new_arm_of_a_hybrid_starts_from_the_shared_weights() {
    let mut hybrid = Hybrid::new(1, 2, 2, 1.0, Ucb { alpha: 0.1 }).unwrap();
    let mut rng = rng(2);
    for round in 0..200 {
        let features = normals(&mut rng, 2);
        hybrid.update(ArmId::new(round % 2), &[1.0], &features, 2.0 * features[0], 1.0).unwrap();
    }
    let new = hybrid.add_arm().unwrap();
    let score = hybrid.score(new, &[1.0], &[1.0, 0.0]).unwrap();
    assert!((score.mean - 2.0).abs() < 0.1);
    hybrid.remove_arm(ArmId::new(0)).unwrap();
    let arms = [new, ArmId::new(1)];
    let choice = hybrid.select(&featured(&[1.0], &arms, &[1.0, 0.0, -1.0, 0.0]), &mut rng).unwrap();
    assert_eq!(choice.arm, new);
}

#[test]
fn a_late_decision_of_a_hybrid_is_learned_alike() {
    let arms = [0, 1, 2].map(ArmId::new);
    let mut late = Hybrid::new(2, 3, 3, 1.0, Ucb { alpha: 0.5 }).unwrap();
    let mut direct = late.clone();
    let mut rng = rng(7);
    let (context, features) = (normals(&mut rng, 2), normals(&mut rng, 9));
    let decision = late.decide(&featured(&context, &arms, &features), &mut rng).unwrap();
    late.learn(&serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap(), 1.0).unwrap();
    let row = &features[3 * decision.arm().number() as usize..][..3];
    direct.update(decision.arm(), &context, row, 1.0, 1.0).unwrap();
    assert_eq!(late.state(), direct.state());
    let twin = late.add_arm_like(decision.arm()).unwrap();
    assert_eq!(late.score(twin, &context, row), late.score(decision.arm(), &context, row));
    late.expire_decisions().unwrap();
    let before = late.state();
    assert_eq!(late.learn(&decision, 1.0), Err(Error::StaleDecision { made_in: 0, epoch: 1 }));
    let mut short = late.decide(&featured(&context, &arms, &features), &mut rng).unwrap();
    short.context.pop();
    let refused = Error::Dimension { what: "context and features", expected: 5, got: 4 };
    assert_eq!(late.learn(&short, 1.0), Err(refused));
    assert_eq!(late.state(), before);
}

#[test]
fn an_epsilon_greedy_hybrid_explores_as_often_as_it_says() {
    let mut policy = Hybrid::new(1, 1, 4, 1.0, EpsilonGreedy::new(0.2)).unwrap();
    policy.update(ArmId::new(2), &[1.0], &[0.0], 1.0, 1.0).unwrap();
    let arms = [0, 1, 2, 3].map(ArmId::new);
    let mut rng = rng(8);
    let mut greedy = 0u32;
    for _ in 0..10_000 {
        let choice = policy.select(&featured(&[1.0], &arms, &[0.0].repeat(arms.len())), &mut rng).unwrap();
        let best = choice.arm == ArmId::new(2);
        assert!((choice.propensity.unwrap() - if best { 0.85 } else { 0.05 }).abs() < 1e-12);
        greedy += u32::from(best);
    }
    // The standard deviation is 36: the tolerance is five deviations.
    assert!(greedy.abs_diff(8500) < 180, "{greedy}");
}

#[test]
fn a_shared_ridge_takes_real_valued_rewards() {
    let mut policy = TopK::shared(2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut dense = Dense::new(2, 1.0);
    let mut rng = rng(9);
    let arms = [4, 5].map(ArmId::new);
    for round in 0..20 {
        let contexts = normals(&mut rng, 4);
        let slate = policy.select_slate(2, &featured(&[], &arms, &contexts), &mut rng).unwrap();
        let rewards = [f64::from(round) - 3.0, 0.25 * f64::from(round)];
        for (choice, reward) in slate.choices().iter().zip(rewards) {
            let row = (choice.arm.number() - 4) as usize;
            dense.learn(&contexts[2 * row..][..2], reward, 1.0);
        }
        policy.learn_slate(&slate, &rewards.map(Feedback::Observed)).unwrap();
    }
    let score = policy.score(ArmId::new(9), &[0.3, -0.7]).unwrap();
    let (mean, width) = dense.mean_and_width(&[0.3, -0.7]);
    assert_close(score.mean, mean, 1e-10, "mean");
    assert_close(score.width, width, 1e-10, "width");
    let mut logistic = TopK::shared(2, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
    let slate = logistic.select_slate(2, &featured(&[], &arms, &[0.1, 0.2, 0.3, 0.4]), &mut rng).unwrap();
    let before = logistic.state();
    let refused = logistic.learn_slate(&slate, &[Feedback::from(true), Feedback::Observed(1.5)]).unwrap_err();
    assert_eq!(refused, Error::Reward { reward: 1.5, low: 0.0, high: 1.0 });
    assert_eq!(logistic.state(), before);
}

#[test]
fn a_shared_ridge_learns_from_every_candidate_alike() {
    let mut policy = TopK::shared(3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut rng = rng(3);
    let arms = [10, 20, 30].map(ArmId::new);
    for _ in 0..100 {
        let contexts = normals(&mut rng, 9);
        let slate = policy.select_slate(1, &featured(&[], &arms, &contexts), &mut rng).unwrap();
        let position = arms.iter().position(|arm| *arm == slate.choices()[0].arm).unwrap();
        policy.learn_slate(&slate, &[Feedback::from(contexts[3 * position] > 0.0)]).unwrap();
    }
    let slope = policy.score(ArmId::new(77), &[1.0, 0.0, 0.0]).unwrap().mean;
    let other = policy.score(ArmId::new(77), &[0.0, 1.0, 0.0]).unwrap().mean;
    assert!(slope > 0.3 && other.abs() < 0.2, "{slope} {other}");
}

#[test]
fn one_logistic_update_gives_the_mode_and_its_curvature() {
    for dimension in [2, 40] {
        let mut policy = Disjoint::new(dimension, 1, FullLaplace::new(0.5), Thompson { alpha: 1.0 }).unwrap();
        let mut rng = rng(4);
        let context = normals(&mut rng, dimension);
        policy.update(ArmId::new(0), &context, 1.0, 1.0).unwrap();
        // From the prior, the mode is c·x/λ with c = 1 − σ(c·|x|²/λ), solved here by bisection.
        let square: f64 = context.iter().map(|value| value * value).sum::<f64>() / 0.5;
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if middle < 1.0 - sigmoid(middle * square) {
                low = middle;
            } else {
                high = middle;
            }
        }
        let score = policy.score(ArmId::new(0), &context).unwrap();
        assert_close(score.mean, low * square, 1e-12, "mean");
        let added = sigmoid(score.mean) * sigmoid(-score.mean);
        assert_close(score.width, (square / (1.0 + added * square)).sqrt(), 1e-12, "width");
    }
}

#[test]
fn a_saturated_logistic_policy_stays_finite() {
    let mut policy = Disjoint::new(3, 1, FullLaplace::new(1e-9), Thompson { alpha: 1.0 }).unwrap();
    for round in 0..200 {
        policy.update(ArmId::new(0), &[1e6, 1e3, f64::from(round)], 1.0, 1e6).unwrap();
    }
    policy.update(ArmId::new(0), &[1e6, 1e3, 3.0], 0.0, 1.0).unwrap();
    let score = policy.score(ArmId::new(0), &[1.0, 1.0, 1.0]).unwrap();
    assert!(score.mean.is_finite() && score.width.is_finite() && score.width > 0.0);
}

#[test]
fn propensities_sum_to_one_and_match_the_two_arm_closed_form() {
    let mut policy = LinTs::new(2, 2, Ridge::default(), Thompson { alpha: 0.7 }).unwrap();
    policy.update(ArmId::new(0), &[1.0, 0.5], 1.0, 1.0).unwrap();
    let context = [0.8, 0.3];
    let propensities = policy.propensities(&Request::new(&context)).unwrap();
    assert!((propensities.iter().map(|arm| arm.probability).sum::<f64>() - 1.0).abs() < 1e-12);
    // P(s₀ > s₁) = Φ((m₀ − m₁)/√(v₀ + v₁)); Φ by Simpson's rule.
    let scores = [0, 1].map(|arm| policy.score(ArmId::new(arm), &context).unwrap());
    let z = (scores[0].mean - scores[1].mean) / (0.7 * scores[0].width.hypot(scores[1].width));
    let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
    let steps = 200;
    let h = z / f64::from(steps);
    let simpson: f64 = (0..steps)
        .map(|i| {
            let t = h * f64::from(i);
            h / 6.0 * (density(t) + 4.0 * density(t + 0.5 * h) + density(t + h))
        })
        .sum();
    assert!((propensities[0].probability - 0.5 - simpson).abs() < 1e-10);
    // The decision has the same propensity.
    let decision = policy.decide(&Request::new(&context), &mut rng(5)).unwrap();
    let chosen = propensities.iter().find(|entry| entry.arm == decision.arm()).unwrap();
    assert_eq!(decision.choice.propensity, Some(chosen.probability));
}

#[test]
fn readers_see_what_was_published_and_nothing_in_between() {
    let policy = LinTs::new(2, 2, Ridge::default(), Thompson { alpha: 1.0 }).unwrap();
    let mut writer = Publisher::new(policy, 3);
    let mut reader = writer.reader();
    for round in 1..=7u64 {
        writer.change(|policy| policy.update(ArmId::new(0), &[1.0, 0.0], 1.0, 1.0)).unwrap();
        assert_eq!(reader.latest().version(), round / 3 * 3);
    }
    let snapshot = reader.snapshot();
    writer.publish();
    assert_eq!(reader.latest().version(), 7);
    assert_eq!(snapshot.version(), 6);
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let mut reader = writer.reader();
            std::thread::spawn(move || {
                let mut generator = rng(seed);
                (0..200).all(|_| reader.latest().select(&Request::new(&[1.0, 1.0]), &mut generator).is_ok())
            })
        })
        .collect();
    for _ in 0..100 {
        writer.change(|policy| policy.update(ArmId::new(1), &[0.0, 1.0], 1.0, 1.0)).unwrap();
    }
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}
