//! Ridge regressions with a shared clock, compared with a dense ridge regression with discounted sums.

use dht_bandits::{
    ArmId, Error, Observation, Policy as _, Request, Thompson, Ucb,
    policy::Disjoint,
    posterior::{DecayClock, DiscountedRidge, Score},
};
use nalgebra::{DMatrix, DVector};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

type Policy = Disjoint<DiscountedRidge, Ucb>;

fn policy(decay: f64, clock: DecayClock) -> Policy {
    let forgetting = decay;
    let options = DiscountedRidge::new(forgetting).with_prior_precision(0.5).with_clock(clock);
    Policy::new(3, 4, options, Ucb { alpha: 1.0 }).unwrap_or_else(|error| unreachable!("{error}"))
}

fn context<R: Rng + ?Sized>(rng: &mut R) -> [f64; 3] {
    [1.0, rng.random::<f64>() - 0.5, rng.random::<f64>() * 2.0]
}

/// A and b without the prior, which is added in full.
#[derive(Clone)]
struct Dense {
    a: DMatrix<f64>,
    b: DVector<f64>,
}

impl Dense {
    fn new() -> Self {
        Self { a: DMatrix::zeros(3, 3), b: DVector::zeros(3) }
    }

    fn fade(&mut self, decay: f64) {
        self.a *= decay;
        self.b *= decay;
    }

    fn learn(&mut self, context: &[f64], reward: f64) {
        let x = DVector::from_column_slice(context);
        self.a += &x * x.transpose();
        self.b += x * reward;
    }

    fn score(&self, context: &[f64]) -> (f64, f64) {
        let x = DVector::from_column_slice(context);
        let whole = self.a.clone() + DMatrix::identity(3, 3) * 0.5;
        let solved = whole.lu().solve(&x).unwrap_or_default();
        (solved.dot(&self.b), solved.dot(&x).sqrt())
    }
}

fn scores(policy: &Policy, context: &[f64]) -> Vec<Score> {
    (0..4)
        .map(|arm| policy.score(ArmId::new(arm), context).unwrap_or(Score { mean: f64::NAN, width: f64::NAN }))
        .collect()
}

#[test]
fn with_its_prior_restored_every_arm_is_the_discounted_ridge() {
    for decay in [0.999, 0.9, 0.3] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut policy = policy(decay, DecayClock::Updates);
        let mut dense = vec![Dense::new(); 4];
        for round in 0..300 {
            let x = context(&mut rng);
            // Some arms are not updated for a long time.
            let arm = if round < 150 { round % 2 } else { 2 + usize::from(round % 10 == 0) };
            let reward = x[1] * arm as f64 + 0.1;
            policy.update(ArmId::new(arm as u64), &x, reward, 1.0).unwrap();
            dense.iter_mut().for_each(|dense| dense.fade(decay));
            dense[arm].learn(&x, reward);
            if round % 37 == 0 || round == 299 {
                policy.forget(1.0).unwrap();
                for (score, dense) in scores(&policy, &x).iter().zip(&dense) {
                    let (mean, width) = dense.score(&x);
                    assert!((score.mean - mean).abs() < 1e-9, "{decay} {round}: {} {mean}", score.mean);
                    assert!((score.width - width).abs() < 1e-9 * width, "{decay} {round}: {} {width}", score.width);
                }
            }
        }
    }
}

#[test]
fn between_restorations_at_least_half_of_the_prior_is_left() {
    // With half of the prior, widths are at least those with the whole prior, and at most √2 times as large.
    let (decay, mut rng) = (0.95, ChaCha8Rng::seed_from_u64(2));
    let mut policy = policy(decay, DecayClock::Updates);
    let mut dense = vec![Dense::new(); 4];
    for round in 0..400usize {
        let x = context(&mut rng);
        let arm = round % 3;
        policy.update(ArmId::new(arm as u64), &x, 0.3, 1.0).unwrap();
        dense.iter_mut().for_each(|dense| dense.fade(decay));
        dense[arm].learn(&x, 0.3);
        let (_, width) = dense[arm].score(&x);
        let score = policy.score(ArmId::new(arm as u64), &x).unwrap();
        assert!(
            score.width >= width * (1.0 - 1e-12) && score.width <= width * 1.4143,
            "{round}: {} {width}",
            score.width
        );
    }
}

