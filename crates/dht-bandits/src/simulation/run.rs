//! Simulated runs of policies in environments, and comparison of their regret over several seeds.

use std::fmt::Write;

use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use crate::decision::{Decision, Request};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::validate::check_bounded;

/// Cumulative regret and reward of one simulated run, round by round.
///
/// ```
/// use dht_bandits::simulation::{Curve, GlmEnvironment};
/// use dht_bandits::{LinUcb, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut environment = GlmEnvironment::linear(3, 4, 0.1, &mut rng)?;
/// let mut policy = LinUcb::new(3, 4, Ridge::new(1.0), Ucb { alpha: 0.5 })?;
/// let curve = Curve::run(&mut policy, &mut environment, 200, &mut rng)?;
/// // Most regret is paid early.
/// assert!(curve.total_regret() - curve.regret[99] < curve.regret[99]);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Cumulative regret up to each round: Σ (best expected reward − expected reward of the chosen arm).
    pub regret: Vec<f64>,
    /// Cumulative reward up to each round.
    pub reward: Vec<f64>,
}

impl Curve {
    /// Runs a policy in an environment. The policy learns the reward after each round.
    ///
    /// # Errors
    /// * Returns the error of the policy if a choice or an update fails.
    /// * Fails if regrets or rewards are not finite, or if their sum is beyond ±1e100.
    pub fn run(
        policy: &mut dyn Policy,
        environment: &mut dyn Environment,
        rounds: usize,
        rng: &mut dyn Rng,
    ) -> Result<Self> {
        let mut curve = Self { regret: Vec::new(), reward: Vec::new() };
        for _ in 0..rounds {
            environment.advance(rng);
            let decision = policy.decide(&Request::new(environment.context()), rng)?;
            curve.learn(policy, environment, &decision, rng)?;
        }
        Ok(curve)
    }

    fn learn(
        &mut self,
        policy: &mut dyn Policy,
        environment: &dyn Environment,
        decision: &Decision,
        rng: &mut dyn Rng,
    ) -> Result<()> {
        let reward = environment.reward(decision.arm(), rng);
        policy.learn(decision, reward)?;
        self.push(environment.best() - environment.expected(decision.arm()), reward)
    }

    /// Cumulative regret at the end of the run.
    pub fn total_regret(&self) -> f64 {
        self.regret.last().copied().unwrap_or(0.0)
    }

    /// Cumulative reward at the end of the run.
    pub fn total_reward(&self) -> f64 {
        self.reward.last().copied().unwrap_or(0.0)
    }

    /// Mean of the total regret over several runs, with its standard error.
    pub fn mean_regret(runs: &[Self]) -> (f64, f64) {
        mean_and_error(runs.iter().map(Self::total_regret))
    }

    /// Mean of the total reward over several runs, with its standard error.
    pub fn mean_reward(runs: &[Self]) -> (f64, f64) {
        mean_and_error(runs.iter().map(Self::total_reward))
    }

    fn push(&mut self, regret: f64, reward: f64) -> Result<()> {
        let (regret, reward) = (self.total_regret() + regret, self.total_reward() + reward);
        check_bounded("regret so far", regret)?;
        check_bounded("reward so far", reward)?;
        self.regret.push(regret);
        self.reward.push(reward);
        Ok(())
    }
}

/// Mean and standard error of several values. For a single value, the standard error is 0.
fn mean_and_error(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
    (mean, (squares / (count * (count - 1.0).max(1.0))).sqrt())
}

/// Constant by which the seed of a policy differs from the seed of its environment, by exclusive or: 2⁶⁴ over the
/// golden ratio.
const OF_POLICY: u64 = 0x9E37_79B9_7F4A_7C15;

