//! Shows one of five articles to each reader of a front page. Clicks arrive minutes later, in bursts and in any order.
//! During the run an article is withdrawn, a new one is added, and the service restarts.
//!
//! cargo run --release -p dht-bandits --example news

use dht_bandits::{ArmId, Decision, LinUcb, Normalizer, Observation, Policy, Request, Ridge, Ucb};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws a reader's raw features, age and hours online, which have different scales.
fn reader(rng: &mut impl Rng) -> [f64; 2] {
    [rng.random_range(18.0..70.0), rng.random_range(0.0..3.0)]
}

/// Draws a click from the truth, which the policy does not know: each article has its age group, and the new one
/// pleases all.
fn clicks(article: ArmId, [age, hours]: [f64; 2], rng: &mut impl Rng) -> bool {
    let taste = match article.number() {
        0 => (30.0 - age) / 10.0,
        1 => (age - 50.0) / 10.0,
        2 => hours - 2.0,
        5 => 0.5,
        _ => -2.0,
    };
    rng.random::<f64>() < 1.0 / (1.0 + (1.0 - taste).exp())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    // A posterior needs one scaling: warm the normalizer up, freeze it, then learn.
    let mut normalizer = Normalizer::new(2)?;
    for _ in 0..300 {
        normalizer.observe(&reader(&mut rng))?;
    }
    normalizer.freeze();
    let mut policy = LinUcb::new(3, 5, Ridge::default(), Ucb { alpha: 0.5 })?;
    let mut waiting: Vec<(Decision, bool)> = Vec::new();
    let (embargoed, withdrawn) = (ArmId::new(3), ArmId::new(4));
    let mut earned = [0u32; 4];
    for round in 0..8000 {
        let person = reader(&mut rng);
        let context = [normalizer.normalise(&person)?, vec![1.0]].concat();
        // Article 3 must not be shown before noon.
        let closed = [embargoed];
        let request = Request::new(&context).except(if round % 2 == 0 { &closed } else { &[] });
        let decision = policy.decide(&request, &mut rng)?;
        assert!(round % 2 == 1 || decision.arm() != embargoed, "shown before noon");
        assert!(round <= 4000 || decision.arm() != withdrawn, "shown after it was withdrawn");
        let clicked = clicks(decision.arm(), person, &mut rng);
        earned[round / 2000] += u32::from(clicked);
        waiting.push((decision, clicked));
        if waiting.len() == 50 {
            let swap = rng.random_range(0..50);
            waiting.swap(0, swap);
            // A click on an article that was withdrawn meanwhile cannot be learned.
            let arrived = waiting.drain(..).filter(|(decision, _)| policy.arms().contains(decision.arm()));
            let batch: Vec<_> =
                arrived.map(|(decision, clicked)| Observation::new(decision, f64::from(u8::from(clicked)))).collect();
            policy.learn_batch(&batch)?;
        }
        if round == 4000 {
            policy.remove_arm(withdrawn)?;
            let new = policy.add_arm()?;
            let saved = serde_json::to_string(&policy)?;
            policy = serde_json::from_str(&saved)?;
            assert_eq!(serde_json::to_string(&policy)?, saved, "the same bits after a restart");
            println!("{withdrawn} is withdrawn, {new} is new; restarted from {} bytes", saved.len());
        }
    }
    for (quarter, clicks) in earned.iter().enumerate() {
        let (first, last) = (quarter * 2000, quarter * 2000 + 1999);
        println!("rounds {first:>4} to {last:>4}: {:.3} clicks a view", f64::from(*clicks) / 2000.0);
    }
    assert!(earned[3] > earned[0], "what came of it: more clicks at the end than at first");
    for (age, favourite) in [(20.0, 0), (45.0, 5), (69.0, 1)] {
        let context = [normalizer.normalise(&[age, 1.0])?, vec![1.0]].concat();
        let choice = policy.select(&Request::new(&context), &mut rng)?;
        println!("a reader of {age} gets {}: mean {:.2}, width {:.2}", choice.arm, choice.mean, choice.width);
        assert_eq!(choice.arm.number(), favourite);
    }
    Ok(())
}
