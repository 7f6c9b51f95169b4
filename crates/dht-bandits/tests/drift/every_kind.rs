//! Preferences that change, for every type of settings that forgets.

use dht_bandits::policy::{AnyPolicy, AnyRule, ChangeTest, NormaliserSettings, PolicyKind, PolicySettings, RewardType};
use dht_bandits::posterior::DecayClock;
use dht_bandits::{ArmId, Error, Policy, Request, Result, Ucb};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

const ROUNDS: usize = 12_000;
const ADWIN: ChangeTest = ChangeTest::Adwin { delta: 0.002, range: 1.0 };

/// Simulates clicks of four segments on four arms: .6 for the best arm of a segment and .152 for others, so that
/// uniform draws earn .264. In the second half of the rounds, the next arm is the best.
///
/// Returns the mean reward in the last 1,000 rounds before the change, the 1,000 after it, and the last 1,000 of all.
fn earned(settings: &PolicySettings, seeds: u64) -> Result<[f64; 3]> {
    let mut sums = [0.0; 3];
    let arms = [0, 1, 2, 3].map(ArmId::new);
    let items: Vec<f64> = (0..16).map(|place| f64::from(u8::from(place % 5 == 0))).collect();
    for seed in 0..seeds {
        let mut policy = AnyPolicy::new(settings.clone())?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for round in 0..ROUNDS {
            let segment = rng.random_range(0..4usize);
            let mut context = [0.0; 4];
            context[segment] = 1.0;
            let request = Request::new(&context);
            let request = match settings.features {
                0 => request,
                width => request.featured(&arms, &items, width)?,
            };
            let mut decision =
                dht_bandits::Decision { choice: policy.select(&request, &mut rng)?, context: context.to_vec() };
            let arm = decision.arm().number() as usize;
            if settings.features > 0 {
                decision.context.extend_from_slice(&items[4 * arm..][..4]);
            }
            let best = (segment + usize::from(round >= ROUNDS / 2)) % 4;
            let rate = if arm == best { 0.6 } else { 0.152 };
            for (sum, window) in sums.iter_mut().zip([5_000..6_000, 6_000..7_000, 11_000..12_000]) {
                if window.contains(&round) {
                    *sum += rate / (1_000 * seeds) as f64;
                }
            }
            let reward = f64::from(u8::from(rng.random::<f64>() < rate));
            policy.learn(&decision, reward)?;
        }
    }
    Ok(sums)
}

fn forgetting(settings: &PolicySettings) -> [(&'static str, PolicySettings); 3] {
    let clock = settings.clone().with_decay(0.998);
    let window = settings.clone().with_window(Some(1_500));
    [("clock", clock), ("window", window), ("reset", settings.clone().with_reset(Some(ADWIN)))]
}

#[test]
fn auto_recovers_from_a_change_of_preferences() {
    for reward in [RewardType::Binary, RewardType::Real] {
        let auto = PolicySettings::new(PolicyKind::Auto, 4, 4, None).with_reward(Some(reward));
        for (name, settings) in forgetting(&auto) {
            let [before, after, recovered] = earned(&settings, 10).unwrap();
            println!("auto, {reward:?}, {name}: {before:.3} before, {after:.3} after, {recovered:.3} recovered");
            assert!(before > 0.48 && recovered > 0.48, "{reward:?}, {name}: {before} {after} {recovered}");
        }
    }
}

#[test]
fn every_kind_recovers_from_a_change_of_preferences() {
    use PolicyKind::{
        DiagonalLogistic, Hybrid, Linear, LinearNoise, Logistic, SharedDiagonalLogistic, SharedLinear, SharedLogistic,
        TopKDiagonalLogistic, TopKLinear,
    };
    let rule = Some(AnyRule::Ucb(Ucb { alpha: 1.0 }));
    for kind in [
        Linear,
        LinearNoise,
        Logistic,
        DiagonalLogistic,
        Hybrid,
        TopKLinear,
        TopKDiagonalLogistic,
        SharedLinear,
        SharedLogistic,
        SharedDiagonalLogistic,
    ] {
        let shared = matches!(kind, SharedLinear | SharedLogistic | SharedDiagonalLogistic);
        let settings = PolicySettings::new(kind, 4, if shared { 0 } else { 4 }, rule);
        let settings = if shared {
            let products = Some(vec![("context".to_owned(), "features".to_owned())]);
            settings.with_features(4).with_interactions(products)
        } else if kind == Hybrid {
            settings.with_features(4)
        } else {
            settings
        };
        for (name, settings) in forgetting(&settings) {
            let [before, after, recovered] = earned(&settings, 2).unwrap();
            println!("{kind:?}, {name}: {before:.3} before, {after:.3} after, {recovered:.3} recovered");
            assert!(before > 0.45 && recovered > 0.45, "{kind:?}, {name}: {before} {after} {recovered}");
        }
    }
}

#[test]
fn idle_arms_go_back_to_the_prior_by_either_clock() {
    for kind in [PolicyKind::Logistic, PolicyKind::LinearNoise, PolicyKind::DiagonalLogistic] {
        for clock in [None, Some(DecayClock::Time)] {
            let rule = AnyRule::Ucb(Ucb { alpha: 1.0 });
            let settings = PolicySettings::new(kind, 1, 2, Some(rule)).with_decay(0.9).with_clock(clock);
            let mut policy = AnyPolicy::new(settings).unwrap();
            let width = |policy: &AnyPolicy, arm: u64| {
                let arms = [ArmId::new(arm)];
                let request = Request::new(&[1.0]).only(&arms);
                policy.select(&request, &mut ChaCha8Rng::seed_from_u64(0)).unwrap().width
            };
            let prior = width(&policy, 0);
            for _ in 0..50 {
                policy.update(ArmId::new(0), &[1.0], 1.0, 1.0).unwrap();
            }
            assert!(width(&policy, 0) < 0.9 * prior, "{kind:?}");
            // Arm 0 is idle for 200 updates of the other arm, or for 200 units of time.
            for _ in 0..200 {
                policy.update(ArmId::new(1), &[1.0], 1.0, 1.0).unwrap();
            }
            if clock.is_some() {
                policy.elapse(200.0).unwrap();
            }
            let idle = width(&policy, 0);
            assert!((idle / prior - 1.0).abs() < 1e-3, "{kind:?}, {clock:?}: {idle} of {prior}");
        }
    }
}

#[test]
fn a_clock_that_goes_back_is_refused() {
    let rule = Some(AnyRule::Ucb(Ucb { alpha: 1.0 }));
    for kind in [PolicyKind::Linear, PolicyKind::Logistic, PolicyKind::LinearNoise] {
        let settings = PolicySettings::new(kind, 1, 2, rule).with_decay(0.9).with_clock(Some(DecayClock::Time));
        let mut policy = AnyPolicy::new(settings).unwrap();
        policy.update(ArmId::new(0), &[1.0], 1.0, 1.0).unwrap();
        let before = serde_json::to_string(&policy).unwrap();
        for time in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(policy.elapse(time), Err(Error::Parameter { .. })), "{kind:?}, {time}");
            assert_eq!(serde_json::to_string(&policy).unwrap(), before);
        }
        let untimed = PolicySettings::new(kind, 1, 2, rule).with_decay(0.9);
        assert!(matches!(AnyPolicy::new(untimed).unwrap().elapse(1.0), Err(Error::Settings { .. })));
    }
}

