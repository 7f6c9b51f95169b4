//! There is a log of what an old system showed, with the probability of each choice. Which new policy would have done
//! better, and how far can the estimate be trusted? Evaluate first, then start warm with the best.
//!
//! cargo run --release -p dht-bandits --example warm_start_from_logs

use dht_bandits::{
    ArmId, EpsilonGreedy, LinTs, LinUcb, Policy, Request, Result, RidgeOptions, Thompson, Ucb,
    evaluation::{Estimate, LoggedRound, OffPolicy},
    exploration::Greedy,
    simulation::{Environment, GlmEnvironment, simulate},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A logged round: context, arm, reward, propensity.
type Row = (Vec<f64>, ArmId, f64, f64);

/// The value of a policy that has learned from `train`, estimated on `test`, of whose rounds it has learned nothing.
fn evaluate(train: &[Row], test: &[Row], alpha: f64) -> Result<(LinTs, Estimate, Estimate)> {
    let mut policy = LinTs::new(4, 5, RidgeOptions::default(), Thompson { alpha })?;
    // The reward model for the doubly robust estimate is a greedy ridge of its own.
    let mut model = LinUcb::new(4, 5, RidgeOptions::default(), Ucb { alpha: 0.0 })?;
    for (context, arm, reward, _) in train {
        policy.update(*arm, context, *reward, 1.0)?;
        model.update(*arm, context, *reward, 1.0)?;
    }
    let mut rounds = Vec::with_capacity(test.len());
    for (context, arm, reward, propensity) in test {
        // Exact: an integral for Thompson sampling.
        let target = policy.propensities(&Request::new(context))?;
        let predict = |arm| model.score(arm, context).map_or(0.0, |score| score.mean);
        rounds.push(LoggedRound::with_model(*arm, *reward, *propensity, &target, predict));
    }
    let log = OffPolicy::new(&rounds)?;
    Ok((policy, log.self_normalised()?, log.doubly_robust()?))
}

fn main() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut environment = GlmEnvironment::linear(4, 5, 0.5, &mut rng)?;
    // The old system: ε-greedy with much exploration; it knows its propensities.
    let mut old = EpsilonGreedy::new(4, 5, RidgeOptions::default(), Greedy { epsilon: 0.5 })?;
    let mut log: Vec<Row> = Vec::new();
    for _ in 0..4000 {
        environment.advance(&mut rng);
        let decision = old.decide(&Request::new(environment.context()), &mut rng)?;
        let reward = environment.reward(decision.arm(), &mut rng);
        let propensity = decision.choice.propensity.unwrap_or(1.0);
        old.learn(&decision, reward)?;
        log.push((decision.context, decision.choice.arm, reward, propensity));
    }
    let (train, test) = log.split_at(2000);
    let logged = test.iter().map(|row| row.2).sum::<f64>() / test.len() as f64;
    println!("the old system earned {logged:.3} a round on the second half of its log");
    let mut best: Option<(f64, LinTs)> = None;
    for alpha in [0.1, 1.0, 10.0] {
        let (policy, snips, robust) = evaluate(train, test, alpha)?;
        for (name, estimate) in [("SNIPS", snips), ("DR", robust)] {
            let Estimate { value, low, high, effective_samples, .. } = estimate;
            println!("α = {alpha:>4} {name:>5}: {value:.3} [{low:.3}, {high:.3}], worth {effective_samples:.0} rounds");
        }
        if best.as_ref().is_none_or(|(value, _)| robust.low > *value) {
            best = Some((robust.low, policy));
        }
    }
    // In service: the one that started from the log against one that starts from nothing, in the same environment.
    if let Some((_, mut warm)) = best {
        let mut cold = LinTs::new(4, 5, RidgeOptions::default(), *warm.exploration())?;
        let run = |policy: &mut dyn Policy| {
            simulate(policy, &mut environment.clone(), 500, &mut ChaCha8Rng::seed_from_u64(1))
        };
        println!(
            "regret of the first 500 rounds: warm {:.1}, cold {:.1}",
            run(&mut warm)?.total_regret(),
            run(&mut cold)?.total_regret()
        );
    }
    Ok(())
}
