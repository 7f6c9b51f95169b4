//! Comparison of counts with probabilities, by χ².

use dht_bandits::{Policy, Request, policy::Propensity};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

pub fn draws() -> u32 {
    std::env::var("DHT_DRAWS").ok().and_then(|draws| draws.parse().ok()).unwrap_or(20_000)
}

pub fn normals(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

/// Quantile 1 − 1e-4 of χ² for `freedom` degrees of freedom, by Wilson and Hilferty (1931).
fn quantile(freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    freedom * (1.0 - spread + 3.719_016_5 * spread.sqrt()).powi(3)
}

/// Compares counts of choices with probabilities. Cells that expect fewer than five choices are pooled. The standard
/// error of a probability widens its cell.
fn assert_drawn(name: &str, propensities: &[Propensity], counts: &[u32], total: u32) {
    let draws = f64::from(total);
    let (mut rare, mut statistic, mut cells) = ((0.0, 0.0), 0.0, 0.0);
    let mut add = |expected: f64, count: f64, error: f64| {
        statistic += (count - expected) * (count - expected) / (expected + (draws * error).powi(2));
        cells += 1.0;
    };
    for (entry, &count) in propensities.iter().zip(counts) {
        let (expected, count) = (entry.probability * draws, f64::from(count));
        if expected < 5.0 {
            rare = (rare.0 + expected, rare.1 + count);
        } else {
            add(expected, count, entry.standard_error);
        }
    }
    if rare.0 > 0.5 {
        add(rare.0, rare.1, 0.0);
    } else {
        assert!(rare.1 < 8.0, "{name}: {rare:?}");
    }
    if cells > 1.0 {
        assert!(
            statistic < quantile(cells - 1.0),
            "{name}: χ² {statistic} of {cells} cells {propensities:?} {counts:?}"
        );
    }
}

pub fn check(name: &str, policy: &dyn Policy, request: &Request<'_>, rng: &mut ChaCha8Rng) {
    let propensities = policy.propensities(request).unwrap();
    let sum: f64 = propensities.iter().map(|entry| entry.probability).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{name}: {sum}");
    let mut counts = vec![0; propensities.len()];
    for _ in 0..draws() {
        let choice = policy.select(request, rng).unwrap();
        let position = propensities.iter().position(|entry| entry.arm == choice.arm).unwrap();
        assert!(propensities[position].probability > 0.0, "{name}: {choice:?} was impossible");
        if let Some(propensity) = choice.propensity {
            assert!((propensity - propensities[position].probability).abs() < 1e-12, "{name}: {choice:?}");
        }
        counts[position] += 1;
    }
    assert_drawn(name, &propensities, &counts, draws());
}
