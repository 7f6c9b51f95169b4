//! Learns a policy from a log and puts it into service. An old rule has shown one of four offers, mostly the same one,
//! and logged its decisions. A policy learns from one half of that log. If the other half shows a gain, it is deployed
//! as a challenger, and must win in service.
//!
//! cargo run --release -p dht-bandits --features log --example offline

use dht_bandits::evaluation::{ChampionChallenger, Evaluation, EvaluationSettings, Target, Verdict};
use dht_bandits::log::LoggedDecision;
use dht_bandits::policy::{SoftmaxPolicy, load_binary, save_binary};
use dht_bandits::{ArmId, Policy, Request};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Service = ChampionChallenger<SoftmaxPolicy, SoftmaxPolicy>;

/// Draws a visitor: age and spending, both scaled.
fn visitor(rng: &mut impl Rng) -> Vec<f64> {
    vec![rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)]
}

/// Probability of a click, unknown to the policies: each offer is right for a quarter of the visitors.
fn rate(visitor: &[f64], arm: ArmId) -> f64 {
    let right = u64::from(visitor[0] > 0.0) * 2 + u64::from(visitor[1] > 0.0);
    if arm.number() == right { 0.5 } else { 0.1 }
}

fn click(visitor: &[f64], arm: ArmId, rng: &mut impl Rng) -> f64 {
    f64::from(rng.random::<f64>() < rate(visitor, arm))
}

fn main() -> dht_bandits::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    // 1. The log of the old rule: offer 0 in 70 % of the cases, each other in 10 %.
    let log: Vec<LoggedDecision> = (0..8000)
        .map(|_| {
            let (context, draw) = (visitor(&mut rng), rng.random_range(0..10u64));
            let (arm, propensity) = if draw < 7 { (ArmId::new(0), 0.7) } else { (ArmId::new(draw - 6), 0.1) };
            let reward = click(&context, arm, &mut rng);
            LoggedDecision::new(context, arm, propensity, reward)
        })
        .collect();
    let (train, test) = log.split_at(4000);
    let logged = log.iter().map(|row| row.reward).sum::<f64>() / log.len() as f64;
    // 2. Learn from one half, by several passes of the doubly robust gradient. No propensity is below .1, so a higher
    //   learning rate than the default is safe.
    let mut learned = SoftmaxPolicy::new(2, 4)?.with_learning_rate(0.5)?.doubly_robust()?;
    for _ in 0..10 {
        learned.fit(train)?;
    }
    // 3. Evaluate on the other half: is the whole interval of the gain above 0?
    let targets = [Target::from_policy("learned", &learned).trained_on(train)];
    let evaluation = Evaluation::run(test, &targets, &EvaluationSettings::default(), &mut rng)?;
    let verdict = evaluation.verdict("learned");
    println!("the rule earned {logged:.3} a visitor; the log says of the learned policy: {verdict:?}");
    if verdict != Some(Verdict::Deploy) {
        return Ok(());
    }
    // 4. Serve beside the old rule, which is represented here by a policy that imitates its log.
    let mut champion = SoftmaxPolicy::new(2, 4)?.with_learning_rate(0.5)?;
    let old: Vec<LoggedDecision> =
        train.iter().map(|row| LoggedDecision { reward: f64::from(row.arm == ArmId::new(0)), ..row.clone() }).collect();
    champion.fit(&old)?;
    let mut service = Service::new(champion, learned.clone(), (0.0, 1.0), 0.05)?.with_share(0.1)?;
    let file = std::env::temp_dir().join(format!("dht-bandits-offline-{}.bin", std::process::id()));
    while service.verdict() == Verdict::Undecided && service.rounds() < 20_000 {
        let context = visitor(&mut rng);
        let pair = service.decide(&Request::new(&context), &mut rng)?;
        service.learn(&pair, click(&context, pair.decision.arm(), &mut rng))?;
        if service.rounds() == 100 {
            // The process ends. The next one loads both policies and their comparison from one file.
            save_binary(&file, &service)?;
            service = load_binary(&file)?;
        }
    }
    std::fs::remove_file(&file).ok();
    let (rounds, gain, decided) = (service.rounds(), service.gain(), service.verdict());
    println!("after {rounds} visitors: {decided}, the gain is from {:.3} to {:.3} a visitor", gain.start(), gain.end());
    assert_eq!(decided, Verdict::Deploy);
    let winner = service.into_challenger();
    let value = |context: &[f64]| -> dht_bandits::Result<f64> {
        let all = winner.propensities(&Request::new(context))?;
        Ok(all.iter().map(|entry| entry.probability * rate(context, entry.arm)).sum())
    };
    let contexts: Vec<_> = (0..2000).map(|_| visitor(&mut rng)).collect();
    let earned = contexts.iter().map(|context| value(context)).sum::<dht_bandits::Result<f64>>()? / 2000.0;
    println!("it earns {earned:.3} a visitor, the rule {logged:.3}, and the best possible policy .500");
    assert!(earned > logged + 0.15);
    Ok(())
}

#[cfg(test)]
#[test]
fn the_story_ends_as_it_says() -> dht_bandits::Result<()> {
    main()
}
