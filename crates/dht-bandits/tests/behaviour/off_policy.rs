//! Off-policy evaluation and simulation.

use std::cell::RefCell;

use dht_bandits::{
    ArmId, Error, LinTs, LinUcb, Policy, Ridge, Thompson, Ucb,
    evaluation::{LoggedRound, OffPolicy},
    policy::{Fixed, Propensity, Uniform},
    simulation::{Comparison, Curve, Environment, GlmEnvironment},
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::support::rng;

/// Environment with two contexts and two arms: rewards are .2 and .8 in context 0, and .6 and .4 in context 1. The log
/// has P(arm 1) = .3. The evaluated policy plays arm 1 with .9 and .1, so that its value is ½(.1·.2 + .9·.8) + ½(.9·.6
/// + .1·.4) = .66.
const REWARDS: [[f64; 2]; 2] = [[0.2, 0.8], [0.6, 0.4]];
const TARGET: [[f64; 2]; 2] = [[0.1, 0.9], [0.9, 0.1]];
const VALUE: f64 = 0.66;

fn log<R: Rng + ?Sized>(rng: &mut R, rounds: usize, model: impl Fn(usize, usize) -> f64) -> Vec<LoggedRound> {
    (0..rounds)
        .map(|_| {
            let context = rng.random_range(0..2);
            let arm = usize::from(rng.random::<f64>() < 0.3);
            let reward = f64::from(u8::from(rng.random::<f64>() < REWARDS[context][arm]));
            let target = [0, 1].map(|arm| Propensity {
                arm: ArmId::new(arm as u64),
                probability: TARGET[context][arm],
                standard_error: 0.0,
            });
            let propensity = [0.7, 0.3][arm];
            let predict = |arm: ArmId| model(context, arm.number() as usize);
            LoggedRound::with_model(ArmId::new(arm as u64), reward, propensity, &target, predict)
        })
        .collect()
}

#[test]
fn each_honest_estimator_finds_the_value_and_covers_it() {
    let mut rng = rng(1);
    let mut covered = [0; 4];
    for _ in 0..200 {
        let rounds = log(&mut rng, 400, |context, arm| REWARDS[context][arm] * 0.5 + 0.1);
        let log = OffPolicy::new(&rounds).unwrap();
        let estimates =
            [log.inverse_propensity(), log.self_normalised(), log.doubly_robust(), log.self_normalised_doubly_robust()];
        for (count, estimate) in covered.iter_mut().zip(estimates.map(Result::unwrap)) {
            *count += i32::from(estimate.low <= VALUE && VALUE <= estimate.high);
        }
    }
    // Binomial(200, .95) has mean 190 and deviation 3.1. Delta-method intervals are a little short.
    assert!(covered.iter().all(|count| *count >= 178), "{covered:?}");
}

#[test]
fn the_direct_method_is_right_only_with_a_correct_model() {
    let mut rng = rng(2);
    let perfect = log(&mut rng, 4000, |context, arm| REWARDS[context][arm]);
    let wrong = log(&mut rng, 4000, |_, _| 0.5);
    let (perfect, wrong) = (OffPolicy::new(&perfect).unwrap(), OffPolicy::new(&wrong).unwrap());
    assert!((perfect.direct().unwrap().value - VALUE).abs() < 0.02);
    assert!((wrong.direct().unwrap().value - VALUE).abs() > 0.1);
    let robust = wrong.doubly_robust().unwrap();
    assert!((robust.value - VALUE).abs() < 5.0 * robust.standard_error);
    let (robust, plain) = (perfect.doubly_robust().unwrap(), perfect.inverse_propensity().unwrap());
    assert!(robust.standard_error < plain.standard_error);
}

#[test]
fn evaluating_the_logging_policy_gives_the_mean_reward() {
    let rounds: Vec<_> = (0..50).map(|round| LoggedRound::new(f64::from(round % 3), 0.4, 0.4)).collect();
    let mean = rounds.iter().map(|round| round.reward).sum::<f64>() / 50.0;
    let log = OffPolicy::new(&rounds).unwrap();
    let estimates = [log.inverse_propensity(), log.self_normalised(), log.clipped(1.0)];
    for estimate in estimates.map(Result::unwrap) {
        assert!((estimate.value - mean).abs() < 1e-12);
        assert!((estimate.effective_samples - 50.0).abs() < 1e-9);
    }
}

#[test]
fn logs_with_impossible_values_are_refused() {
    let good = LoggedRound::new(1.0, 0.5, 0.5);
    let refuse = |bad: LoggedRound| OffPolicy::new(&[good, bad]).unwrap_err();
    assert_eq!(refuse(LoggedRound { propensity: Some(0.0), ..good }), Error::Propensity { round: 1, propensity: 0.0 });
    assert!(matches!(refuse(LoggedRound { propensity: Some(f64::NAN), ..good }), Error::Propensity { .. }));
    assert!(matches!(refuse(LoggedRound { target: 1.5, ..good }), Error::Parameter { name: "target", .. }));
    assert!(matches!(refuse(LoggedRound { reward: f64::NAN, ..good }), Error::NotFinite { .. }));
    assert!(matches!(OffPolicy::new(&[good]), Err(Error::TooFewObservations { .. })));
    assert!(OffPolicy::new(&[good, good]).unwrap().clipped(0.0).is_err());
}

#[test]
fn slates_of_independent_positions_are_evaluated_by_position() {
    let mut rng = rng(3);
    // Position 0 shows arm 1 with .5, position 1 with .2. Arm 1 is clicked with .9, arm 0 with .1. The target is always
    // arm 1.
    let slates: Vec<Vec<_>> = (0..8000)
        .map(|_| {
            [0.5, 0.2]
                .iter()
                .map(|&share| {
                    let one = rng.random::<f64>() < share;
                    let click = rng.random::<f64>() < if one { 0.9 } else { 0.1 };
                    let (propensity, target) = if one { (share, 1.0) } else { (1.0 - share, 0.0) };
                    LoggedRound::new(f64::from(u8::from(click)), propensity, target)
                })
                .collect()
        })
        .collect();
    let log = OffPolicy::from_slates(&slates).unwrap();
    let [plain, normalised] = [log.independent(), log.independent_self_normalised()].map(Result::unwrap);
    for estimate in [plain, normalised] {
        assert!((estimate.value - 1.8).abs() < 5.0 * estimate.standard_error && estimate.standard_error < 0.05);
    }
    assert!(normalised.standard_error < plain.standard_error);
}

#[test]
fn a_slate_position_without_overlap_is_named() {
    let slate = |target| vec![LoggedRound::new(1.0, 0.5, 1.0), LoggedRound::new(1.0, 0.5, target)];
    let known = [slate(1.0), slate(0.0), slate(1.0)];
    assert!(OffPolicy::from_slates(&known).unwrap().independent_self_normalised().is_ok());
    let unknown = [slate(0.0), slate(0.0), slate(0.0)];
    let refused = OffPolicy::from_slates(&unknown).unwrap().independent_self_normalised().unwrap_err();
    assert_eq!(refused, Error::NoOverlap { position: 1, weights: 0.0 });
}

#[test]
fn the_simulator_gives_every_entry_the_same_environments() {
    let policies: [(&str, Box<dyn Policy>); 3] = [
        ("uniform", Box::new(Uniform::new(4, 3).unwrap())),
        ("again", Box::new(Uniform::new(4, 3).unwrap())),
        ("LinUCB", Box::new(LinUcb::new(4, 3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap())),
    ];
    let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(4, 3, 0.1, rng);
    let comparison = Comparison::run(&policies, environment, 300, &[1, 2, 3]).unwrap();
    let [(_, uniform), (_, again), (_, learner)] = &comparison.runs[..] else { panic!("{}", comparison.runs.len()) };
    assert_eq!(uniform, again);
    let curve = &learner[0];
    let (uniform, learner) = (Curve::mean_regret(uniform).0, Curve::mean_regret(learner).0);
    assert!(learner < 0.3 * uniform, "{learner} {uniform}");
    assert!(curve.regret.windows(2).all(|pair| pair[0] <= pair[1]));
    let csv = comparison.to_csv(100);
    assert_eq!(csv.lines().count(), 1 + 3 * 3);
    assert!(csv.starts_with("round,policy,regret"));
    assert!(Comparison::run(&policies, environment, 10, &[]).is_err());
}

/// Environment that records its contexts.
struct Recorded<'a> {
    inner: GlmEnvironment,
    contexts: &'a RefCell<Vec<Vec<f64>>>,
}

impl Environment for Recorded<'_> {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn arms(&self) -> usize {
        self.inner.arms()
    }

    fn advance(&mut self, rng: &mut dyn Rng) {
        self.inner.advance(rng);
        self.contexts.borrow_mut().push(self.inner.context().to_vec());
    }

    fn context(&self) -> &[f64] {
        self.inner.context()
    }

    fn expected(&self, arm: ArmId) -> f64 {
        self.inner.expected(arm)
    }

    fn reward(&self, arm: ArmId, rng: &mut dyn Rng) -> f64 {
        self.inner.reward(arm, rng)
    }
}

