//! Chooses one of five ads from words: the ads have titles, and the visitors have searches. New words and new ads
//! appear every day, nothing is enumerated, and every weight can be explained.
//!
//! cargo run --release -p dht-bandits --example text_ads

use dht_bandits::exploration::SquareCb;
use dht_bandits::features::{FeatureHasher, SparseContext};
use dht_bandits::policy::SparsePolicy;
use dht_bandits::posterior::DiagonalLaplace;
use dht_bandits::{ArmId, Policy, Request};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TOPICS: [(&str, [&str; 4]); 5] = [
    ("travel", ["hotel", "flight", "beach", "island"]),
    ("sport", ["shoes", "running", "bike", "ball"]),
    ("garden", ["roses", "spade", "seeds", "lawn"]),
    ("music", ["guitar", "piano", "concert", "vinyl"]),
    ("kitchen", ["knife", "oven", "pasta", "spices"]),
];
const ROUNDS: usize = 8000;

fn main() -> dht_bandits::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut hasher = FeatureHasher::new(18)?.with_interactions([("search", "title")])?.with_names();
    let mut policy = SparsePolicy::shared(hasher.space(), DiagonalLaplace::default(), SquareCb::new(100.0))?;
    // Expected clicks in the last quarter of the rounds: of the policy, of a random ad, and of the best ad for each
    // visitor.
    let (mut clicks, mut random, mut best) = (0.0, 0.0, 0.0);
    for round in 0..ROUNDS {
        let (_, words) = TOPICS[rng.random_range(0..TOPICS.len())];
        let search = format!("{} {} q{}", words[rng.random_range(0..4)], words[rng.random_range(0..4)], round % 900);
        hasher.clear();
        hasher.text("search", &search);
        let of_visitor = hasher.len();
        // The five ads of a round, each with a title. Visitors click on ads of their own topic.
        let (mut actions, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let (topic, titles) = TOPICS.choose(&mut rng).unwrap_or(&TOPICS[0]);
            hasher.truncate(of_visitor);
            hasher.text("title", &format!("{} {topic} offer{}", titles[rng.random_range(0..4)], round / 80));
            actions.push(hasher.context()?);
            rates.push(if titles == &words { 0.30 } else { 0.03 });
        }
        let ids: Vec<ArmId> = (0..5).map(ArmId::new).collect();
        let (rows, width) = SparseContext::rows(&actions)?;
        let decision = policy.decide(&Request::new(&[]).featured(&ids, &rows, width)?, &mut rng)?;
        let rate = rates[decision.arm().number() as usize];
        policy.learn(&decision, f64::from(rng.random::<f64>() < rate))?;
        if round >= ROUNDS * 3 / 4 {
            clicks += rate;
            random += rates.iter().sum::<f64>() / 5.0;
            best += rates.iter().copied().fold(0.0, f64::max);
        }
    }
    for (index, weight) in policy.largest_weights(None, 5) {
        println!("{weight:+.2}  {}", hasher.names(index).join("  or  "));
    }
    let (features, collisions) = hasher.collisions().unwrap_or_default();
    println!("{features} features, of which {collisions} share the weight of another");
    let share = (clicks - random) / (best - random);
    println!(
        "the last {} visitors: {:.0} % of the clicks that are possible beyond random ads",
        ROUNDS / 4,
        100.0 * share
    );
    assert!(share > 0.6, "{share}");
    Ok(())
}

#[cfg(test)]
#[test]
fn the_story_ends_as_it_says() -> dht_bandits::Result<()> {
    main()
}
