//! Champion and challenger in service.

use dht_bandits::evaluation::{ChampionChallenger, Verdict};
use dht_bandits::exploration::EpsilonGreedy;
use dht_bandits::policy::{Fixed, SoftmaxPolicy, TopK, Uniform, load_binary, save_binary};
use dht_bandits::{ArmId, Error, LinUcb, Policy, Request, Ridge, Ucb};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

type Pair = ChampionChallenger<Uniform, Fixed>;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn reward(rates: &[f64], arm: ArmId, rng: &mut ChaCha8Rng) -> f64 {
    f64::from(u8::from(rng.random::<f64>() < rates[arm.number() as usize]))
}

fn pair(arm: u64, share: f64) -> Pair {
    let (champion, challenger) = (Uniform::new(1, 2).unwrap(), Fixed::new(1, 2, ArmId::new(arm)).unwrap());
    ChampionChallenger::new(champion, challenger, (0.0, 1.0), 0.05).unwrap().with_share(share).unwrap()
}

/// Verdict after at most this number of rounds, with the number of rounds.
fn run(mut service: Pair, rates: &[f64], seed: u64, rounds: u64) -> (Verdict, u64) {
    let mut rng = rng(seed);
    while service.rounds() < rounds && service.verdict() == Verdict::Undecided {
        let pair = service.decide(&Request::new(&[1.0]), &mut rng).unwrap();
        let reward = reward(rates, pair.decision.arm(), &mut rng);
        service.learn(&pair, reward).unwrap();
    }
    (service.verdict(), service.rounds())
}

#[test]
fn a_better_challenger_is_deployed_and_a_worse_one_rejected() {
    for seed in 0..5 {
        for share in [0.0, 0.2] {
            assert_eq!(run(pair(1, share), &[0.2, 0.7], seed, 4000).0, Verdict::Deploy);
            assert_eq!(run(pair(0, share), &[0.2, 0.7], seed, 4000).0, Verdict::Reject);
        }
    }
}

#[test]
fn equal_policies_are_seldom_told_apart() {
    let wrong = (0..60).filter(|seed| run(pair(1, 0.1), &[0.4, 0.4], *seed, 1500).0 != Verdict::Undecided).count();
    // The promised error rate is 5 %: more than 9 errors in 60 runs have a probability of .001.
    assert!(wrong <= 9, "{wrong}");
}

#[test]
fn the_gain_is_that_over_the_champion() {
    let (mut service, mut rng) = (pair(1, 0.3), rng(3));
    for _ in 0..6000 {
        let pair = service.decide(&Request::new(&[1.0]), &mut rng).unwrap();
        let propensity = pair.decision.choice.propensity.unwrap();
        assert!((propensity - if pair.decision.arm() == ArmId::new(1) { 0.65 } else { 0.35 }).abs() < 1e-12);
        let reward = reward(&[0.3, 0.5], pair.decision.arm(), &mut rng);
        service.learn(&pair, reward).unwrap();
    }
    // The gain is .5 − .4.
    assert!(service.gain().contains(&0.1), "{:?}", service.gain());
    assert!(*service.gain().start() > 0.0 && *service.gain().end() < 0.25, "{:?}", service.gain());
}

#[test]
fn a_champion_without_overlap_is_refused() {
    let (champion, challenger) = (Fixed::new(1, 3, ArmId::new(0)).unwrap(), Uniform::new(1, 3).unwrap());
    let service = ChampionChallenger::new(champion, challenger, (0.0, 1.0), 0.05).unwrap();
    let refused = service.decide(&Request::new(&[1.0]), &mut rng(1)).unwrap_err();
    assert!(matches!(refused, Error::NoOverlap { position: 0, weights } if (weights - 1.0 / 3.0).abs() < 1e-12));
    // The comparison works if both policies have one arm, or if the challenger acts in a share of the requests.
    assert!(service.decide(&Request::new(&[1.0]).only(&[ArmId::new(0)]), &mut rng(1)).is_ok());
    let service = service.with_share(0.1).unwrap();
    assert!(service.decide(&Request::new(&[1.0]), &mut rng(1)).is_ok());
    assert!(service.with_share(1.0).is_err());
}

#[test]
fn a_refused_reward_changes_neither_policy_nor_comparison() {
    let rule = EpsilonGreedy::new(0.3);
    let champion = dht_bandits::policy::Disjoint::new(1, 2, Ridge::default(), rule).unwrap();
    let challenger = SoftmaxPolicy::new(1, 2).unwrap();
    let mut service = ChampionChallenger::new(champion, challenger, (0.0, 1.0), 0.05).unwrap();
    let mut draws = rng(4);
    for round in 0..50u32 {
        let pair = service.decide(&Request::new(&[f64::from(round % 3)]), &mut draws).unwrap();
        service.learn(&pair, f64::from(round % 2)).unwrap();
    }
    let before = serde_json::to_string(&service).unwrap();
    let pair = service.decide(&Request::new(&[1.0]), &mut draws).unwrap();
    for reward in [-0.1, 1.1, f64::NAN] {
        assert!(service.learn(&pair, reward).is_err());
    }
    let mut damaged = pair.clone();
    damaged.decision.context = vec![1.0, 2.0];
    assert!(service.learn(&damaged, 1.0).is_err());
    let mut without = pair.clone();
    without.decision.choice.propensity = None;
    assert!(service.learn(&without, 1.0).is_err());
    assert_eq!(serde_json::to_string(&service).unwrap(), before);
    let shared = TopK::shared(1, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    let lin = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    assert!(ChampionChallenger::new(lin, shared, (0.0, 1.0), 0.05).is_err());
}

#[test]
fn both_policies_and_the_comparison_are_one_file() {
    let (mut service, mut draws) = (pair(1, 0.1), rng(5));
    let step = |service: &mut Pair, draws: &mut ChaCha8Rng| {
        let pair = service.decide(&Request::new(&[1.0]), draws).unwrap();
        let reward = f64::from(u8::from(pair.decision.arm() == ArmId::new(1)));
        let stored: dht_bandits::evaluation::PairedDecision =
            serde_json::from_str(&serde_json::to_string(&pair).unwrap()).unwrap();
        assert_eq!(stored, pair);
        service.learn(&stored, reward).unwrap();
    };
    (0..40).for_each(|_| step(&mut service, &mut draws));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.bin");
    save_binary(&file, &service).unwrap();
    let mut loaded: Pair = load_binary(&file).unwrap();
    let mut same = draws.clone();
    (0..40).for_each(|_| step(&mut service, &mut draws));
    (0..40).for_each(|_| step(&mut loaded, &mut same));
    let text = serde_json::to_string(&service).unwrap();
    assert_eq!(serde_json::to_string(&loaded).unwrap(), text);
    assert_eq!((loaded.verdict(), loaded.rounds(), loaded.champion().version()), (service.verdict(), 80, 80));
    let damaged = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        serde_json::from_str::<Pair>(&text.replacen(from, to, 1)).is_err()
    };
    assert!(damaged("\"share\":0.1", "\"share\":1.5"));
    assert!(damaged("\"alpha\":0.05", "\"alpha\":0.0"));
    assert!(damaged("\"capital\":[", "\"capital\":[1.0,"));
    assert!(damaged("\"kind\":\"champion-challenger\"", "\"kind\":\"other\""));
}
