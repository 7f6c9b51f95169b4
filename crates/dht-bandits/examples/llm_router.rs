//! Routes prompts to one of three language models. A small model is cheap and fast; a large one is right more often.
//! The utility of an answer is its quality minus prices for money and time, and the policy learns which model each
//! prompt is worth.
//!
//! cargo run --release -p dht-bandits --example llm_router

use dht_bandits::{
    Policy, Request,
    policy::{AnyPolicy, RewardType},
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Language model: its price in dollars and its seconds per 1,000 tokens, and its skill. The skill is the log-odds of a
/// good answer to a prompt of difficulty 0.
struct Model {
    name: &'static str,
    dollars: f64,
    seconds: f64,
    skill: f64,
}

const MODELS: [Model; 3] = [
    Model { name: "small", dollars: 0.0002, seconds: 1.0, skill: 0.5 },
    Model { name: "medium", dollars: 0.002, seconds: 3.0, skill: 2.0 },
    Model { name: "large", dollars: 0.02, seconds: 8.0, skill: 4.5 },
];
/// Value of a good answer in dollars.
const WORTH: f64 = 0.1;
/// Cost in dollars of a second of waiting.
const SECOND: f64 = 0.001;
const PROMPTS: usize = 5000;

/// Prompt: the features that the router sees, each on a scale of its own, and the hidden difficulty.
struct Prompt {
    context: [f64; 4],
    tokens: f64,
    difficulty: f64,
}

fn prompt(rng: &mut impl Rng) -> Prompt {
    let tokens = rng.random_range(50.0..2000.0);
    let (code, math) = (f64::from(rng.random::<f64>() < 0.3), f64::from(rng.random::<f64>() < 0.2));
    // The perplexity under a tiny model is informative about the difficulty.
    let perplexity = rng.random_range(5.0..60.0);
    let difficulty = -2.0 + 1.5 * code + 3.0 * math + 0.05 * perplexity;
    Prompt { context: [tokens, code, math, perplexity], tokens, difficulty }
}

fn quality(model: &Model, prompt: &Prompt) -> f64 {
    1.0 / (1.0 + (prompt.difficulty - model.skill).exp())
}

fn utility(model: &Model, prompt: &Prompt, quality: f64) -> f64 {
    let thousands = prompt.tokens / 1000.0;
    WORTH * quality - thousands * (model.dollars + SECOND * model.seconds)
}

fn main() -> dht_bandits::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    // Utilities are fractions of a dollar, and contexts are raw: the policy scales both.
    let mut router = AnyPolicy::recommended(4, MODELS.len(), RewardType::Real)?;
    // Expected utility of the router, of fixed rules (each model alone, and one that depends on the type of the
    // prompt), and of the best model for each prompt.
    let (mut routed, mut alone, mut by_kind, mut best, mut counts) = (0.0, [0.0; 3], 0.0, 0.0, [0; 3]);
    for _ in 0..PROMPTS {
        let prompt = prompt(&mut rng);
        let decision = router.decide(&Request::new(&prompt.context), &mut rng)?;
        let choice = decision.arm().number() as usize;
        // A judge or a user says whether the answer is good.
        let good = f64::from(rng.random::<f64>() < quality(&MODELS[choice], &prompt));
        router.learn(&decision, utility(&MODELS[choice], &prompt, good))?;
        let expected = MODELS.each_ref().map(|model| utility(model, &prompt, quality(model, &prompt)));
        alone.iter_mut().zip(expected).for_each(|(sum, value)| *sum += value);
        routed += expected[choice];
        let [_, code, math, _] = prompt.context;
        by_kind += expected[if math > 0.0 { 2 } else { usize::from(code > 0.0) }];
        best += expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        counts[choice] += 1;
    }
    let cents = |sum: f64| 100.0 * sum / PROMPTS as f64;
    println!("utility in cents a prompt: best model for each prompt {:.2}, router {:.2}", cents(best), cents(routed));
    for ((model, sum), count) in MODELS.iter().zip(alone).zip(counts) {
        println!("  {} alone {:.2}; the router sent it {count} of {PROMPTS} prompts", model.name, cents(sum));
    }
    println!("  large for mathematics, medium for code, small for the rest {:.2}", cents(by_kind));
    let best_rule = alone.into_iter().fold(by_kind, f64::max);
    let share = (routed - best_rule) / (best - best_rule);
    println!("of what the best fixed rule leaves, the router earns {:.0} %", 100.0 * share);
    assert!(share > 0.3, "the router earns more than every fixed rule");
    Ok(())
}

#[cfg(test)]
#[test]
fn the_story_ends_as_it_says() -> dht_bandits::Result<()> {
    main()
}
