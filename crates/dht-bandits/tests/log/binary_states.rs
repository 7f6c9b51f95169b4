//! Binary states: complete, torn, damaged, and of another type.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fs;

use dht_bandits::exploration::SquareCb;
use dht_bandits::features::{FeatureSpace, SparseContext};
use dht_bandits::log::{DecisionLog, LogSettings};
use dht_bandits::policy::{AnyPolicy, Checkpoint, RewardType, SparsePolicy, load_binary, save_binary};
use dht_bandits::posterior::DiagonalLaplace;
use dht_bandits::{Error, LinTs, LinUcb, Policy, Request, Ridge, Thompson, Ucb};

use crate::support::rng;

fn trained() -> LinUcb {
    let mut policy = LinUcb::new(3, 4, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    for round in 0..40u32 {
        let context = [1.0, f64::from(round % 7), 0.1 / f64::from(round + 1)];
        let decision = policy.decide(&Request::new(&context), &mut rng(round.into())).unwrap();
        policy.learn(&decision, f64::from(round % 3)).unwrap();
    }
    policy
}

#[test]
fn binary_states_of_all_kinds_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.bin");
    let policy = trained();
    save_binary(&file, &policy).unwrap();
    assert_eq!(load_binary::<LinUcb>(&file).unwrap().state(), policy.state());
    let mut any = AnyPolicy::recommended(2, 3, RewardType::Binary).unwrap();
    for round in 0..30u32 {
        let decision = any.decide(&Request::new(&[f64::from(round), 1.0]), &mut rng(1)).unwrap();
        any.learn(&decision, f64::from(round % 2)).unwrap();
    }
    save_binary(&file, &any).unwrap();
    assert_eq!(load_binary::<AnyPolicy>(&file).unwrap().to_json().unwrap(), any.to_json().unwrap());
    let space = FeatureSpace::new(20).unwrap();
    let mut sparse = SparsePolicy::new(space, 3, DiagonalLaplace::default(), SquareCb::new(9.0)).unwrap();
    let context = SparseContext::new(space, [(5, 1.0), (1_000_000, 0.3)]).unwrap();
    let decision = sparse.decide(&(&context).into(), &mut rng(2)).unwrap();
    sparse.learn(&decision, 1.0).unwrap();
    let log = DecisionLog::open(folder.path().join("log"), LogSettings::default()).unwrap();
    save_binary(&file, &Checkpoint::new(&sparse, &log)).unwrap();
    let loaded: Checkpoint<SparsePolicy<DiagonalLaplace, SquareCb>> = load_binary(&file).unwrap();
    assert_eq!((loaded.policy.state(), loaded.position), (sparse.state(), log.position()));
    // Two of two million weights have learned, and only these are saved.
    assert!(fs::metadata(&file).unwrap().len() < 1000);
}

#[test]
fn torn_and_damaged_states_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.bin");
    save_binary(&file, &trained()).unwrap();
    let whole = fs::read(&file).unwrap();
    let refusal = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        match load_binary::<LinUcb>(&file) {
            Err(Error::Settings { problem }) => problem.split_once(": ").unwrap().1.to_owned(),
            other => unreachable!("{other:?}"),
        }
    };
    for length in 1..whole.len() {
        let problem = refusal(&whole[..length]);
        assert!(problem.starts_with(&format!("the file ends after {length} bytes, expected")), "{length}: {problem}");
    }
    assert_eq!(refusal(b""), "this is not a binary state");
    assert_eq!(refusal(b"{\"header\""), "this is not a binary state: it is JSON, which `load` reads");
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x10;
        let problem = refusal(&damaged);
        let expected = match position {
            0..8 => "this is not a binary state",
            8..12 => "the binary format has version",
            12..20 => "",
            _ => "the checksum does not fit",
        };
        assert!(problem.starts_with(expected), "{position}: {problem}");
    }
    assert_eq!(refusal(&[&whole[..], b"x"].concat()), "1 bytes follow the state");
    fs::write(&file, &whole).unwrap();
    assert!(load_binary::<LinUcb>(&file).is_ok());
    let other = load_binary::<LinTs>(&file).unwrap_err().to_string();
    assert!(other.contains("disjoint/ridge/ucb"), "{other}");
    let missing = load_binary::<LinUcb>(folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, Error::File { kind: std::io::ErrorKind::NotFound, .. }));
    let unwritable = save_binary(folder.path(), &trained()).unwrap_err();
    assert!(matches!(unwritable, Error::File { .. }));
}

#[test]
fn a_large_state_is_smaller_and_equal() {
    let policy = LinTs::new(64, 20, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
    let mut policy = policy;
    let mut draws = rng(3);
    for round in 0..300u32 {
        let context: Vec<f64> = (0..64).map(|index| f64::from(round * 31 % (index + 7)) / 7.0 - 1.0).collect();
        let decision = policy.decide(&Request::new(&context), &mut draws).unwrap();
        policy.learn(&decision, f64::from(round % 5)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.bin");
    save_binary(&file, &policy).unwrap();
    let (binary, json) = (fs::metadata(&file).unwrap().len() as usize, serde_json::to_string(&policy).unwrap().len());
    assert!(binary * 19 < json * 10, "{binary} {json}");
    assert_eq!(load_binary::<LinTs>(&file).unwrap().state(), policy.state());
}