#[test]
fn an_arm_that_nobody_chooses_grows_uncertain_up_to_the_prior() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut policy = policy(0.9, DecayClock::Updates);
    for _ in 0..50 {
        policy.update(ArmId::new(0), &context(&mut rng), 1.0, 1.0).unwrap();
    }
    let x = [1.0, 0.2, 0.7];
    let prior = (x.iter().map(|value| value * value).sum::<f64>() / 0.5).sqrt();
    let mut before = policy.score(ArmId::new(0), &x).unwrap();
    for step in 1..200 {
        policy.update(ArmId::new(1), &context(&mut rng), 1.0, 1.0).unwrap();
        let now = policy.score(ArmId::new(0), &x).unwrap();
        let expected = (before.width / 0.9f64.sqrt()).min(prior);
        assert!((now.width - expected).abs() < 1e-9 && now.mean == before.mean, "{step}: {} {expected}", now.width);
        before = now;
    }
    assert!((before.width - prior).abs() < 1e-12);
    // The score of a batch equals that of a choice.
    let choice = policy.select(&Request::new(&x).only(&[ArmId::new(0)]), &mut rng).unwrap();
    assert_eq!((choice.mean, choice.width), (before.mean, before.width));
}

#[test]
fn time_passes_by_itself_and_only_where_it_is_the_clock() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut split = policy(0.8, DecayClock::Time);
    let mut dense = vec![Dense::new(); 4];
    for round in 0..60usize {
        let (x, arm, time) = (context(&mut rng), round % 4, rng.random::<f64>() * 3.0);
        split.elapse(0.25 * time).unwrap();
        split.elapse(0.75 * time).unwrap();
        split.update(ArmId::new(arm as u64), &x, 0.5, 1.0).unwrap();
        dense.iter_mut().for_each(|dense| dense.fade(0.8f64.powf(time)));
        dense[arm].learn(&x, 0.5);
    }
    split.forget(1.0).unwrap();
    let x = [1.0, 0.1, 0.9];
    for (score, dense) in scores(&split, &x).iter().zip(&dense) {
        let (mean, width) = dense.score(&x);
        assert!((score.mean - mean).abs() < 1e-9 && (score.width - width).abs() < 1e-9, "{score:?} {mean} {width}");
    }
    let before = split.state();
    for time in [-1.0, f64::NAN, f64::INFINITY, 1e16] {
        assert!(split.elapse(time).is_err());
    }
    assert_eq!(split.state(), before);
    assert!(policy(0.8, DecayClock::Updates).elapse(1.0).is_err());
    // After a very long time no evidence remains, only the prior.
    split.elapse(1e12).unwrap();
    split.update(ArmId::new(0), &x, 2.0, 1.0).unwrap();
    let mut fresh = Dense::new();
    fresh.learn(&x, 2.0);
    let score = split.score(ArmId::new(0), &x).unwrap();
    assert!((score.mean - fresh.score(&x).0).abs() < 1e-12 && (score.width - fresh.score(&x).1).abs() < 1e-12);
}

#[test]
fn a_saved_policy_resumes_to_the_bit_and_bad_clocks_are_errors() {
    for clock in [DecayClock::Updates, DecayClock::Time] {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut policy = policy(0.9, clock);
        let go_on = |policy: &mut Policy, rng: &mut ChaCha8Rng| {
            for _ in 0..40 {
                let x = context(rng);
                if clock == DecayClock::Time {
                    policy.elapse(rng.random::<f64>()).unwrap();
                }
                let choice = policy.select(&Request::new(&x), rng).unwrap();
                policy.update(choice.arm, &x, x[1], 1.0).unwrap();
            }
        };
        go_on(&mut policy, &mut rng);
        let text = serde_json::to_string(&policy).unwrap();
        let mut restored: Policy = serde_json::from_str(&text).unwrap();
        go_on(&mut policy, &mut rng.clone());
        go_on(&mut restored, &mut rng);
        assert_eq!(policy.state(), restored.state());
        for damage in [
            ("\"now\":", "\"now\":1e9,\"then\":"),
            ("\"updated\":", "\"updated\":-"),
            ("\"restored\":", "\"restored\":9"),
        ] {
            assert!(serde_json::from_str::<Policy>(&text.replacen(damage.0, damage.1, 1)).is_err(), "{damage:?}");
        }
    }
}

#[test]
fn a_batch_that_is_refused_leaves_arms_and_clock_as_they_were() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut policy = policy(0.7, DecayClock::Updates);
    let mut observations = Vec::new();
    for _ in 0..20 {
        let x = context(&mut rng);
        observations.push(Observation::new(policy.decide(&Request::new(&x), &mut rng).unwrap(), 0.2));
    }
    policy.learn_batch(&observations).unwrap();
    let before = policy.state();
    observations[13].decision.context = vec![1e99, 1e99, 1e99];
    observations[13].reward = 1e100;
    assert!(policy.learn_batch(&observations).is_err());
    assert_eq!(policy.state(), before);
    observations.truncate(13);
    policy.learn_batch(&observations).unwrap();
    assert_eq!(policy.version(), 33);
}

#[test]
fn evidence_that_fades_is_not_merged() {
    let (mut left, right) = (policy(0.9, DecayClock::Updates), policy(0.9, DecayClock::Updates));
    assert!(matches!(left.merge(&right), Err(Error::Parameter { name: "decay", .. })));
}

