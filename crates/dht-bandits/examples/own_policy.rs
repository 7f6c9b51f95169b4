//! Compares a custom exploration rule and a custom policy with LinUCB in one environment.
//!
//! `cargo run --release -p dht-bandits --example own_policy`

use dht_bandits::{
    ArmId, Choice, Error, LinUcb, Policy, Request, Result, Ridge, Ucb,
    exploration::Exploration,
    policy::{ArmSet, Disjoint, Propensity},
    posterior::Score,
    simulation::{Comparison, Curve, GlmEnvironment},
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Exploration rule by lower confidence bounds, mean − α·width: it plays arms that it is sure of. [`Disjoint`], `TopK`
/// and `Hybrid` turn it into a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct LowerBound {
    alpha: f64,
}

impl Exploration for LowerBound {
    const NAME: &'static str = "lower-bound";
    fn value<R: Rng + ?Sized>(&self, score: Score, _: &mut R) -> f64 {
        score.mean - self.alpha * score.width
    }

    fn check(&self) -> Result<()> {
        match self.alpha >= 0.0 {
            true => Ok(()),
            false => Err(Error::Parameter { name: "alpha", value: self.alpha, requirement: "at least 0" }),
        }
    }
}

/// Policy that plays one arm until the inner policy has learned from `rewards` rewards, and then follows the inner
/// policy.
#[derive(Clone)]
struct After<P> {
    rewards: u64,
    first: ArmId,
    inner: P,
}

impl<P: Policy + Clone + 'static> Policy for After<P> {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn arms(&self) -> &ArmSet {
        self.inner.arms()
    }

    fn version(&self) -> u64 {
        self.inner.version()
    }

    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        match self.version() < self.rewards {
            // The inner policy checks context and arms, and has only one arm to choose from.
            true => self.inner.select(&request.only(&[self.first]), rng),
            false => self.inner.select(request, rng),
        }
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        match self.version() < self.rewards {
            true => self.inner.propensities(&request.only(&[self.first])),
            false => self.inner.propensities(request),
        }
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.inner.update(arm, context, reward, weight)
    }
}

fn main() -> Result<()> {
    const DIMENSION: usize = 5;
    const ARMS: usize = 4;
    let options = || Ridge::new(1.0);
    let lin_ucb = || LinUcb::new(DIMENSION, ARMS, options(), Ucb { alpha: 0.5 });
    let lower_bound = Disjoint::<Ridge, LowerBound>::new(DIMENSION, ARMS, options(), LowerBound { alpha: 0.5 })?;
    let after = After { rewards: 100, first: ArmId::new(0), inner: lin_ucb()? };
    let policies: [(&str, Box<dyn Policy>); 3] = [
        ("LinUCB", Box::new(lin_ucb()?)),
        ("lower bound", Box::new(lower_bound)),
        ("LinUCB after 100 rewards", Box::new(after)),
    ];
    let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(DIMENSION, ARMS, 0.1, rng);
    let comparison = Comparison::run(&policies, environment, 2_000, &[1, 2, 3, 4, 5])?;
    for (name, curves) in &comparison.runs {
        let (regret, error) = Curve::mean_regret(curves);
        println!("{name:<26} regret {regret:8.1} ± {error:.1}");
    }
    Ok(())
}