#[test]
fn policies_that_draw_differently_see_the_same_contexts() {
    // The fixed policy draws nothing, the uniform one draws one number per round, and Thompson sampling three normal
    // numbers.
    let policies: [(&str, Box<dyn Policy>); 3] = [
        ("fixed", Box::new(Fixed::new(4, 3, ArmId::new(1)).unwrap())),
        ("uniform", Box::new(Uniform::new(4, 3).unwrap())),
        ("LinTS", Box::new(LinTs::new(4, 3, Ridge::default(), Thompson { alpha: 0.5 }).unwrap())),
    ];
    let contexts = RefCell::new(Vec::new());
    let environment = |rng: &mut ChaCha8Rng| {
        let inner = GlmEnvironment::linear(4, 3, 0.1, rng).and_then(|still| still.drifting(20));
        inner.map(|inner| Recorded { inner, contexts: &contexts })
    };
    Comparison::run(&policies, environment, 50, &[1, 2]).unwrap();
    let contexts = contexts.borrow();
    let (fixed, others) = contexts.split_at(100);
    assert_eq!(others, [fixed, fixed].concat());
    assert_ne!(fixed[..50], fixed[50..]);
}

#[test]
fn a_forgetting_ridge_has_less_regret_under_drift() {
    let run = |decay: f64| {
        let mut total = 0.0;
        for seed in 0..5 {
            let mut rng = rng(seed);
            let mut environment = GlmEnvironment::linear(4, 4, 0.1, &mut rng).unwrap().drifting(400).unwrap();
            let options = Ridge::new(1.0).with_decay(decay);
            let mut policy = LinUcb::new(4, 4, options, Ucb { alpha: 0.5 }).unwrap();
            total += Curve::run(&mut policy, &mut environment, 2400, &mut rng).unwrap().total_regret();
        }
        total
    };
    let (forgetful, faithful) = (run(0.97), run(1.0));
    assert!(forgetful < 0.8 * faithful, "{forgetful} {faithful}");
}
