//! Policy that learns only from a sliding window of the latest observations.

use std::collections::VecDeque;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::policy::forward::{changes_arms_as, chooses_as};
use crate::policy::{Disjoint, Policy};
use crate::posterior::Ridge;
use crate::validate::{check_bounded, check_context, check_finite, check_length, check_scalar, check_weight};

/// Policy of ridge regressions over a sliding window (SW-LinUCB; Cheung, Simchi-Levi & Zhu 2019). The last n
/// observations of all arms together have full weight, and earlier ones have none. An arm that is no longer chosen
/// therefore returns to its prior.
///
/// Each update learns one observation and unlearns the oldest, in O(d²). To keep rounding errors from accumulating, the
/// policy is retrained on the whole window after every n updates, and whenever unlearning would lose digits. An
/// observation is refused if its variance under the prior is so large that retraining could not begin with it. The
/// policy holds n contexts in memory, and allocates until the window is full.
///
/// The serialised form contains the policy and its window.
///
/// ```
/// use dht_bandits::policy::SlidingWindow;
/// use dht_bandits::{ArmId, LinUcb, Policy, Ridge, Ucb};
///
/// let inner = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let mut policy = SlidingWindow::new(inner, 10)?;
/// for round in 0..20 {
///     let reward = if round < 10 { 1.0 } else { 0.0 };
///     policy.update(ArmId::new(0), &[1.0], reward, 1.0)?;
/// }
/// // The ten rewards of 1 have left the window.
/// assert!(policy.policy().score(ArmId::new(0), &[1.0])?.mean.abs() < 1e-9);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
#[serde(bound(serialize = ""))]
pub struct SlidingWindow<E: Exploration> {
    policy: Disjoint<Ridge, E>,
    length: usize,
    window: VecDeque<WindowEntry>,
    since_relearned: usize,
}

/// Serialised form of the policy before validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = ""))]
struct Saved<E: Exploration> {
    policy: Disjoint<Ridge, E>,
    length: usize,
    window: VecDeque<WindowEntry>,
    since_relearned: usize,
}

impl<'de, E: Exploration> Deserialize<'de> for SlidingWindow<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Saved { policy, length, window, since_relearned } = Saved::deserialize(deserializer)?;
        let sliding = Self { window, since_relearned, ..Self::new(policy, length).map_err(D::Error::custom)? };
        sliding.check().map_err(D::Error::custom)?;
        Ok(sliding)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowEntry {
    arm: ArmId,
    context: Vec<f64>,
    reward: f64,
    weight: f64,
}

impl<E: Exploration> SlidingWindow<E> {
    /// Creates a policy that learns from a window of `length` observations. Evidence that `policy` already has is lost
    /// when the policy is first retrained on the window.
    ///
    /// # Errors
    /// Fails if the length is zero or above 16,777,216, or if the policy forgets at each update.
    pub fn new(policy: Disjoint<Ridge, E>, length: usize) -> Result<Self> {
        check_length("window", length)?;
        let decay = policy.options().decay;
        crate::validate::check_parameter("decay", decay, decay == 1.0, "1 under a sliding window")?;
        Ok(Self { policy, length, window: VecDeque::new(), since_relearned: 0 })
    }

    /// Fails for a loaded window that no stream of observations can produce.
    fn check(&self) -> Result<()> {
        let what = "observations of the window";
        if self.window.len() > self.length || self.since_relearned > self.length {
            let problem = format!("there are {}, expected at most {}", self.window.len(), self.length);
            return Err(Error::InvalidState { what, index: self.length, problem });
        }
        for (index, WindowEntry { context, reward, weight, .. }) in self.window.iter().enumerate() {
            let checked = check_finite("context", context, self.policy.dimension())
                .and_then(|()| check_scalar("reward", *reward))
                .and_then(|()| check_weight(*weight));
            checked.map_err(|error| Error::InvalidState { what, index, problem: error.to_string() })?;
        }
        Ok(())
    }

    /// Maximum number of observations in the window.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Inner policy, which has learned the observations in the window.
    pub fn policy(&self) -> &Disjoint<Ridge, E> {
        &self.policy
    }

    /// Inner policy with mutable access, for adding and removing arms. Evidence that it learns directly is lost when it
    /// is retrained on the window.
    pub fn policy_mut(&mut self) -> &mut Disjoint<Ridge, E> {
        &mut self.policy
    }

    /// Current number of observations in the window.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// Returns whether the window is empty.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Fails for an observation that an untrained policy would refuse, for example because its variance under the prior
    /// is too large. Retraining on the window starts with an untrained policy and any observation of the window.
    fn check_first(&self, context: &[f64], weight: f64) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_context(context)?;
        check_weight(weight)?;
        let square: f64 = context.iter().map(|value| value * value).sum();
        let variance = square / self.policy.options().prior_precision;
        check_bounded("variance under the prior", variance)?;
        check_bounded("weight times variance", weight * variance)
    }

    fn slide(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) {
        let full = self.window.len() == self.length;
        let mut next = if full { self.window.pop_front() } else { None };
        self.since_relearned += 1;
        let forgotten = match &next {
            Some(oldest) if self.policy.arms().contains(oldest.arm) => {
                self.policy.unlearn(oldest.arm, &oldest.context, oldest.reward, oldest.weight).is_ok()
            }
            _ => true,
        };
        let seen = match next.take() {
            Some(mut reused) => {
                reused.context.clear();
                reused.context.extend_from_slice(context);
                WindowEntry { arm, reward, weight, ..reused }
            }
            None => WindowEntry { arm, context: context.to_vec(), reward, weight },
        };
        self.window.push_back(seen);
        if !forgotten || self.since_relearned >= self.length && full {
            self.policy.reset();
            let policy = &mut self.policy;
            // An observation that cannot be learned without those before it is forgotten with them.
            self.window.retain(|seen| policy.relearn(seen.arm, &seen.context, seen.reward, seen.weight).is_ok());
            self.since_relearned = 0;
        }
    }
}

impl<E: Exploration> Policy for SlidingWindow<E> {
    fn dimension(&self) -> usize {
        self.policy.dimension()
    }

    chooses_as!(self => &self.policy);
    changes_arms_as!(self => &mut self.policy);

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.check_first(context, weight)?;
        self.policy.update(arm, context, reward, weight)?;
        self.slide(arm, context, reward, weight);
        Ok(())
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.check_first(context, weight)?;
        self.policy.check_update(arm, context, reward, weight)
    }
}
