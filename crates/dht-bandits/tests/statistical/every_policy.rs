//! Propensities compared with frequencies of draws, for policies that wrap others, forget, ignore contexts or come from
//! settings.

use dht_bandits::{
    ArmId, LinTs, Normalizer, Policy, Request, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Softmax, SquareCb},
    features::Interactions,
    policy::{
        AnyPolicy, AnyRule, BetaThompson, ChangeTest, ContextFree, Disjoint, Fixed, Hybrid, Normalised, PolicyKind,
        PolicySettings, ResetOnChange, SlidingWindow, TopK, Ucb1, Uniform,
    },
    posterior::{DiagonalLaplace, DiscountedRidge, FullLaplace, NormalInverseGamma, Posterior},
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{check, normals};

const ARMS: usize = 6;
const THOMPSON: Thompson = Thompson { alpha: 0.8 };

/// Rewards of 0 or 1 for all arms except two, so that means and widths differ.
fn teach(policy: &mut dyn Policy, length: usize, rng: &mut ChaCha8Rng) {
    for round in 0..30 {
        let context = normals(rng, length);
        let reward = f64::from(u8::from(round % 3 == 0));
        policy.update(ArmId::new(round % ARMS as u64 * (round % 2)), &context, reward, 1.0).unwrap();
    }
}

/// Requests for all arms, and for some arms in another order.
fn check_both(name: &str, policy: &dyn Policy, context: &[f64], rng: &mut ChaCha8Rng) {
    let some = [5, 1, 0, 2].map(ArmId::new);
    check(name, policy, &Request::new(context), rng);
    check(name, policy, &Request::new(context).only(&some), rng);
}

#[test]
fn every_posterior_draws_as_its_propensities_say() {
    fn disjoint<P: Posterior>(name: &str, options: P, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let context = normals(&mut rng, 3);
        let mut policy = Disjoint::<P, _>::new(3, ARMS, options, THOMPSON).unwrap();
        teach(&mut policy, 3, &mut rng);
        check_both(name, &policy, &context, &mut rng);
    }
    let fading = Ridge::default().with_decay(0.9);
    disjoint::<Ridge>("a ridge that forgets", fading, 31);
    let forgetting = 0.9;
    let one_clock = DiscountedRidge::new(forgetting);
    disjoint::<DiscountedRidge>("one clock", one_clock, 32);
    disjoint::<FullLaplace>("logistic", FullLaplace::default(), 33);
    let mut rng = ChaCha8Rng::seed_from_u64(34);
    let context = normals(&mut rng, 3);
    let mut diagonal = Disjoint::new(3, ARMS, DiagonalLaplace::default(), THOMPSON).unwrap();
    teach(&mut diagonal, 3, &mut rng);
    check_both("diagonal logistic", &diagonal, &context, &mut rng);
    let mut noisy = Disjoint::new(3, ARMS, NormalInverseGamma::default(), THOMPSON).unwrap();
    teach(&mut noisy, 3, &mut rng);
    check_both("learned noise", &noisy, &context, &mut rng);
    let mut bound = Disjoint::new(3, ARMS, FullLaplace::default(), Ucb { alpha: 1.0 }).unwrap();
    check_both("logistic UCB without rewards", &bound, &context, &mut rng);
    teach(&mut bound, 3, &mut rng);
    check_both("logistic UCB", &bound, &context, &mut rng);
    let mut greedy = Disjoint::new(3, ARMS, Ridge::default(), EpsilonGreedy::new(0.2)).unwrap();
    teach(&mut greedy, 3, &mut rng);
    check_both("ε-greedy", &greedy, &context, &mut rng);
}

#[test]
fn policies_without_contexts_draw_as_their_propensities_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(41);
    let mut beta = ContextFree::new(ARMS, BetaThompson::default()).unwrap();
    check_both("Beta-Thompson without rewards", &beta, &[], &mut rng);
    teach(&mut beta, 0, &mut rng);
    check_both("Beta-Thompson", &beta, &[], &mut rng);
    let mut ucb1 = ContextFree::new(ARMS, Ucb1::default()).unwrap();
    check_both("UCB1 without rewards", &ucb1, &[], &mut rng);
    teach(&mut ucb1, 0, &mut rng);
    check_both("UCB1", &ucb1, &[], &mut rng);
    check_both("uniform", &Uniform::new(2, ARMS).unwrap(), &[1.0, 2.0], &mut rng);
    check_both("fixed", &Fixed::new(2, ARMS, ArmId::new(1)).unwrap(), &[1.0, 2.0], &mut rng);
    let gone = Fixed::new(2, ARMS, ArmId::new(4)).unwrap();
    check_both("fixed to an arm that may not be chosen", &gone, &[1.0, 2.0], &mut rng);
}