/// Simulated runs of several policies with several seeds in one type of environment. The JSON form contains every
/// curve.
///
/// ```
/// use dht_bandits::policy::Uniform;
/// use dht_bandits::simulation::{Comparison, Curve, GlmEnvironment};
/// use dht_bandits::{LinUcb, Policy, Ridge, Ucb};
/// use rand_chacha::ChaCha8Rng;
///
/// let policies: [(&str, Box<dyn Policy>); 2] = [
///     ("LinUCB", Box::new(LinUcb::new(3, 4, Ridge::new(1.0), Ucb { alpha: 0.5 })?)),
///     ("uniform", Box::new(Uniform::new(3, 4)?)),
/// ];
/// let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(3, 4, 0.1, rng);
/// let comparison = Comparison::run(&policies, environment, 200, &[1, 2, 3])?;
/// let regret = |policy: usize| Curve::mean_regret(&comparison.runs[policy].1).0;
/// assert!(regret(0) < regret(1) / 2.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Seeds of the runs, one for each curve of a policy.
    pub seeds: Vec<u64>,
    /// Name of each policy with its curves, one curve per seed.
    pub runs: Vec<(String, Vec<Curve>)>,
}

impl Comparison {
    /// Runs a copy of every policy in the same environments. For each seed, one random generator creates the
    /// environment and draws its contexts and rewards, and a second generator, derived from the seed, is used by the
    /// policy. Curves of one seed are therefore paired: all policies see the same contexts.
    ///
    /// # Errors
    /// * Fails if there are no seeds.
    /// * Returns the error of a policy or an environment.
    pub fn run<R: Rng + SeedableRng, W: Environment>(
        policies: &[(&str, Box<dyn Policy>)],
        environment: impl Fn(&mut R) -> Result<W>,
        rounds: usize,
        seeds: &[u64],
    ) -> Result<Self> {
        if seeds.is_empty() {
            return Err(Error::TooFewObservations { what: "a comparison", needed: 1, got: 0 });
        }
        let run = |policy: &dyn Policy, seed: u64| {
            let (mut rng, mut choices) = (R::seed_from_u64(seed), R::seed_from_u64(seed ^ OF_POLICY));
            let (mut policy, mut environment) = (policy.clone_box(), environment(&mut rng)?);
            let mut curve = Curve { regret: Vec::new(), reward: Vec::new() };
            for _ in 0..rounds {
                environment.advance(&mut rng);
                let decision = policy.decide(&Request::new(environment.context()), &mut choices)?;
                curve.learn(&mut *policy, &environment, &decision, &mut rng)?;
            }
            Ok(curve)
        };
        let runs = |(name, policy): &(&str, Box<dyn Policy>)| {
            let curves = seeds.iter().map(|&seed| run(&**policy, seed)).collect::<Result<_>>()?;
            Ok(((*name).to_owned(), curves))
        };
        Ok(Self { seeds: seeds.to_vec(), runs: policies.iter().map(runs).collect::<Result<_>>()? })
    }

    /// Writes a CSV table with the columns `round,policy,regret,regret_error,reward,reward_error`: means and standard
    /// errors over seeds, every `step` rounds and at the last round. If curves differ in length, a row averages only
    /// the curves that reach its round.
    pub fn to_csv(&self, step: usize) -> String {
        let mut csv = "round,policy,regret,regret_error,reward,reward_error\n".to_owned();
        for (name, curves) in &self.runs {
            let name = name.replace([',', '\n', '"'], " ");
            let rounds = curves.iter().map(|curve| curve.regret.len()).max().unwrap_or(0);
            for round in (0..rounds).filter(|round| (round + 1) % step.max(1) == 0 || round + 1 == rounds) {
                let at = |sums: fn(&Curve) -> &[f64]| {
                    mean_and_error(curves.iter().filter_map(move |curve| sums(curve).get(round).copied()))
                };
                let (regret, regret_error) = at(|curve| &curve.regret);
                let (reward, reward_error) = at(|curve| &curve.reward);
                // Writing to a string cannot fail.
                let _ = writeln!(csv, "{},{name},{regret},{regret_error},{reward},{reward_error}", round + 1);
            }
        }
        csv
    }
}
