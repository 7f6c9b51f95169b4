//! A policy learned from a log of millions of rows, saved on the way: after a kill it continues where it was saved.
//!
//! Usage: `millions LOG.vw STATE [EVERY]`, where the lines of the log are in Vowpal Wabbit's text format, with costs and
//! probabilities. It prints rows a second and a checksum of the learned state.

use dht_bandits::Policy;
use dht_bandits::features::FeatureHasher;
use dht_bandits::log::VowpalRows;
use dht_bandits::policy::{SoftmaxPolicy, load_binary, save_binary};
use std::error::Error;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::BufReader;
use std::time::Instant;

const ARMS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, state, rest @ ..] = &arguments[..] else { return Err("usage: millions LOG.vw STATE [EVERY]".into()) };
    let every: u64 = rest.first().map_or(Ok(1_000_000), |text| text.parse())?;
    let hasher = FeatureHasher::new(18)?;
    // The policy counts the rows that it has learned, so that its state is also the position in the log.
    let mut policy = match load_binary::<SoftmaxPolicy>(state) {
        Ok(policy) => policy,
        Err(dht_bandits::Error::File { kind: std::io::ErrorKind::NotFound, .. }) => {
            SoftmaxPolicy::sparse(hasher.space(), ARMS)?
        }
        Err(other) => return Err(other.into()),
    };
    let (start, first) = (Instant::now(), policy.version());
    println!("from row {first}");
    let rows = VowpalRows::new(BufReader::with_capacity(1 << 16, File::open(log)?), log, hasher);
    for row in rows.skip(usize::try_from(first)?) {
        policy.fit_row(&row?)?;
        if policy.version() % every == 0 {
            save_binary(state, &policy)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    save_binary(state, &policy)?;
    let mut digest = DefaultHasher::new();
    digest.write(&std::fs::read(state)?);
    let learned = policy.version() - first;
    println!("{learned} rows, {:.0} a second, state {:016x}", learned as f64 / seconds, digest.finish());
    Ok(())
}
