//! Learned noise: normal-inverse-gamma posteriors of linear Thompson sampling.

use dht_bandits::{
    ArmId, Error, Policy, Request, Thompson, Ucb,
    policy::{Disjoint, TopK},
    posterior::NormalInverseGamma,
};

use crate::support::{Dense, assert_close, normals, rng};

const OPTIONS: NormalInverseGamma = NormalInverseGamma::new(0.5).with_shape(2.0).with_rate(0.3);

#[test]
fn mean_width_and_noise_are_those_of_the_batch_formula() {
    // a_n = a₀ + Σw/2; b_n = b₀ + ½(Σwr² − θ'Aθ), by a dense solve of all observations at once.
    let mut rng = rng(1);
    let mut policy = Disjoint::new(4, 1, OPTIONS, Thompson { alpha: 1.0 }).unwrap();
    let (mut dense, mut squares, mut weights) = (Dense::new(4, 0.5), 0.0, 0.0);
    for round in 0..40 {
        let context = normals(&mut rng, 4);
        let (reward, weight) =
            (3.0 * context[0] - context[2] + 0.1 * normals(&mut rng, 1)[0], 0.5 + f64::from(round % 3));
        policy.update(ArmId::new(0), &context, reward, weight).unwrap();
        dense.learn(&context, reward, weight);
        squares += weight * reward * reward;
        weights += weight;
        let theta = dense.a.clone().lu().solve(&dense.b).unwrap();
        let rate = 0.3 + 0.5 * (squares - theta.dot(&dense.b));
        let shape = 2.0 + 0.5 * weights;
        let context = normals(&mut rng, 4);
        let (mean, width) = dense.mean_and_width(&context);
        let score = policy.score(ArmId::new(0), &context).unwrap();
        assert_close(score.mean, mean, 1e-10, "mean");
        assert_close(score.width, width * (rate / shape).sqrt(), 1e-8, "width");
    }
}

#[test]
fn the_width_learns_the_noise_whatever_the_scale_of_rewards() {
    for scale in [1e-3, 1.0, 1e3] {
        let mut rng = rng(2);
        let options = NormalInverseGamma::new(1e-3).with_shape(1.0).with_rate(1e-9);
        let mut policy = Disjoint::<NormalInverseGamma, _>::new(2, 1, options, Ucb { alpha: 1.0 }).unwrap();
        for _ in 0..4000 {
            let context = [1.0, normals(&mut rng, 1)[0]];
            let reward = scale * (0.7 - context[1] + 0.25 * normals(&mut rng, 1)[0]);
            policy.update(ArmId::new(0), &context, reward, 1.0).unwrap();
        }
        // The deviation of a mean of 4,000 draws is .25·scale/√4000; the tolerance is five of its own deviations of 1.1
        // %.
        let width = policy.score(ArmId::new(0), &[1.0, 0.0]).unwrap().width;
        assert_close(width, 0.25 * scale / 4000f64.sqrt(), 0.06, "width");
    }
}

#[test]
fn draws_are_students_t_and_propensities_say_so() {
    let mut rng = rng(3);
    let mut policy = Disjoint::new(2, 3, NormalInverseGamma::default(), Thompson { alpha: 1.0 }).unwrap();
    for (arm, reward) in [(0, 1.0), (0, 0.4), (1, 0.2), (2, -3.0)] {
        policy.update(ArmId::new(arm), &[1.0, 0.5], reward, 1.0).unwrap();
    }
    let request = Request::new(&[1.0, -0.2]);
    let propensities = policy.propensities(&request).unwrap();
    assert!((propensities.iter().map(|entry| entry.probability).sum::<f64>() - 1.0).abs() < 1e-9);
    let draws = 40_000;
    let mut counts = [0u32; 3];
    for _ in 0..draws {
        counts[policy.select(&request, &mut rng).unwrap().arm.number() as usize] += 1;
    }
    for (entry, count) in propensities.iter().zip(counts) {
        let (p, n) = (entry.probability, f64::from(draws));
        let gap = (f64::from(count) - n * p).abs();
        assert!(gap < 5.0 * (n * p * (1.0 - p)).sqrt(), "{entry:?} {count}");
    }
    // A batch of contexts draws the same values, and a loaded policy continues with the same values.
    let mut batch = dht_bandits::policy::ChoiceBatch::default();
    let (mut left, mut right) = (rng.clone(), rng.clone());
    let rows = [1.0, -0.2].repeat(5);
    policy.select_batch(&Request::new(&rows), &mut left, &mut batch).unwrap();
    let again: Disjoint<NormalInverseGamma, Thompson> =
        serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
    for choice in batch.choices() {
        assert_eq!(again.select(&request, &mut right).unwrap(), *choice);
    }
}

#[test]
fn what_learned_noise_cannot_do_is_refused() {
    let thompson = Thompson { alpha: 1.0 };
    assert!(matches!(TopK::<NormalInverseGamma, _>::shared(2, OPTIONS, thompson), Err(Error::Settings { .. })));
    let mut slates = TopK::<NormalInverseGamma, _>::per_arm(2, 3, OPTIONS, thompson).unwrap();
    let chosen = slates.decide_slate(2, &Request::new(&[1.0, 0.5]), &mut rng(4)).unwrap();
    // Three equal arms: each is among the first two with probability 2/3.
    assert!(chosen.choices().iter().all(|choice| (choice.propensity.unwrap() - 2.0 / 3.0).abs() < 1e-9));
    Policy::update(&mut slates, ArmId::new(0), &[1.0, 0.5], 1.0, 1.0).unwrap();
    let mut policy = Disjoint::new(2, 2, OPTIONS, thompson).unwrap();
    let (before, other) = (policy.state(), policy.clone());
    assert!(matches!(policy.merge(&other), Err(Error::Settings { .. })));
    assert!(policy.update(ArmId::new(0), &[1.0, 1.0], 1e200, 1.0).is_err());
    assert_eq!(policy.state(), before);
    for options in [OPTIONS.with_shape(0.5), OPTIONS.with_rate(0.0), OPTIONS.with_prior_precision(f64::NAN)] {
        assert!(matches!(Disjoint::new(2, 2, options, thompson), Err(Error::Parameter { .. })));
    }
}

#[test]
fn learned_noise_forgets_toward_its_prior() {
    let mut policy = Disjoint::new(1, 1, OPTIONS, Thompson { alpha: 1.0 }).unwrap();
    let (arm, context) = (ArmId::new(0), [1.0]);
    let prior = policy.score(arm, &context).unwrap();
    for round in 0..400 {
        policy.update(arm, &context, 5.0 + 0.1 * f64::from(round % 2), 1.0).unwrap();
    }
    let learned = policy.score(arm, &context).unwrap();
    assert!(learned.width < 0.1 * prior.width);
    // Evidence of 400 rewards, of 4 rewards, and of none.
    policy.forget(0.01).unwrap();
    let faded = policy.score(arm, &context).unwrap();
    assert!(faded.width > 2.0 * learned.width && faded.width < prior.width, "{faded:?}");
    policy.forget(1e-12).unwrap();
    let gone = policy.score(arm, &context).unwrap();
    assert!((gone.width / prior.width - 1.0).abs() < 1e-6 && gone.mean.abs() < 1e-6, "{gone:?}");
}
