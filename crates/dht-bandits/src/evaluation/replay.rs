//! Replay: evaluates a learning policy on the log of another policy by rejection sampling.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::estimate::{Estimate, Support, check_logged, estimate};
use super::known_arms::ask_of_known;
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use crate::policy::Policy;
use crate::validate::check_parameter;

/// Result of a replay: the rewards that a learning policy earned in the rounds accepted by rejection sampling.
///
/// ```
/// use dht_bandits::evaluation::Replay;
/// use dht_bandits::log::LoggedDecision;
/// use dht_bandits::{ArmId, LinUcb, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// // A uniform log of two arms, of which arm 1 always pays.
/// let log: Vec<_> = (0..200)
///     .map(|round| LoggedDecision::new(vec![1.0], ArmId::new(round % 2), 0.5, (round % 2) as f64))
///     .collect();
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(1, 2, Ridge::new(1.0), Ucb { alpha: 0.5 })?;
/// let replay = Replay::run(&mut policy, &log, None, &mut rng)?;
/// assert!(replay.estimate.value > 0.9); // the policy finds arm 1 soon
/// assert!((replay.acceptance - 0.5).abs() < 0.1);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Mean reward over the accepted rounds, with its confidence interval.
    pub estimate: Estimate,
    /// Counterfactual learning curve: the cumulative reward after each accepted round.
    pub rewards: Vec<f64>,
    /// Fraction of the logged rounds that were accepted, about 1/K for a uniform log with K arms. A log of n rounds
    /// shows the first n × `acceptance` rounds of a policy's learning.
    pub acceptance: f64,
    /// Number of rounds whose logged arm the policy does not have, because it was removed or never added. Such rounds
    /// are not accepted.
    #[serde(default)]
    pub lacking: usize,
}

impl Replay {
    /// Simulates a learning policy on a log by rejection sampling. The policy chooses an arm in each logged context. If
    /// it is the logged arm, the round is accepted with probability p_min/p, where p is the logged propensity and p_min
    /// a lower bound of all propensities. The policy learns from the accepted rounds only.
    ///
    /// The accepted rounds are distributed as if the policy had been in service. The learning curve is therefore
    /// unbiased if contexts are independent of each other (Li et al. 2011 for uniform logs, where p_min/p = 1; Mandel,
    /// Liu, Brunskill & Popović 2016). p_min is `least_propensity`. With `None` it is the smallest propensity in the
    /// log, which makes the result slightly optimistic.
    ///
    /// A row with a [drop probability](LoggedDecision::drop_probability) d represents 1/(1 − d) rows. Its propensity is
    /// divided by that number; `least_propensity` must bound the divided propensities.
    ///
    /// In each round the policy chooses among the available arms that it has. A round whose logged arm it does not have
    /// is skipped and counted ([`lacking`](Self::lacking)).
    ///
    /// # Errors
    /// Before the policy learns anything:
    ///
    /// * Fails if [`LoggedDecision::check`] rejects a row, or if a row has no propensity.
    /// * Fails if a reward is beyond ±1e50, or if a propensity is below `least_propensity`.
    ///
    /// After the policy has learned from earlier rounds:
    ///
    /// * Fails if the policy rejects a context or reward.
    /// * Fails if fewer than two rounds were accepted.
    pub fn run(
        policy: &mut dyn Policy,
        log: &[LoggedDecision],
        least_propensity: Option<f64>,
        rng: &mut dyn Rng,
    ) -> Result<Self> {
        let mut least = 1.0f64;
        for (round, entry) in log.iter().enumerate() {
            entry.check(round)?;
            check_logged(round, "reward", entry.reward)?;
            least = least.min(rate(round, entry)?);
        }
        if let Some(bound) = least_propensity {
            let fits = bound > 0.0 && bound <= least * (1.0 + 1e-9);
            check_parameter("least propensity", bound, fits, "positive, and no more than any propensity of the log")?;
            least = bound;
        }
        let (mut rewards, mut accepted, mut sum, mut lacking) = (Vec::new(), Vec::new(), 0.0, 0);
        for (round, entry) in log.iter().enumerate() {
            let request = entry.request()?;
            let mut has_logged = true;
            let outcome = ask_of_known(&request, |asked| {
                has_logged = match asked.ids() {
                    Some(arms) => arms.contains(&entry.arm),
                    None => policy.arms().contains(entry.arm),
                };
                // The policy learns the features of the chosen arm, so that it must decide. Without features, `select`
                // suffices and the propensity need not be computed.
                match asked.features(0) {
                    Some(_) => policy.decide(asked, rng),
                    None => Ok(policy.select(asked, rng)?.with_context(&entry.context)),
                }
            });
            let decision = match outcome {
                // The policy has none of the arms that could be chosen.
                Err(Error::UnknownArm { .. } | Error::RemovedArm { .. }) => {
                    lacking += 1;
                    continue;
                }
                outcome => outcome?,
            };
            lacking += usize::from(!has_logged);
            if decision.arm() != entry.arm {
                continue;
            }
            let acceptance = least / rate(round, entry)?;
            if acceptance < 1.0 && rng.random::<f64>() >= acceptance {
                continue;
            }
            policy.learn(&decision, entry.reward)?;
            sum += entry.reward;
            accepted.push(entry.reward);
            rewards.push(sum);
        }
        let count = accepted.len();
        if count < 2 {
            return Err(Error::TooFewObservations { what: "replay", needed: 2, got: count });
        }
        let value = sum / count as f64;
        let support = Support::from_weights(accepted.iter().map(|_| 1.0));
        let estimate = estimate(value, accepted.iter().map(|reward| reward - value), count, support)?;
        Ok(Self { estimate, rewards, acceptance: count as f64 / log.len() as f64, lacking })
    }

    /// Mean reward in each of `parts` consecutive, equal parts of the learning curve.
    pub fn learning_curve(&self, parts: usize) -> Vec<f64> {
        let accepted = self.rewards.len();
        let until = |part: usize| part * accepted / parts.max(1);
        let sum = |end: usize| if end == 0 { 0.0 } else { self.rewards[end - 1] };
        (0..parts)
            .filter(|&part| until(part + 1) > until(part))
            .map(|part| {
                let (from, to) = (until(part), until(part + 1));
                (sum(to) - sum(from)) / (to - from) as f64
            })
            .collect()
    }
}

/// Propensity of a row, divided by the number of rows that it represents because of its drop probability.
fn rate(round: usize, entry: &LoggedDecision) -> Result<f64> {
    let propensity = entry.propensity.ok_or(Error::NoPropensity { estimator: "replay", round })?;
    Ok(propensity / entry.row_weight())
}
