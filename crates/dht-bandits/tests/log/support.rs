//! Decisions and folders for the tests.

use std::path::Path;

use dht_bandits::{
    Decision, Policy, Request,
    log::{JoinedDecision, LogError, LogReader, LogSettings},
    policy::Uniform,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Decision among three arms, in a context that identifies it.
pub fn decision(number: u64) -> Decision {
    let policy = Uniform::new(2, 3).unwrap_or_else(|error| unreachable!("{error}"));
    let context = [number as f64, 0.1 + number as f64 / 3.0];
    policy.decide(&Request::new(&context), &mut rng(number)).unwrap_or_else(|error| unreachable!("{error}"))
}

pub fn read(folder: &Path, settings: LogSettings) -> (Vec<JoinedDecision>, Vec<LogError>, LogReader) {
    let mut reader = LogReader::open(folder, settings).unwrap_or_else(|error| unreachable!("{error}"));
    let (mut joined, mut errors) = (Vec::new(), Vec::new());
    for outcome in &mut reader {
        match outcome {
            Ok(decision) => joined.push(decision),
            Err(error) => errors.push(error),
        }
    }
    (joined, errors, reader)
}
