//! Choices of a policy, and decisions: choices stored with their context until the reward arrives.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;

/// Arm chosen by a policy, with its scores and propensity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Chosen arm.
    pub arm: ArmId,
    /// Number of updates that the policy had learned before the choice. Subtract it from the policy's current version
    /// to get the number of updates since the choice. This does not hold after an older save of the policy was
    /// restored.
    pub version: u64,
    /// Value that the exploration rule assigned to the chosen arm. It is mean + α·width for an upper confidence bound,
    /// and a random draw for Thompson sampling.
    pub score: f64,
    /// Posterior mean of the arm's reward in this context.
    pub mean: f64,
    /// Posterior standard deviation of the arm's score in this context, on which exploration is based.
    pub width: f64,
    /// Probability of this choice; in a slate (a list of arms shown at once), the probability of showing this arm.
    /// `decide` always returns it, except with [`SharedPropensity::Omitted`](crate::policy::SharedPropensity::Omitted).
    /// `select` returns it only if it needs no extra computation.
    pub propensity: Option<f64>,
    /// Epoch in which the policy chose: the number of earlier calls of `expire_decisions`. A policy learns only from
    /// decisions of its current epoch.
    #[serde(default)]
    pub epoch: u64,
    /// Numerical error of `propensity`. It is 0 for an exact propensity (up to rounding), and at most 1e-9 for a
    /// propensity computed by numerical integration. For an estimated propensity
    /// ([`SharedPropensity`](crate::policy::SharedPropensity)) it is the standard error.
    #[serde(default)]
    pub propensity_error: f64,
}

impl Choice {
    /// Stores the choice together with its context, so that a policy can learn its reward later.
    pub fn with_context(self, context: &[f64]) -> Decision {
        Decision { choice: self, context: context.to_vec() }
    }
}

/// Choice stored with its context, so that the policy can learn when the reward arrives.
///
/// A decision implements serde and may wait in memory, in a queue or in a database. Meanwhile the policy may learn from
/// other decisions. A policy that is restored from its last save also accepts decisions made after that save. It
/// compares only epochs, and an epoch ends only when `expire_decisions` is called. Save the policy after each such
/// call: a policy restored from an older save refuses decisions made after it.
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
    /// Choice that the policy made.
    pub choice: Choice,
    /// Context of the request, followed by the features of the chosen arm if the policy uses features of arms. Empty
    /// for a policy without contexts. A [`Normalised`](crate::policy::Normalised) policy stores the unscaled context,
    /// and scales it when it learns.
    pub context: Vec<f64>,
}

impl Decision {
    /// Returns the chosen arm.
    pub fn arm(&self) -> ArmId {
        self.choice.arm
    }
}
