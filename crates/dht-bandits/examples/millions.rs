//! Learns a policy from a log of millions of rows, and saves it on the way. After a kill it resumes from the last saved
//! state.
//!
//! Usage: `millions LOG.vw STATE [EVERY]`. The lines of the log are in Vowpal Wabbit's text format, with costs and
//! probabilities. If the log does not exist, ten million rows are drawn and written first. It prints rows per second of
//! CPU time, peak memory, and a checksum of the learned state.

use std::error::Error;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use cpu_time::ProcessTime;
use dht_bandits::Policy;
use dht_bandits::features::FeatureHasher;
use dht_bandits::log::VowpalRows;
use dht_bandits::policy::{SoftmaxPolicy, load_binary, save_binary};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ARMS: usize = 10;

/// Writes a log of uniform draws. In each of fifty segments, one arm is clicked three times as often as the others.
fn draw(path: &str, rows: u64) -> std::io::Result<()> {
    let (mut rng, mut file) = (ChaCha8Rng::seed_from_u64(1), BufWriter::new(File::create(path)?));
    for _ in 0..rows {
        let (segment, arm) = (rng.random_range(0..50), rng.random_range(0..ARMS));
        let rate = if segment % ARMS == arm { 0.6 } else { 0.2 };
        let cost = if rng.random::<f64>() < rate { -1 } else { 0 };
        let [first, second, third]: [u32; 3] = std::array::from_fn(|_| rng.random_range(0..10_000));
        writeln!(file, "{}:{cost}:0.1 |u s{segment} |w w{first} w{second} w{third}", arm + 1)?;
    }
    file.flush()
}

/// Peak memory in MiB; NaN if the system does not report it.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, state, rest @ ..] = &arguments[..] else { return Err("usage: millions LOG.vw STATE [EVERY]".into()) };
    let every: u64 = rest.first().map_or(Ok(1_000_000), |text| text.parse())?;
    if !Path::new(log).exists() {
        draw(log, 10_000_000)?;
    }
    let hasher = FeatureHasher::new(18)?;
    // The policy counts the rows that it has learned, so its state also contains the position in the log.
    let mut policy = match load_binary::<SoftmaxPolicy>(state) {
        Ok(policy) => policy,
        Err(dht_bandits::Error::File { kind: std::io::ErrorKind::NotFound, .. }) => {
            SoftmaxPolicy::sparse(hasher.space(), ARMS)?
        }
        Err(other) => return Err(other.into()),
    };
    let (start, first) = (ProcessTime::now(), policy.version());
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
    let (rate, memory) = (learned as f64 / seconds, peak());
    println!("{learned} rows, {rate:.0} a second, peak {memory:.0} MiB, state {:016x}", digest.finish());
    Ok(())
}
