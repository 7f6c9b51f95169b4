//! Choices, and decisions that wait for their reward.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;

/// Arm chosen by a policy, with its scores and propensity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Chosen arm.
    pub arm: ArmId,
    /// Number of updates that the policy had before the choice. The current version of the policy minus this number is
    /// the number of updates since the choice, unless the policy was restored from an older save.
    pub version: u64,
    /// Value of the exploration rule for the chosen arm: mean + α·width for an upper confidence bound, a random draw
    /// for Thompson sampling.
    pub score: f64,
    /// Posterior mean of the arm.
    pub mean: f64,
    /// Posterior width of the arm.
    pub width: f64,
    /// Probability of this choice; in a slate, the probability of showing this arm. `decide` returns it, unless the
    /// setting [`SharedPropensity::Omitted`](crate::policy::SharedPropensity::Omitted) omits it. `select` returns it if
    /// it needs no extra computation.
    pub propensity: Option<f64>,
    /// Epoch of the policy: how often it had expired decisions. A policy learns only from decisions of its current
    /// epoch.
    #[serde(default)]
    pub epoch: u64,
    /// Error of the propensity. The error is 0 if the propensity is exact up to rounding, and a bound of 1e-9 if the
    /// propensity is an integral. If the propensity is an estimate
    /// ([`SharedPropensity`](crate::policy::SharedPropensity)), the error is a standard error.
    #[serde(default)]
    pub propensity_error: f64,
}

impl Choice {
    /// Combines the choice with its context, for later feedback.
    pub fn with_context(self, context: &[f64]) -> Decision {
        Decision { choice: self, context: context.to_vec() }
    }
}

/// Choice with its context, to be stored until the reward arrives.
///
/// A decision may wait in memory, in a queue or in a database (it implements serde), while the policy learns from other
/// decisions. A policy restored from its last save also accepts decisions made after that save, because the epoch is
/// checked and not the version. The epoch changes only when decisions are expired. Save a policy after each expiry: a
/// policy restored from an older save refuses decisions made after that expiry.
///
/// ```
/// use dht_bandits::{Decision, LinUcb, Policy, Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(2, 3, Ridge::new(1.0), Ucb { alpha: 0.5 })?;
/// let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut rng)?;
/// let stored = serde_json::to_string(&decision)?;
/// // … the reward arrives later, perhaps in another process
/// let decision: Decision = serde_json::from_str(&stored)?;
/// policy.learn(&decision, 1.0)?;
/// assert_eq!(policy.version(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Choice of the policy.
    pub choice: Choice,
    /// Context of the request, followed by the features of the chosen arm if the policy uses them; empty for a policy
    /// without contexts. A [`Normalised`](crate::policy::Normalised) policy also stores the context without scaling,
    /// and scales it when it learns.
    pub context: Vec<f64>,
}

impl Decision {
    /// Chosen arm.
    pub fn arm(&self) -> ArmId {
        self.choice.arm
    }
}
