//! Bytes of another format version give the right value or a typed error.

use dht_bandits::{
    ArmId, Decision, LinUcb, Policy, Request, Ridge, Ucb,
    log::LoggedDecision,
    policy::{AnyPolicy, AnyRule, PolicySettings},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Serialize;

use crate::round_trip::{read, write};
use crate::values::every_setting;

fn policy() -> LinUcb {
    let mut policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    policy.update(ArmId::new(1), &[1.0, 0.5], 1.0, 1.0).unwrap();
    policy
}

/// Copy of the bytes with another format version, whose position is after the name of the type.
fn with_format(bytes: &[u8], kind: &str, format: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(kind.len()).position(|part| part == kind.as_bytes()).unwrap() + kind.len();
    assert_eq!(bytes[at], 4, "the format of this version");
    bytes[at] = format;
    bytes
}

#[test]
fn positional_states_of_other_versions_are_refused() {
    let any = AnyPolicy::new(every_setting().swap_remove(0)).unwrap();
    let mut waiting = policy();
    for format in ["MessagePack", "postcard"] {
        let saved = write(format, &policy()).unwrap();
        for (other, problem) in [(3, "format version 3, expected 4"), (5, "format version 5")] {
            let refused = read::<LinUcb>(format, &with_format(&saved, "disjoint/ridge/ucb", other)).unwrap_err();
            // The error of postcard does not say what is wrong.
            assert!(format == "postcard" || refused.contains(problem), "{format}: {refused}");
        }
        let saved = write(format, &any).unwrap();
        assert!(read::<AnyPolicy>(format, &with_format(&saved, "any-policy", 3)).is_err(), "{format}");
        let delta = write(format, &policy().diff(&policy()).unwrap()).unwrap();
        let refused = read::<dht_bandits::policy::Delta>(format, &with_format(&delta, "delta/ridge", 3));
        assert!(refused.is_err(), "{format}");
        // The policy is unchanged by all refused states.
        assert!(refused.and_then(|delta| waiting.apply(&delta).map_err(|error| error.to_string())).is_err());
    }
    assert_eq!(waiting.state(), policy().state());
    // Text formats name their fields.
    let text = serde_json::to_string(&policy()).unwrap().replace("\"format\":4", "\"format\":3");
    assert_eq!(serde_json::from_str::<LinUcb>(&text).unwrap().state(), policy().state());
}

#[test]
fn shorter_and_longer_rows_are_read_right_or_refused() {
    #[derive(Serialize)]
    struct Before {
        context: Vec<f64>,
        arm: u64,
        propensity: f64,
        reward: f64,
        available: Option<Vec<u64>>,
        probabilities: Option<Vec<(u64, f64)>>,
        features: Option<Vec<f64>>,
    }
    #[derive(Serialize)]
    struct After {
        row: LoggedDecision,
        later: f64,
    }
    for length in 0..4 {
        let row = LoggedDecision::new(vec![0.5; length], ArmId::new(2), 0.5, 1.0);
        let before = Before {
            context: row.context.clone(),
            arm: 2,
            propensity: 0.5,
            reward: 1.0,
            available: None,
            probabilities: None,
            features: None,
        };
        for format in ["JSON", "CBOR", "MessagePack named", "MessagePack"] {
            assert_eq!(read::<LoggedDecision>(format, &write(format, &before).unwrap()).unwrap(), row, "{format}");
        }
        assert!(read::<LoggedDecision>("postcard", &write("postcard", &before).unwrap()).is_err());
        for format in ["CBOR", "MessagePack named", "MessagePack"] {
            let after = write(format, &After { row: row.clone(), later: 1.0 }).unwrap();
            assert!(read::<LoggedDecision>(format, &after).is_err(), "{format}");
        }
    }
}

#[test]
fn cut_bytes_are_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let decision = policy().decide(&Request::new(&[1.0, 0.5]), &mut rng).unwrap();
    for format in ["MessagePack", "postcard"] {
        let bytes = write(format, &decision).unwrap();
        for length in 0..bytes.len() {
            assert!(read::<Decision>(format, &bytes[..length]).is_err(), "{format} {length}");
        }
        for settings in every_setting() {
            let bytes = write(format, &settings).unwrap();
            for length in 0..bytes.len() {
                let read = read::<PolicySettings>(format, &bytes[..length]);
                assert!(read.is_err(), "{format} {length}: {read:?} of {settings:?}");
            }
        }
    }
}

#[test]
fn rules_have_a_tag_in_texts_and_a_name_in_binary_formats() {
    let rule = AnyRule::Ucb(Ucb { alpha: 0.5 });
    assert_eq!(serde_json::to_string(&rule).unwrap(), r#"{"rule":"ucb","alpha":0.5}"#);
    // An unknown rule, and a known rule with a field of another rule.
    assert!(serde_json::from_str::<AnyRule>(r#"{"rule":"ucb2","alpha":0.5}"#).is_err());
    assert!(serde_json::from_str::<AnyRule>(r#"{"rule":"ucb","epsilon":0.5}"#).is_err());
    assert!(read::<AnyRule>("postcard", &[99, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
}