#[test]
fn policies_around_policies_draw_as_their_propensities_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(51);
    let context = normals(&mut rng, 3);
    let linear = || LinTs::new(3, ARMS, Ridge::default(), THOMPSON).unwrap();
    let mut window = SlidingWindow::new(linear(), 12).unwrap();
    teach(&mut window, 3, &mut rng);
    check_both("a window", &window, &context, &mut rng);
    let mut reset = ResetOnChange::new(linear(), ChangeTest::PageHinkley { tolerance: 0.05, threshold: 50.0 }).unwrap();
    teach(&mut reset, 3, &mut rng);
    check_both("a change test", &reset, &context, &mut rng);
    for warm_up in [10, 1000] {
        let mut scaled = Normalised::new(linear(), Normalizer::new(2).unwrap(), warm_up, true).unwrap();
        teach(&mut scaled, 2, &mut rng);
        check_both(&format!("a scaling after {warm_up}"), &scaled, &context[..2], &mut rng);
    }
    let mut boxed: Box<dyn Policy> = Box::new(linear());
    teach(&mut boxed, 3, &mut rng);
    check_both("a box", &boxed, &context, &mut rng);
}

/// Exploration rules that draw randomly, for policies whose arms have features.
fn check_featured<E: Exploration>(name: &str, rule: E, rng: &mut ChaCha8Rng) {
    let arms: Vec<_> = (0..ARMS as u64).map(ArmId::new).collect();
    let (context, rows) = (normals(rng, 2), normals(rng, 3 * ARMS));
    let request = Request::new(&context).featured(&arms, &rows, 3).unwrap();
    let mut hybrid = Hybrid::new(2, 3, ARMS, 1.0, rule.clone()).unwrap();
    hybrid.update(ArmId::new(2), &context, &rows[..3], 1.0, 3.0).unwrap();
    check(&format!("hybrid {name}"), &hybrid, &request, rng);
    let products = || Interactions::new(2, 3).unwrap();
    let shared = TopK::<Ridge, _>::shared(11, Ridge::default(), rule.clone()).unwrap();
    let mut shared = shared.with_interactions(products()).unwrap();
    teach(&mut shared, 5, rng);
    check(&format!("shared {name}"), &shared, &request, rng);
    let logistic = TopK::<FullLaplace, _>::shared(11, FullLaplace::default(), rule).unwrap();
    let mut logistic = logistic.with_interactions(products()).unwrap();
    teach(&mut logistic, 5, rng);
    check(&format!("shared logistic {name}"), &logistic, &request, rng);
}

#[test]
fn rules_on_featured_arms_draw_by_their_propensities() {
    let mut rng = ChaCha8Rng::seed_from_u64(61);
    check_featured("Thompson", THOMPSON, &mut rng);
    check_featured("UCB", Ucb { alpha: 0.5 }, &mut rng);
    check_featured("SquareCB", SquareCb::new(5.0), &mut rng);
    check_featured("softmax", Softmax { temperature: 0.3 }, &mut rng);
    check_featured("ε-greedy", EpsilonGreedy::new(0.3), &mut rng);
    // Nothing was learned, so that all values are equal except for their widths.
    let arms: Vec<_> = (0..ARMS as u64).map(ArmId::new).collect();
    let rows: Vec<f64> = (0..ARMS).flat_map(|arm| [1.0, (arm / 2) as f64]).collect();
    let request = Request::new(&[]).featured(&arms, &rows, 2).unwrap();
    let new = TopK::shared(2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    check("ties of shared arms", &new, &request, &mut rng);
}

#[test]
fn policies_from_settings_draw_as_their_propensities_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(71);
    let context = normals(&mut rng, 3);
    use PolicyKind::{DiagonalLogistic, Linear, LinearNoise, Logistic};
    for kind in [Linear, LinearNoise, Logistic, DiagonalLogistic] {
        for rule in [AnyRule::Thompson(THOMPSON), AnyRule::SquareCb(SquareCb::new(5.0))] {
            let settings = PolicySettings::new(kind, 3, ARMS, Some(rule));
            let mut policy = AnyPolicy::new(settings).unwrap();
            teach(&mut policy, 3, &mut rng);
            check_both(&format!("{kind:?} {rule:?}"), &policy, &context, &mut rng);
        }
    }
}