#[test]
fn idle_arms_draw_no_wilder_than_the_prior() {
    let options = DiscountedRidge::new(0.9).with_prior_precision(0.5);
    let mut policy: Disjoint<DiscountedRidge, Thompson> =
        Disjoint::new(3, 2, options, Thompson { alpha: 1.0 }).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..500 {
        policy.update(ArmId::new(u64::from(round > 20)), &context(&mut rng), 0.0, 1.0).unwrap();
    }
    let x = [1.0, 0.0, 0.0];
    // N(0, 1/λ) has deviation 1.41, and the mean of |draws| is 1.13.
    let mean = (0..4000)
        .map(|_| policy.select(&Request::new(&x).only(&[ArmId::new(0)]), &mut rng).unwrap().score.abs())
        .sum::<f64>()
        / 4000.0;
    assert!((mean - 1.128).abs() < 0.07, "{mean}");
}

#[test]
fn a_reset_policy_is_new_but_for_its_arms_and_clock() {
    let mut policy = policy(0.9, DecayClock::Updates);
    let only = [ArmId::new(0)];
    let decision =
        policy.decide(&Request::new(&[1.0, 0.0, 0.0]).only(&only), &mut ChaCha8Rng::seed_from_u64(8)).unwrap();
    policy.update(ArmId::new(1), &[1.0, 0.5, 0.0], 1.0, 1.0).unwrap();
    policy.remove_arm(ArmId::new(3)).unwrap();
    policy.reset();
    assert_eq!((policy.version(), policy.arms().len()), (1, 3));
    let score = policy.score(ArmId::new(1), &[1.0, 0.0, 0.0]).unwrap();
    assert_eq!((score.mean, score.width), (0.0, 2f64.sqrt()));
    policy.learn(&decision, 1.0).unwrap();
}

#[test]
fn a_batch_under_a_clock_equals_its_rows_in_sequence() {
    for clock in [DecayClock::Updates, DecayClock::Time] {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let (mut together, mut in_turn) = (policy(0.7, clock), policy(0.7, clock));
        for batch in 0..20 {
            let observations: Vec<_> = (0..17u64)
                .map(|row| {
                    let x = context(&mut rng);
                    let arms = [ArmId::new((row * 7 + batch) % 4)];
                    let decision = together.decide(&Request::new(&x).only(&arms), &mut rng).unwrap();
                    Observation { decision, reward: x[1] + row as f64, weight: 1.0 + x[2] }
                })
                .collect();
            together.learn_batch(&observations).unwrap();
            for Observation { decision, reward, weight } in &observations {
                in_turn.update(decision.arm(), &decision.context, *reward, *weight).unwrap();
            }
            assert_eq!(together.state(), in_turn.state(), "{clock:?} {batch}");
            if clock == DecayClock::Time {
                together.elapse(0.5).unwrap();
                in_turn.elapse(0.5).unwrap();
            }
            // A batch whose last row is refused changes no bit.
            let mut refused = observations;
            if let Some(last) = refused.last_mut() {
                (last.reward, last.weight) = (1e150, 1e100);
            }
            assert!(together.learn_batch(&refused).is_err());
            assert_eq!(together.state(), in_turn.state());
        }
    }
}

#[test]
fn a_variance_that_no_decay_explains_is_rejected_on_load() {
    let mut policy = policy(0.9, DecayClock::Updates);
    for round in 0..9 {
        policy.update(ArmId::new(round % 3), &[1.0, 0.5, 0.2], 1.0, 1.0).unwrap();
    }
    let mut state = serde_json::to_value(&policy).unwrap();
    // The arm's variance is twice that of the prior, although its prior is said to be whole. It could grow further
    // until its saved state exceeds what half of a prior explains, and could not be loaded again.
    assert_eq!(state["learned"][3]["restored"], state["learned"][3]["updated"]);
    state["learned"][3]["diagonal"] = serde_json::json!([4.0, 4.0, 4.0]);
    let refused = serde_json::from_value::<Policy>(state.clone()).unwrap_err().to_string();
    assert!(refused.contains("covariance of arm 3") && refused.contains("2 times the prior's"), "{refused}");
    state["learned"][3]["diagonal"] = serde_json::json!([2.0, 2.0, 2.0]);
    let mut loaded: Policy = serde_json::from_value(state).unwrap();
    // A policy that continues from here can always be loaded again.
    for round in 0..60 {
        let arm = if round % 6 == 0 { 3 } else { round % 3 };
        loaded.update(ArmId::new(arm), &[1e-3, 0.0, 0.0], 1.0, 1e-3).unwrap();
        let again: Policy = serde_json::from_str(&serde_json::to_string(&loaded).unwrap()).unwrap();
        assert_eq!(again.state(), loaded.state(), "{round}");
    }
}
