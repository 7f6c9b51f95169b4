//! Custom reward models of the caller, and policies in boxes.

use dht_bandits::{
    ArmId, Error, LinUcb, Normalizer, Observation, Policy, Request, Result, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Floor, Softmax, SquareCb},
    policy::{
        AnyPolicy, AnyRule, BetaThompson, ChangeTest, ContextFree, Fixed, Hybrid, Normalised, Oracle, OraclePolicy,
        PolicyKind, PolicySettings, ResetOnChange, SlidingWindow, TopK, Uniform,
    },
};

use crate::support::{featured, rng};

const ARMS: [ArmId; 3] = [ArmId::new(0), ArmId::new(1), ArmId::new(2)];

/// Model that predicts the last reward of each arm. Another prediction can be set, which breaks it.
#[derive(Debug, Clone, PartialEq)]
struct Last {
    rewards: Vec<f64>,
    width: f64,
    broken: Option<f64>,
    limit: f64,
}

fn last() -> Last {
    Last { rewards: vec![0.0; 9], width: 0.5, broken: None, limit: 1e9 }
}

impl Oracle for Last {
    fn predict(&self, arm: ArmId, context: &[f64]) -> f64 {
        self.broken.unwrap_or(self.rewards[arm.number() as usize] + 0.001 * context.iter().sum::<f64>())
    }

    fn width(&self, _: ArmId, _: &[f64]) -> f64 {
        self.width
    }

    fn learn(&mut self, arm: ArmId, _: &[f64], reward: f64, _: f64) -> Result<()> {
        // The model changes before it refuses, and predicts NaN for a reward of 13.
        self.rewards[arm.number() as usize] = if reward == 13.0 { f64::NAN } else { reward };
        if reward > self.limit { Err(Error::Reward { reward, low: 0.0, high: self.limit }) } else { Ok(()) }
    }

    fn add_arm(&mut self, arm: ArmId) {
        self.rewards[arm.number() as usize] = 0.25;
    }
}

fn check<E: Exploration>(rule: E) {
    let request = Request::new(&[1.0, 2.0]);
    let mut policy = OraclePolicy::new(last(), 2, 3, rule).unwrap();
    let before = policy.oracle().clone();
    let decision = policy.decide(&request, &mut rng(1)).unwrap();
    let all = policy.propensities(&request).unwrap();
    let entry = all.iter().find(|entry| entry.arm == decision.arm()).unwrap();
    assert!((decision.choice.propensity.unwrap() - entry.probability).abs() < 1e-9, "{decision:?} {all:?}");
    assert!((all.iter().map(|entry| entry.probability).sum::<f64>() - 1.0).abs() < 1e-9);
    // Rewards that the model refuses, or that would make it predict NaN, are not learned.
    for (reward, limit) in [(2e9, 1e9), (13.0, 1e9)] {
        let refused = policy.learn(&decision, reward).unwrap_err();
        assert!(
            matches!(refused, Error::Reward { .. } | Error::Oracle { what: "prediction", .. }),
            "{limit}: {refused}"
        );
        assert_eq!((policy.oracle(), policy.version()), (&before, 0));
    }
    for (context, reward, weight) in
        [(&[1.0][..], 1.0, 1.0), (&[1.0, f64::NAN], 1.0, 1.0), (&[1.0, 2.0], f64::NAN, 1.0)]
    {
        assert!(policy.update(ARMS[0], context, reward, weight).is_err());
    }
    assert!(policy.update(ArmId::new(7), &[1.0, 2.0], 1.0, 1.0).is_err());
    assert!(policy.update(ARMS[0], &[1.0, 2.0], 1.0, 0.0).is_err());
    assert_eq!((policy.oracle(), policy.version()), (&before, 0));
    policy.learn(&decision, 1.0).unwrap();
    assert_eq!((policy.oracle().rewards[decision.arm().number() as usize], policy.version()), (1.0, 1));
    policy.expire_decisions().unwrap();
    assert!(matches!(policy.learn(&decision, 1.0), Err(Error::StaleDecision { .. })));
}

#[test]
fn an_oracle_is_explored_by_every_rule() {
    check(Ucb { alpha: 0.5 });
    check(Thompson { alpha: 0.5 });
    check(EpsilonGreedy::new(0.2));
    check(Softmax { temperature: 0.2 });
    check(SquareCb::new(5.0));
    check(Floor::new(SquareCb::new(5.0), 0.1).unwrap());
}

#[test]
fn predictions_that_are_no_number_refuse_the_choice() {
    let request = Request::new(&[1.0, 2.0]);
    for broken in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let oracle = Last { broken: Some(broken), ..last() };
        let policy = OraclePolicy::new(oracle, 2, 3, SquareCb::new(5.0)).unwrap();
        for refused in [policy.select(&request, &mut rng(1)).map(drop), policy.propensities(&request).map(drop)] {
            let Err(Error::Oracle { arm, what, value }) = refused else { unreachable!("{refused:?}") };
            assert_eq!((arm, what, value.to_bits()), (ARMS[0], "prediction", broken.to_bits()));
        }
    }
    for width in [-0.1, f64::NAN, f64::INFINITY] {
        let policy = OraclePolicy::new(Last { width, ..last() }, 2, 3, Ucb { alpha: 0.5 }).unwrap();
        let refused = policy.decide(&request, &mut rng(1)).unwrap_err();
        assert!(matches!(refused, Error::Oracle { what: "width", .. }), "{refused}");
    }
}

