//! Logged decisions, the rows of a log, and their checks.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::decision::{QUADRATURE_ERROR, Request, check_sparse};
use crate::error::{Error, Number, Result};
use crate::validate::{SPARSE, check_bounded, check_context, check_parameter, first_double};

/// Logged decision, one row of a log: context, chosen arm, propensity and reward.
///
/// ```
/// use dht_bandits::log::LoggedDecision;
/// use dht_bandits::{ArmId, Error};
///
/// let row = LoggedDecision::new(vec![1.0, 0.2], ArmId::new(3), 0.25, 1.0);
/// row.check(0)?;
/// let impossible = LoggedDecision { propensity: Some(1.5), ..row };
/// assert!(matches!(impossible.check(7), Err(Error::Propensity { round: 7, .. })));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedDecision {
    /// Context in which the arm was chosen.
    pub context: Vec<f64>,
    /// Arm that the logging policy chose.
    pub arm: ArmId,
    /// Propensity: the probability with which the logging policy chose the arm, in (0, 1]. `None` if unknown.
    /// Estimators that need propensities fail for such a row ([`Error::NoPropensity`]). The direct method does not need
    /// them.
    pub propensity: Option<f64>,
    /// Reward that the chosen arm received.
    pub reward: f64,
    /// Arms that were available. `None` if all arms of the evaluated policy were available.
    #[serde(default)]
    pub available: Option<Vec<ArmId>>,
    /// Probability of each arm under the logging policy, if the log contains all of them.
    #[serde(default)]
    pub probabilities: Option<Vec<(ArmId, f64)>>,
    /// Feature vectors of the `available` arms in their order, row-major. `None` if arms have no features.
    #[serde(default)]
    pub features: Option<Vec<f64>>,
    /// Probability p, in [0, 1), that a row like this one was left out of the log. An estimate counts the row 1/(1 − p)
    /// times to correct for this. Example: a service that stores every tenth event without a reward writes .9 for such
    /// events, and 0 for events with rewards.
    #[serde(default)]
    pub drop_probability: f64,
    /// Standard error of an estimated propensity ([`Choice::propensity_error`](crate::Choice::propensity_error)); 0 if
    /// the propensity is exact. The standard errors of off-policy estimates do not account for it.
    #[serde(default)]
    pub propensity_error: f64,
}

impl LoggedDecision {
    /// Creates a row from the context, the chosen arm, its propensity (may be unknown), and its reward.
    pub fn new(context: Vec<f64>, arm: ArmId, propensity: impl Into<Option<f64>>, reward: f64) -> Self {
        Self { context, arm, propensity: propensity.into(), reward, ..Self::default() }
    }

    /// Number of times that estimates count the row: 1/(1 − p), where p is the [drop
    /// probability](Self::drop_probability).
    pub fn row_weight(&self) -> f64 {
        1.0 / (1.0 - self.drop_probability)
    }

    /// Request for which the logged decision was made: the context, and the available arms with their features.
    ///
    /// # Errors
    /// * Fails if there are features without available arms.
    /// * Fails if the number of features is not a multiple of the number of arms, or if a feature is not finite.
    pub fn request(&self) -> Result<Request<'_>> {
        request_of(&self.context, self.available.as_deref(), self.features.as_deref())
    }

    /// Feature vector of an arm. `None` if arms have no features, or if the arm was not available.
    pub fn features_of(&self, arm: ArmId) -> Option<&[f64]> {
        let (arms, features) = (self.available.as_ref()?, self.features.as_ref()?);
        let position = arms.iter().position(|other| *other == arm)?;
        features.chunks_exact((features.len() / arms.len()).max(1)).nth(position)
    }

    #[cfg(feature = "log")]
    pub(super) fn is_sparse(&self) -> bool {
        let first = |values: &[f64]| values.first() == Some(&SPARSE);
        first(&self.context) || self.features.as_deref().is_some_and(first)
    }

    /// Checks that off-policy estimates can be computed from the row. Errors report `round` as the index of the row.
    ///
    /// # Errors
    /// * Fails if the propensity is outside (0, 1], or the drop probability outside [0, 1).
    /// * Fails if the reward or the context is not finite or beyond ±1e100.
    /// * Fails if a probability is negative, or if the probabilities do not sum to 1 within 1e-6 per arm.
    /// * Fails if the probabilities contradict the available arms or the propensity. The tolerance is 1e-6. For an
    ///   estimated propensity it is six standard errors of the difference.
    /// * Fails if features are beyond ±1e100, or if [`request`](Self::request) fails.
    pub fn check(&self, round: usize) -> Result<()> {
        check_logged_propensity(round, self.propensity)?;
        let inside = |source| Error::InRound { round, source: Box::new(source) };
        check_drop_probability(self.drop_probability).map_err(inside)?;
        let error = self.propensity_error;
        check_parameter("propensity error", error, (0.0..=1.0).contains(&error), "from 0 to 1").map_err(inside)?;
        check_bounded("reward", self.reward).map_err(inside)?;
        check_stored(&self.context).map_err(inside)?;
        if self.available.as_ref().is_some_and(|arms| !arms.contains(&self.arm)) {
            return Err(inside(Error::UnknownArm { arm: self.arm }));
        }
        if let Some(features) = &self.features {
            self.request().map_err(inside)?;
            let width = features.len() / self.available.as_ref().map_or(1, |arms| arms.len().max(1));
            features.chunks(width.max(1)).try_for_each(check_stored).map_err(inside)?;
            if let Some(arm) = first_double(self.available.as_deref().unwrap_or_default(), |arm| *arm) {
                return Err(inside(Error::DuplicateArm { arm }));
            }
        }
        if let Some(probabilities) = &self.probabilities {
            check_distribution("the logging policy", probabilities).map_err(inside)?;
            if let Some((arm, p)) = self.available.as_deref().and_then(|arms| unavailable(arms, probabilities)) {
                let problem = format!("{arm} has {}, but could not be chosen", Number(*p));
                return Err(inside(Error::NotADistribution { what: "the logging policy", problem }));
            }
            let logged = probabilities.iter().find(|(arm, _)| *arm == self.arm).map_or(0.0, |entry| entry.1);
            if let Some(propensity) = self.propensity
                && (logged - propensity).abs() > propensity_tolerance(self.propensity_error)
            {
                let (logged, propensity) = (Number(logged), Number(propensity));
                let problem = format!("{} has {logged}, but its propensity is {propensity}", self.arm);
                return Err(inside(Error::NotADistribution { what: "the logging policy", problem }));
            }
        }
        Ok(())
    }
}

