//! Valid examples of everything that is saved or sent.

use dht_bandits::{
    ArmId, LinTs, LinUcb, Normalizer, Observation, Policy, Request, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration},
    features::PyramidPool,
    policy::{
        AnyPolicy, AnyRule, BetaThompson, ContextFree, Disjoint, Feedback, Fixed, Hybrid, NormaliserSettings,
        PolicyKind, PolicySettings, Slate, TopK, Ucb1, Uniform,
    },
    posterior::{DiagonalLaplace, DiscountedRidge, FullLaplace, NormalInverseGamma, Posterior},
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

/// Request with arms that have one row of features each.
pub fn featured<'a>(context: &'a [f64], arms: &'a [ArmId], features: &'a [f64]) -> Request<'a> {
    Request::new(context).featured(arms, features, features.len() / arms.len()).unwrap()
}

pub fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

pub fn context(dimension: usize) -> Vec<f64> {
    (0..dimension).map(|position| (position as f64 + 1.0).sin()).collect()
}

pub fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn trained<P: Posterior, E: Exploration>(mut policy: Disjoint<P, E>) -> Disjoint<P, E> {
    let context = context(policy.dimension());
    for round in 0..6 {
        policy.update(ArmId::new(round % 3), &context, (round % 2) as f64, 1.0).unwrap();
    }
    policy.remove_arm(ArmId::new(1)).unwrap();
    policy.add_arm().unwrap();
    policy
}

pub type DiscountedLinUcb = Disjoint<DiscountedRidge, Ucb>;

/// Posterior of dimension 3 that learned some rewards, and the same posterior before.
pub trait Healthy: Posterior {
    fn settings() -> Self;

    fn blank() -> Disjoint<Self, Thompson> {
        Disjoint::new(3, 3, Self::settings(), Thompson { alpha: 0.5 }).unwrap()
    }

    fn policy() -> Disjoint<Self, Thompson> {
        trained(Self::blank())
    }
}

impl Healthy for Ridge {
    fn settings() -> Ridge {
        Ridge::new(0.5).with_keep_information(true)
    }
}

impl Healthy for FullLaplace {
    fn settings() -> FullLaplace {
        FullLaplace::default()
    }
}

impl Healthy for DiagonalLaplace {
    fn settings() -> DiagonalLaplace {
        DiagonalLaplace::default()
    }
}

/// Policy, a delta that it learned, and its decisions.
fn disjoint<P: Healthy>() -> [String; 4] {
    let policy = P::policy();
    let decision = policy.decide(&Request::new(&context(3)), &mut rng()).unwrap();
    let delta = policy.diff(&P::blank()).unwrap();
    [text(&policy), text(&delta), text(&decision), text(&Observation::new(decision, 1.0))]
}

fn rewarded<P: Policy>(mut policy: P) -> P {
    policy.update(ArmId::new(1), &[], 1.0, 2.0).unwrap();
    policy
}

/// Policy with a scaling, after a number of rewards within its warm-up.
fn chosen_by_settings(warm_up: u64) -> AnyPolicy {
    let rule = AnyRule::Thompson(Thompson { alpha: 0.5 });
    let normaliser = Some(NormaliserSettings::default().with_warm_up(warm_up).with_bias(true).with_floor(1e-9));
    let settings = PolicySettings::new(PolicyKind::Linear, 2, 3, Some(rule)).with_normaliser(normaliser);
    let mut policy = AnyPolicy::new(settings).unwrap();
    for round in 0..5 {
        policy.update(ArmId::new(round % 3), &[1.0, round as f64], 1.0, 1.0).unwrap();
    }
    policy
}

pub fn per_arm() -> TopK<DiagonalLaplace, Thompson> {
    let policy = TopK::per_arm(2, 4, DiagonalLaplace::default(), Thompson { alpha: 0.5 }).unwrap();
    policy.with_pinned(&[ArmId::new(2)]).unwrap()
}

pub fn shared() -> TopK<Ridge, Ucb> {
    let mut shared = TopK::shared(2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let slate = shared.select_slate(2, &featured(&[], &[5, 6].map(ArmId::new), &context(4)), &mut rng()).unwrap();
    shared.learn_slate(&slate, &[Feedback::from(true), Feedback::Unobserved]).unwrap();
    shared
}

pub fn hybrid() -> Hybrid<Ucb> {
    let mut hybrid = Hybrid::new(2, 3, 2, 1.0, Ucb { alpha: 0.5 }).unwrap();
    hybrid.update(ArmId::new(1), &context(2), &context(3), 1.0, 1.0).unwrap();
    hybrid
}

/// Choices of the semi-bandits and the hybrid policy.
fn choices() -> [String; 3] {
    let (mut rng, arms) = (rng(), [0, 1, 3].map(ArmId::new));
    let mut slate = |select: &dyn Fn(&Request<'_>, &mut ChaCha8Rng) -> Slate| {
        text(&select(&featured(&[], &arms, &context(6)), &mut rng))
    };
    let slates = [
        slate(&|candidates, rng| per_arm().select_slate(2, candidates, rng).unwrap()),
        slate(&|candidates, rng| shared().select_slate(2, candidates, rng).unwrap()),
    ];
    let decision = hybrid().decide(&featured(&context(2), &arms[..2], &context(6)), &mut rng).unwrap();
    let [first, second] = slates;
    [first, second, text(&decision)]
}

pub fn texts() -> Vec<String> {
    let fading = Ridge::default().with_decay(0.9);
    let lin_ucb = trained(LinUcb::new(3, 3, Ridge::settings(), Ucb { alpha: 0.5 }).unwrap());
    let mut norm = Normalizer::new(2).unwrap().with_clip(4.0).unwrap();
    norm.observe(&context(2)).unwrap();
    let mut texts = vec![
        text(&lin_ucb),
        text(&trained(LinTs::new(10, 3, fading, Thompson { alpha: 0.5 }).unwrap())),
        text(&trained(Disjoint::new(2, 3, Ridge::default(), EpsilonGreedy::new(0.1)).unwrap())),
        text(&per_arm()),
        text(&shared()),
        text(&hybrid()),
        text(&norm),
        text(&PyramidPool::grid(0..=1, 1..=2).unwrap()),
        text(&trained(Disjoint::new(3, 3, NormalInverseGamma::default(), Thompson { alpha: 0.5 }).unwrap())),
        text(&rewarded(ContextFree::new(3, Ucb1::default()).unwrap())),
        text(&rewarded(ContextFree::new(3, BetaThompson::default()).unwrap())),
        text(&chosen_by_settings(3)),
        text(&chosen_by_settings(9)),
        text(&Uniform::new(2, 3).unwrap()),
        text(&Fixed::new(2, 3, ArmId::new(1)).unwrap()),
        text(&lin_ucb.state().header),
    ];
    let clocked = DiscountedRidge::new(0.6).with_prior_precision(0.5);
    texts.push(text(&trained(DiscountedLinUcb::new(3, 3, clocked, Ucb { alpha: 0.5 }).unwrap())));
    texts.extend(disjoint::<Ridge>());
    texts.extend(disjoint::<FullLaplace>());
    texts.extend(disjoint::<DiagonalLaplace>());
    texts.extend(choices());
    texts
}
