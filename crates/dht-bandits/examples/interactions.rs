//! Recommends items with and without products of context and features. Readers belong to three segments, and items to
//! three topics; all items are new in each round. A reader clicks 80 % of the items of the segment's own topic and 10 %
//! of the others. Shared weights can learn this only from products of segment and topic.
//!
//! cargo run --release -p dht-bandits --example interactions

use dht_bandits::{
    ArmId, Error, Policy, Request,
    policy::{AnyPolicy, PolicyKind, PolicySettings, RewardType},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROUNDS: u64 = 4000;

/// Mean number of clicks per round. Without its context, a policy sees only the items' topics.
fn clicks(policy: &mut dyn Policy, with_context: bool) -> dht_bandits::Result<f64> {
    let (mut rng, mut total) = (ChaCha8Rng::seed_from_u64(7), 0.0);
    for round in 0..ROUNDS {
        let segment = rng.random_range(0..3usize);
        let mut context = vec![0.0; if with_context { 3 } else { 0 }];
        context.iter_mut().skip(segment).take(1).for_each(|column| *column = 1.0);
        // A new item of each topic, whose id never occurs again.
        let items = [0, 1, 2].map(|topic| ArmId::new(3 * round + topic));
        let topics = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let request = Request::new(&context).featured(&items, &topics, 3)?;
        let decision = policy.decide(&request, &mut rng)?;
        let topic = (decision.arm().number() % 3) as usize;
        let clicked = f64::from(rng.random::<f64>() < if topic == segment { 0.8 } else { 0.1 });
        policy.learn(&decision, clicked)?;
        total += clicked;
    }
    Ok(total / ROUNDS as f64)
}

fn main() -> dht_bandits::Result<()> {
    // With features, `kind = "auto"` uses all products of context and features.
    let settings = PolicySettings::recommended_for_items(3, 3, RewardType::Binary);
    let with = clicks(&mut AnyPolicy::new(settings.clone())?, true)?;
    let without = clicks(&mut AnyPolicy::new(PolicySettings::recommended_for_items(0, 3, RewardType::Binary))?, false)?;
    println!("clicks a round: {without:.3} without products, {with:.3} with them; at random .333, at best .800");
    assert!(without < 0.36 && with > 0.77, "{without} {with}");
    // A context without products is an error: the policy does not ignore it silently.
    let refused = AnyPolicy::new(settings.with_interactions(None).with_kind(PolicyKind::SharedLogistic));
    assert!(matches!(&refused, Err(Error::NeedsInteractions { context: 3 })));
    if let Err(error) = refused {
        println!("refused: {error}");
    }
    Ok(())
}
