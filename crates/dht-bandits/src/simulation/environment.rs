//! Simulated bandit environments, in which the expected reward of every arm is known.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use crate::arm::ArmId;
use crate::error::Result;
use crate::posterior::sigmoid;
use crate::validate::{check_length, check_parameter};

/// Simulated bandit environment: draws contexts and rewards, and knows the expected reward of every arm.
pub trait Environment {
    /// Length of a context.
    fn dimension(&self) -> usize;

    /// Number of arms. Their ids are 0 to K − 1.
    fn arms(&self) -> usize;

    /// Advances to the next round and draws its context.
    fn advance(&mut self, rng: &mut dyn Rng);

    /// Context of the current round.
    fn context(&self) -> &[f64];

    /// Expected reward of an arm in the current round.
    fn expected(&self, arm: ArmId) -> f64;

    /// Draws the reward of an arm in the current round. The number of random numbers used must not depend on the arm:
    /// policies in a [`Comparison`](super::Comparison) then see the same contexts.
    fn reward(&self, arm: ArmId, rng: &mut dyn Rng) -> f64;

    /// Expected reward of the best arm in the current round.
    fn best(&self) -> f64 {
        let arms = 0..self.arms() as u64;
        arms.map(|arm| self.expected(ArmId::new(arm))).fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Relation between the linear predictor w'x and the reward.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Link {
    /// Linear reward: w'x for the weights w of the arm and the context x, plus normal noise of this standard deviation.
    Noise(f64),
    /// Binary reward: 1 with probability σ(w'x) for the weights w of the arm and the context x, else 0.
    Bernoulli,
}

/// Generalised linear environment with random weights. Contexts are standard normal with a 1 appended. Weights are N(0,
/// 1/d), and rewards are linear or logistic. Weights can be redrawn after a fixed number of rounds
/// ([`drifting`](Self::drifting)) or change gradually ([`wandering`](Self::wandering)).
///
/// ```
/// use dht_bandits::ArmId;
/// use dht_bandits::simulation::{Environment, GlmEnvironment};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut environment = GlmEnvironment::linear(3, 4, 0.1, &mut rng)?;
/// environment.advance(&mut rng);
/// assert_eq!(environment.context().len(), 3);
/// let expected: Vec<f64> = (0..4).map(|arm| environment.expected(ArmId::new(arm))).collect();
/// assert!(expected.contains(&environment.best()));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GlmEnvironment {
    dimension: usize,
    weights: Vec<f64>,
    link: Link,
    period: Option<u64>,
    /// Retention ρ of each weight in a round: w ← ρw + √(1 − ρ²)·z for random z.
    retention: f64,
    round: u64,
    context: Vec<f64>,
}

impl GlmEnvironment {
    fn new(dimension: usize, arms: usize, link: Link, rng: &mut dyn Rng) -> Result<Self> {
        check_parameter("dimension", dimension as f64, dimension >= 2, "at least 2")?;
        check_length("dimension", dimension)?;
        check_length("arms", arms)?;
        check_length("dimension × arms", dimension * arms)?;
        let weights = vec![0.0; dimension * arms];
        let mut environment =
            Self { dimension, weights, link, period: None, retention: 1.0, round: 0, context: vec![0.0; dimension] };
        environment.redraw(rng);
        Ok(environment)
    }

    /// Creates an environment with rewards w_a'x plus normal noise of standard deviation `noise`, where w_a are the
    /// weights of arm a and x is the context.
    ///
    /// # Errors
    /// * Fails if there are fewer than two dimensions, no arms, or more than 16,777,216 weights.
    /// * Fails if the noise is negative.
    pub fn linear(dimension: usize, arms: usize, noise: f64, rng: &mut dyn Rng) -> Result<Self> {
        check_parameter("noise", noise, noise >= 0.0, "at least 0")?;
        Self::new(dimension, arms, Link::Noise(noise), rng)
    }

    /// Creates an environment with rewards of 0 or 1. The reward is 1 with probability σ(3·w_a'x), where w_a are the
    /// weights of arm a and x is the context.
    ///
    /// # Errors
    /// Fails if there are fewer than two dimensions, no arms, or more than 16,777,216 weights.
    pub fn logistic(dimension: usize, arms: usize, rng: &mut dyn Rng) -> Result<Self> {
        Self::new(dimension, arms, Link::Bernoulli, rng)
    }

    /// Makes the environment change abruptly: all weights are drawn anew every `period` rounds.
    ///
    /// # Errors
    /// Fails if the period is zero.
    pub fn drifting(mut self, period: u64) -> Result<Self> {
        check_parameter("period", period as f64, period > 0, "at least 1")?;
        self.period = Some(period);
        Ok(self)
    }

    /// Makes each weight w drift gradually: w ← ρw + √(1 − ρ²)·z in each round, where ρ is the retention and z is drawn
    /// from the distribution of the initial weights. The distribution of the weights stays the same. After 1/(1 − ρ)
    /// rounds most of each weight has changed.
    ///
    /// # Errors
    /// Fails if the retention is outside (0, 1].
    pub fn wandering(mut self, retention: f64) -> Result<Self> {
        check_parameter("retention", retention, retention > 0.0 && retention <= 1.0, "in (0, 1]")?;
        self.retention = retention;
        Ok(self)
    }

    fn redraw(&mut self, rng: &mut dyn Rng) {
        self.draw_weights(0.0, rng);
    }

    /// Updates all weights: w ← retention·w + √(1 − retention²)·z, where z is drawn from the distribution of the
    /// initial weights.
    fn draw_weights(&mut self, retention: f64, rng: &mut dyn Rng) {
        let scale = (self.dimension as f64).sqrt().recip() * if self.link == Link::Bernoulli { 3.0 } else { 1.0 };
        let fresh = (1.0 - retention * retention).sqrt() * scale;
        for weight in &mut self.weights {
            let normal: f64 = StandardNormal.sample(rng);
            *weight = if retention == 0.0 { fresh * normal } else { retention * *weight + fresh * normal };
        }
    }

    fn predictor(&self, arm: ArmId) -> f64 {
        let weights = &self.weights[arm.number() as usize * self.dimension..][..self.dimension];
        weights.iter().zip(&self.context).map(|(weight, value)| weight * value).sum()
    }
}

impl Environment for GlmEnvironment {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn arms(&self) -> usize {
        self.weights.len() / self.dimension
    }

    fn advance(&mut self, rng: &mut dyn Rng) {
        if self.period.is_some_and(|period| self.round > 0 && self.round.is_multiple_of(period)) {
            self.redraw(rng);
        }
        if self.retention < 1.0 {
            self.draw_weights(self.retention, rng);
        }
        self.round += 1;
        let (last, rest) = self.context.split_last_mut().unwrap_or_else(|| unreachable!("two dimensions at least"));
        rest.iter_mut().for_each(|value| *value = StandardNormal.sample(rng));
        *last = 1.0;
    }

    fn context(&self) -> &[f64] {
        &self.context
    }

    fn expected(&self, arm: ArmId) -> f64 {
        match self.link {
            Link::Noise(_) => self.predictor(arm),
            Link::Bernoulli => sigmoid(self.predictor(arm)),
        }
    }

    fn reward(&self, arm: ArmId, rng: &mut dyn Rng) -> f64 {
        match self.link {
            Link::Noise(noise) => {
                let normal: f64 = StandardNormal.sample(rng);
                self.predictor(arm) + noise * normal
            }
            Link::Bernoulli => f64::from(u8::from(rng.random::<f64>() < self.expected(arm))),
        }
    }
}
