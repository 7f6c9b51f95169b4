//! Size of a saved LinUCB policy, and CPU time of the process to save and load it, as JSON and as a binary file.
//!
//! `cargo bench -p dht-bandits --bench states`; as a smoke test, `-- --test`.

use std::error::Error;
use std::path::Path;

use cpu_time::ProcessTime;
use dht_bandits::policy::{load_binary, save_binary};
use dht_bandits::{ArmId, LinUcb, Policy, Ridge, Ucb};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Policy whose arms have learned three rewards each, so that no weight of a factor is zero.
fn policy(dimension: usize, arms: usize) -> dht_bandits::Result<LinUcb> {
    let (mut rng, ridge) = (ChaCha8Rng::seed_from_u64(1), Ridge::new(1.0));
    let mut policy = LinUcb::new(dimension, arms, ridge, Ucb { alpha: 0.5 })?;
    for arm in (0..3 * arms as u64).map(|number| ArmId::new(number % arms as u64)) {
        let context: Vec<f64> = (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect();
        policy.update(arm, &context, rng.random(), 1.0)?;
    }
    Ok(policy)
}

/// Median seconds to save and to load a file in one format over five turns, and the length of the file.
fn measure(
    file: &Path,
    save: impl Fn() -> Result<(), Box<dyn Error>>,
    load: impl Fn() -> Result<LinUcb, Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let (mut saving, mut loading) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let start = ProcessTime::now();
        save()?;
        saving.push(start.elapsed().as_secs_f64());
        let start = ProcessTime::now();
        load()?;
        loading.push(start.elapsed().as_secs_f64());
    }
    saving.sort_by(f64::total_cmp);
    loading.sort_by(f64::total_cmp);
    let length = std::fs::metadata(file)?.len() as f64 / 1e6;
    Ok(format!("{length:.1} | {:.3} | {:.3} |", saving[2], loading[2]))
}

fn main() -> Result<(), Box<dyn Error>> {
    let sizes =
        if std::env::args().any(|argument| argument == "--test") { [(4, 3); 2] } else { [(64, 10), (256, 100)] };
    let folder = tempfile::tempdir()?;
    println!("| d, K | format | MB | save, s | load, s |\n|---|---|---|---|---|");
    for (dimension, arms) in sizes {
        let policy = policy(dimension, arms)?;
        let (json, binary) = (folder.path().join("json"), folder.path().join("binary"));
        let by_json = measure(
            &json,
            || Ok(std::fs::write(&json, serde_json::to_vec(&policy)?)?),
            || Ok(serde_json::from_slice(&std::fs::read(&json)?)?),
        )?;
        println!("| {dimension}, {arms} | JSON | {by_json}");
        let by_binary = measure(&binary, || Ok(save_binary(&binary, &policy)?), || Ok(load_binary(&binary)?))?;
        println!("| {dimension}, {arms} | binary | {by_binary}");
        assert_eq!(load_binary::<LinUcb>(&binary)?.state(), policy.state());
    }
    Ok(())
}