#[test]
fn an_oracle_sees_the_features_of_arms_after_the_context() {
    let mut policy = OraclePolicy::new(last(), 1, 0, Ucb { alpha: 0.0 }).unwrap().with_features(2).unwrap();
    let features = [1.0, 0.0, 300.0, 0.0, 2.0, 0.0];
    let decision = policy.decide(&featured(&[5.0], &ARMS, &features), &mut rng(1)).unwrap();
    assert_eq!((decision.arm(), &decision.context[..]), (ARMS[1], &[5.0, 300.0, 0.0][..]));
    policy.learn(&decision, 1.0).unwrap();
    assert!(matches!(policy.select(&Request::new(&[5.0]), &mut rng(1)), Err(Error::NeedsFeatures { width: 2 })));
    let other = policy.select(&featured(&[5.0], &ARMS, &features[..3]), &mut rng(1));
    assert!(matches!(other, Err(Error::Dimension { .. })), "{other:?}");
}

/// One policy of each type that has separate arms.
fn boxes() -> Vec<Box<dyn Policy>> {
    let (ridge, ucb) = (Ridge::default(), Ucb { alpha: 0.5 });
    let linear = || LinUcb::new(2, 3, ridge, ucb).unwrap();
    let settings = PolicySettings::new(PolicyKind::Linear, 2, 3, Some(AnyRule::Ucb(ucb)));
    vec![
        Box::new(linear()),
        Box::new(SlidingWindow::new(linear(), 4).unwrap()),
        Box::new(ResetOnChange::new(linear(), ChangeTest::Adwin { delta: 0.1, range: 1.0 }).unwrap()),
        Box::new(Normalised::new(linear(), Normalizer::new(2).unwrap(), 1, false).unwrap()),
        Box::new(AnyPolicy::new(settings).unwrap()),
        Box::new(ContextFree::new(3, BetaThompson::default()).unwrap()),
        Box::new(Uniform::new(2, 3).unwrap()),
        Box::new(Fixed::new(2, 3, ARMS[1]).unwrap()),
        Box::new(OraclePolicy::new(last(), 2, 3, SquareCb::new(5.0)).unwrap()),
    ]
}

#[test]
fn policies_in_boxes_are_copied_sent_and_managed() {
    for mut policy in boxes() {
        let copy = policy.clone();
        assert_eq!(policy.add_arm().unwrap(), ArmId::new(3));
        policy.insert_arm(ArmId::new(7)).unwrap();
        assert_eq!(policy.insert_arm(ArmId::new(7)), Err(Error::ArmExists { arm: ArmId::new(7) }));
        policy.remove_arm(ArmId::new(3)).unwrap();
        assert!(matches!(policy.remove_arm(ArmId::new(3)), Err(Error::RemovedArm { .. })));
        assert_eq!((policy.arms().len(), copy.arms().len()), (4, 3));
        let decide = |policy: &dyn Policy| policy.decide(&Request::new(&[1.0, 0.5]), &mut rng(2)).unwrap();
        let decision = decide(&policy);
        let batch =
            [Observation::new(decision.clone(), 1.0), Observation { weight: 2.0, ..Observation::new(decision, 0.5) }];
        policy.learn_batch(&batch).unwrap();
        assert_eq!((policy.version(), copy.version()), (2, 0));
        // A batch is learned completely or not at all.
        let mut bad = batch.clone();
        bad[1].decision.choice.arm = ArmId::new(99);
        assert!(policy.learn_batch(&bad).is_err());
        assert_eq!(policy.version(), 2);
        let sent = std::thread::spawn(move || policy.version());
        assert_eq!(sent.join().unwrap(), 2);
    }
}

#[test]
fn what_a_policy_cannot_do_is_a_typed_error() {
    let mut fixed: Box<dyn Policy> = Box::new(Fixed::new(2, 3, ARMS[1]).unwrap());
    assert!(matches!(fixed.remove_arm(ARMS[1]), Err(Error::Unsupported { .. })));
    assert!(matches!(fixed.expire_decisions(), Err(Error::Unsupported { .. })));
    assert_eq!(fixed.arms().len(), 3);
    let mut hybrid: Box<dyn Policy> = Box::new(Hybrid::new(2, 2, 3, 1.0, Ucb { alpha: 0.5 }).unwrap());
    hybrid.remove_arm(ARMS[0]).unwrap();
    let mut shared: Box<dyn Policy> = Box::new(TopK::shared(2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap());
    shared.expire_decisions().unwrap();
    assert_eq!((hybrid.arms().len(), shared.epoch()), (2, 1));
}
