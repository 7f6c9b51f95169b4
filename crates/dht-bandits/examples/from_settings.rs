//! Runs a policy that a settings file defines, saves it to another file, and resumes after a restart. Contexts are raw,
//! since the policy scales them.
//!
//! cargo run --release -p dht-bandits --features settings --example from_settings

use dht_bandits::{
    ArmId, Policy, Request,
    policy::{AnyPolicy, PolicySettings},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SETTINGS: &str = r#"
# Four articles, readers of an age and an income.
kind = "linear"
dimension = 2
arms = 4
prior_precision = 1.0
exploration = { rule = "square-cb", gamma = 30.0 }
normaliser = { warm_up = 200, bias = true }
seed = 7
"#;

/// Probability of a click: young readers like article 1, rich readers article 2, and the others article 0.
fn likes(article: ArmId, age: f64, income: f64) -> f64 {
    match article.number() {
        0 => 0.4,
        1 => 1.1 - age / 60.0,
        2 => income / 100_000.0,
        _ => 0.2,
    }
}

/// Serves a number of readers; returns the fraction that clicked.
fn serve(policy: &mut dyn Policy, readers: u32, rng: &mut ChaCha8Rng) -> dht_bandits::Result<f64> {
    let mut clicks = 0;
    for _ in 0..readers {
        let (age, income) = (18.0 + 60.0 * rng.random::<f64>(), 80_000.0 * rng.random::<f64>());
        let decision = policy.decide(&Request::new(&[age, income]), rng)?;
        let clicked = rng.random::<f64>() < likes(decision.arm(), age, income);
        clicks += u32::from(clicked);
        policy.learn(&decision, f64::from(u8::from(clicked)))?;
    }
    Ok(f64::from(clicks) / f64::from(readers))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = PolicySettings::from_toml(SETTINGS)?;
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut policy = AnyPolicy::new(settings)?;
    println!("first 1,000 readers: {:.3} clicks", serve(&mut policy, 1000, &mut rng)?);

    let path = std::env::temp_dir().join("dht-bandits-from-settings.json");
    policy.save(&path)?;
    let mut policy = AnyPolicy::load(&path)?;
    println!("restarted at version {} with {:?}", policy.version(), policy.settings().kind);
    let later = serve(&mut policy, 3000, &mut rng)?;
    println!("next 3,000 readers: {later:.3} clicks");
    assert!(later > 0.5, "the best articles are clicked by .59, one at random by .37");

    // Exact propensity of every article, for a log on which another policy will be evaluated.
    for entry in policy.propensities(&Request::new(&[25.0, 20_000.0]))? {
        println!("a poor reader of 25 gets {} with probability {:.3}", entry.arm, entry.probability);
    }
    // A misspelt key is refused by name, with its line.
    if let Err(error) = PolicySettings::from_toml(&SETTINGS.replace("prior_precision", "prior_percision")) {
        println!("{error}");
    }
    std::fs::remove_file(&path)?;
    Ok(())
}
