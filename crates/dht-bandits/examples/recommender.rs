//! Chooses three of thirty articles for a shop's front page, for each visitor. Clicks arrive minutes later. Products of
//! visitor and article decide who likes what, so the policy does not learn articles by their ids.
//!
//! cargo run --release -p dht-bandits --example recommender

use std::collections::VecDeque;

use dht_bandits::features::Interactions;
use dht_bandits::policy::{Feedback, Slate, TopK};
use dht_bandits::posterior::FullLaplace;
use dht_bandits::{ArmId, Request, Ucb};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const GENRES: usize = 4;
const ARTICLES: usize = 30;
const SHOWN: usize = 3;
const VISITORS: usize = 6000;
/// Number of visitors after which clicks arrive.
const DELAY: usize = 50;

/// One-hot encoding of a genre, followed by a constant.
fn one_hot(genre: usize) -> [f64; GENRES + 1] {
    std::array::from_fn(|index| f64::from(u8::from(index == genre || index == GENRES)))
}

fn rate(taste: usize, genre: usize) -> f64 {
    if taste == genre { 0.25 } else { 0.03 }
}

fn main() -> dht_bandits::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let genres: Vec<usize> = (0..ARTICLES).map(|_| rng.random_range(0..GENRES)).collect();
    let ids: Vec<ArmId> = (0..ARTICLES as u64).map(|number| ArmId::new(1000 + number)).collect();
    let features: Vec<f64> = genres.iter().flat_map(|genre| one_hot(*genre)).collect();
    let products = Interactions::new(GENRES + 1, GENRES + 1)?;
    let posterior = FullLaplace::default();
    let mut policy = TopK::shared(products.dimension(), posterior, Ucb { alpha: 1.0 })?.with_interactions(products)?;
    let mut waiting: VecDeque<(Slate, Vec<Feedback>)> = VecDeque::new();
    // Expected clicks in the last third of the rounds: of the policy, of random articles, and of the best three.
    let (mut clicks, mut random, mut best) = (0.0, 0.0, 0.0);
    for visitor in 0..VISITORS {
        let taste = rng.random_range(0..GENRES);
        let context = one_hot(taste);
        let request = Request::new(&context).featured(&ids, &features, GENRES + 1)?;
        let slate = policy.decide_slate(SHOWN, &request, &mut rng)?;
        let rates: Vec<f64> =
            slate.choices().iter().map(|choice| rate(taste, genres[(choice.arm.number() - 1000) as usize])).collect();
        if visitor >= VISITORS * 2 / 3 {
            let all: Vec<f64> = genres.iter().map(|genre| rate(taste, *genre)).collect();
            let mut sorted = all.clone();
            sorted.sort_by(|left, right| right.total_cmp(left));
            clicks += rates.iter().sum::<f64>();
            random += all.iter().sum::<f64>() * SHOWN as f64 / ARTICLES as f64;
            best += sorted[..SHOWN].iter().sum::<f64>();
        }
        let observed = rates.iter().map(|rate| Feedback::Observed(f64::from(rng.random::<f64>() < *rate))).collect();
        waiting.push_back((slate, observed));
        if waiting.len() > DELAY
            && let Some((slate, feedback)) = waiting.pop_front()
        {
            policy.learn_slate(&slate, &feedback)?;
        }
    }
    let share = (clicks - random) / (best - random);
    println!("the last {} visitors: {:.0} % of the clicks beyond random articles", VISITORS / 3, 100.0 * share);
    assert!(share > 0.9, "{share}");
    Ok(())
}

#[cfg(test)]
#[test]
fn the_story_ends_as_it_says() -> dht_bandits::Result<()> {
    main()
}
