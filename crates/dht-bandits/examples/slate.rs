//! Chooses four of thirty items for a results page; the items change every round. The reader stops at the first click:
//! the items below it are unobserved, and the policy learns nothing from them. One further item, an advertisement, is
//! pinned.
//!
//! cargo run --release -p dht-bandits --example slate

use dht_bandits::{
    ArmId, Request, Result, Thompson,
    policy::{Feedback, Slate, TopK},
    posterior::DiagonalLaplace,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const ITEMS: u64 = 30;
const FEATURES: usize = 6;
/// Preferences of readers, unknown to the policy; the last feature is constant.
const TASTE: [f64; FEATURES] = [1.5, -1.0, 0.5, 0.0, 0.0, -2.0];

/// Probability that a reader clicks an item.
fn pleases(features: &[f64]) -> f64 {
    let log_odds: f64 = features.iter().zip(TASTE).map(|(feature, taste)| feature * taste).sum();
    1.0 / (1.0 + (-log_odds).exp())
}

fn main() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let advertisement = ArmId::new(0);
    let mut policy =
        TopK::shared(FEATURES, DiagonalLaplace::default(), Thompson { alpha: 0.3 })?.with_pinned(&[advertisement])?;
    let mut slate = Slate::default();
    let (mut clicks, mut best_clicks) = (0.0, 0.0);
    for round in 1..=4000u64 {
        // New items every round, under new ids: a shared model knows items by their features.
        let names: Vec<_> =
            std::iter::once(advertisement).chain((0..ITEMS).map(|item| ArmId::new(round * ITEMS + item))).collect();
        let rows: Vec<f64> = (0..names.len() * FEATURES)
            .map(|position| if position % FEATURES == FEATURES - 1 { 1.0 } else { StandardNormal.sample(&mut rng) })
            .collect();
        let request = Request::new(&[]).featured(&names, &rows, FEATURES)?;
        policy.select_slate_into(4, &request, &mut rng, &mut slate)?;
        assert!(slate.arms().any(|arm| arm == advertisement), "it is on every page");
        let chances: Vec<f64> = (slate.choices().iter())
            .map(|choice| pleases(&rows[(1 + (choice.arm.number() - round * ITEMS) as usize) * FEATURES..][..FEATURES]))
            .collect();
        let clicked = chances.iter().position(|chance| rng.random::<f64>() < *chance);
        let feedback: Vec<_> = Feedback::cascade(4, clicked).collect();
        policy.learn_slate(&slate, &feedback)?;
        let mut possible: Vec<f64> = rows.chunks(FEATURES).skip(1).map(pleases).collect();
        possible.sort_by(|left, right| right.total_cmp(left));
        let any = |chances: &[f64]| 1.0 - chances.iter().map(|chance| 1.0 - chance).product::<f64>();
        (clicks, best_clicks) = (clicks + any(&chances), best_clicks + any(&possible[..4]));
        if round.is_power_of_two() || round == 4000 {
            let (clicking, best) = (clicks / round as f64, best_clicks / round as f64);
            println!("round {round:>4}: {clicking:.3} of readers click an item; on the best pages {best:.3}");
        }
        if round == 4000 {
            println!("page: {:?}", slate.arms().map(ArmId::number).collect::<Vec<_>>());
            // Probability that each item is shown, for a log.
            let shown = policy.slate_propensities(4, &request)?;
            let sum: f64 = shown.iter().map(|item| item.probability).sum();
            assert!((sum - 4.0).abs() < 1e-9, "four places");
        }
    }
    assert!(clicks > 0.95 * best_clicks, "close to the best pages, though every item is new");
    Ok(())
}