/// Checks that a dense or sparse vector is one that a policy can use.
pub(crate) fn check_stored(values: &[f64]) -> Result<()> {
    if values.first() == Some(&SPARSE) { check_sparse(values).map(drop) } else { check_context(values) }
}

/// Creates a request from the fields of a row: a context, and the available arms with their features.
pub(super) fn request_of<'a>(
    context: &'a [f64],
    available: Option<&'a [ArmId]>,
    features: Option<&'a [f64]>,
) -> Result<Request<'a>> {
    let request = Request::new(context);
    match (available, features) {
        (None, None) => Ok(request),
        (Some(arms), None) => Ok(request.only(arms)),
        (Some(arms), Some(features)) => {
            let width = features.len() / arms.len().max(1);
            request.featured(arms, features, width)
        }
        (None, Some(features)) => {
            Err(Error::Dimension { what: "features without available arms", expected: 0, got: features.len() })
        }
    }
}

pub(crate) fn check_logged_propensity(round: usize, propensity: Option<f64>) -> Result<()> {
    match propensity {
        Some(propensity) if !(propensity > 0.0 && propensity <= 1.0) => Err(Error::Propensity { round, propensity }),
        _ => Ok(()),
    }
}

/// Tolerance between a propensity with the standard error `error` and the same arm's entry in the list of all
/// probabilities. If the propensity is an estimate, the entry is an estimate too: an average over 2,048 random lines
/// through the space of weights, with a standard error of at most about .002.
fn propensity_tolerance(error: f64) -> f64 {
    if error > QUADRATURE_ERROR { 1e-6 + 6.0 * (error + 0.002) } else { 1e-6 }
}

/// First arm that has a positive probability although it is not available.
fn unavailable<'a>(arms: &[ArmId], probabilities: &'a [(ArmId, f64)]) -> Option<&'a (ArmId, f64)> {
    let mut sorted = Vec::new();
    if arms.len() > 32 {
        sorted.extend_from_slice(arms);
        sorted.sort_unstable();
    }
    let available = |position: usize, arm: &ArmId| {
        // Most logs list the arms in the same order in both places.
        arms.get(position) == Some(arm)
            || if sorted.is_empty() { arms.contains(arm) } else { sorted.binary_search(arm).is_ok() }
    };
    let positive = probabilities.iter().enumerate().filter(|(_, (_, probability))| *probability > 0.0);
    positive.filter(|(position, (arm, _))| !available(*position, arm)).map(|(_, entry)| entry).next()
}

/// Checks that a drop probability p is in [0, 1), and that the row weight 1/(1 − p) is at most 1e12.
pub(crate) fn check_drop_probability(probability: f64) -> Result<()> {
    let fits = (0.0..=1.0 - 1e-12).contains(&probability);
    check_parameter("drop probability", probability, fits, "from 0 to 1 - 1e-12")
}

/// Checks that probabilities are not negative, list no arm twice, and sum to 1 within 1e-6 per arm. The tolerance grows
/// with the number of arms, because probabilities in logs are rounded.
pub(crate) fn check_distribution(what: &'static str, probabilities: &[(ArmId, f64)]) -> Result<()> {
    let refuse = |problem| Err(Error::NotADistribution { what, problem });
    if probabilities.is_empty() {
        return refuse("there are none, expected one for each arm".to_owned());
    }
    if let Some((arm, probability)) = probabilities.iter().find(|(_, p)| !(0.0..=1.0 + 1e-9).contains(p)) {
        return refuse(format!("{arm} has {}", Number(*probability)));
    }
    if let Some(arm) = first_double(probabilities, |(arm, _)| *arm) {
        return Err(Error::DuplicateArm { arm });
    }
    let sum: f64 = probabilities.iter().map(|(_, probability)| probability).sum();
    let tolerance = 1e-6 * probabilities.len() as f64;
    if (sum - 1.0).abs() <= tolerance { Ok(()) } else { refuse(format!("they sum to {}", Number(sum))) }
}