#[test]
fn a_window_has_learned_the_last_half_to_whole_of_its_length() {
    let rule = AnyRule::Ucb(Ucb { alpha: 0.5 });
    let settings = PolicySettings::new(PolicyKind::Logistic, 1, 2, Some(rule));
    let mut windowed = AnyPolicy::new(settings.clone().with_window(Some(8))).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut seen = Vec::new();
    for round in 0..40usize {
        let (arm, reward) = (ArmId::new(rng.random_range(0..2)), f64::from(rng.random_range(0..2u8)));
        seen.push((arm, reward));
        windowed.update(arm, &[1.0], reward, 1.0).unwrap();
        // After every four rewards, all evidence before the last four is forgotten.
        let from = (round.saturating_sub(3) / 4) * 4;
        let mut exact = AnyPolicy::new(settings.clone()).unwrap();
        seen[from..].iter().for_each(|(arm, reward)| exact.update(*arm, &[1.0], *reward, 1.0).unwrap());
        let choose =
            |policy: &AnyPolicy| policy.select(&Request::new(&[1.0]), &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let (ours, theirs) = (choose(&windowed), choose(&exact));
        assert_eq!((ours.arm, ours.mean, ours.width), (theirs.arm, theirs.mean, theirs.width), "round {round}");
        assert_eq!(windowed.version(), round as u64 + 1);
        if round == 20 {
            windowed.remove_arm(ArmId::new(7)).unwrap_err();
            assert_eq!(windowed.add_arm().unwrap(), ArmId::new(2));
            windowed.remove_arm(ArmId::new(2)).unwrap();
        }
    }
}

#[test]
fn a_normaliser_and_forgetting_go_together() {
    let normaliser = Some(NormaliserSettings::default().with_warm_up(10).with_bias(true));
    let rule = AnyRule::Ucb(Ucb { alpha: 0.5 });
    for settings in forgetting(&PolicySettings::new(PolicyKind::Logistic, 2, 2, Some(rule))) {
        let mut policy = AnyPolicy::new(settings.1.with_normaliser(normaliser)).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..40 {
            let context = [rng.random::<f64>(), 100.0 * rng.random::<f64>()];
            let decision = policy.decide(&Request::new(&context), &mut rng).unwrap();
            policy.learn(&decision, f64::from(u8::from(context[0] > 0.5))).unwrap();
        }
        let text = serde_json::to_string(&policy).unwrap();
        let loaded: AnyPolicy = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&loaded).unwrap(), text);
    }
}
