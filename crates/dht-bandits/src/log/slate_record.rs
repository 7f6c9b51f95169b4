//! Records of slates and of their feedback in a log.

use serde::{Deserialize, Serialize};

use super::error::{LogProblem, check_choice, check_id, check_value};
use super::logged_request::LoggedRequest;
use super::logged_slate::{LoggedSlate, ShownArm};
use crate::arm::ArmId;
use crate::decision::{Feedback, Slate, check_examination};
use crate::error::Error;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlateRecord {
    pub(super) id: u64,
    pub(super) time: f64,
    pub(super) slate: Slate,
    #[serde(default)]
    pub(super) request: Option<LoggedRequest>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedbackRecord {
    pub(super) id: u64,
    pub(super) time: f64,
    pub(super) feedback: Vec<Feedback>,
}

/// Tolerance by which the probability of an arm being in a slate may exceed 1. Scaling the probabilities of all arms to
/// sum to the slate's length causes rounding errors.
const ROUNDING: f64 = 1e-9;

impl SlateRecord {
    pub(super) fn check(&self) -> Result<(), LogProblem> {
        check_id(self.id)?;
        check_value("time", self.time)?;
        let choices = self.slate.choices();
        if choices.is_empty() {
            return Err(LogProblem::Missing("chosen arm".to_owned()));
        }
        for choice in choices {
            check_choice(choice)?;
            match choice.propensity {
                Some(propensity) if !(propensity > 0.0 && propensity <= 1.0 + ROUNDING) => {
                    return Err(LogProblem::Propensity(propensity));
                }
                _ => {}
            }
        }
        let contexts = self.slate.contexts();
        contexts.iter().try_for_each(|&value| check_value("context", value))?;
        if !contexts.len().is_multiple_of(choices.len()) {
            let problem = format!("{} values of contexts for {} chosen arms", contexts.len(), choices.len());
            return Err(LogProblem::Malformed(problem));
        }
        let examination = self.slate.examination();
        if !examination.is_empty() && examination.len() != choices.len() {
            let problem = format!("examination of {} positions for {} chosen arms", examination.len(), choices.len());
            return Err(LogProblem::Malformed(problem));
        }
        check_examination(examination).map_err(|error| LogProblem::Malformed(error.to_string()))?;
        let arms: Vec<ArmId> = self.slate.arms().collect();
        if let Some(arm) = crate::validate::first_double(&arms, |arm| *arm) {
            return Err(LogProblem::Malformed(format!("{arm} is shown twice")));
        }
        // A row from which no estimate can be computed is refused.
        match self.clone().row(vec![Feedback::Unobserved; choices.len()]) {
            Ok(row) => row.check(0).map_err(|error| {
                let inner =
                    if let Error::InRound { source, .. } = &error { source.to_string() } else { error.to_string() };
                LogProblem::Malformed(inner)
            }),
            Err(_) => Ok(()),
        }
    }

    /// Converts the slate and its feedback to a log row.
    ///
    /// # Errors
    /// Fails if the slate was logged without its request.
    pub(super) fn row(self, feedback: Vec<Feedback>) -> Result<LoggedSlate, Error> {
        let Some(LoggedRequest { context, available, features }) = self.request else {
            return Err(Error::NoRequest { id: self.id });
        };
        let choices = self.slate.choices().iter().zip(feedback);
        let shown = choices.map(|(choice, feedback)| {
            let propensity = choice.propensity.map(|propensity| propensity.min(1.0));
            ShownArm { arm: choice.arm, propensity, feedback }
        });
        let shown = shown.collect();
        Ok(LoggedSlate { context: context.unwrap_or_default(), shown, available, features })
    }
}

impl FeedbackRecord {
    pub(super) fn check(&self) -> Result<(), LogProblem> {
        check_id(self.id)?;
        check_value("time", self.time)?;
        self.feedback.iter().try_for_each(|feedback| match feedback {
            Feedback::Observed(reward) => check_value("reward", *reward),
            Feedback::Unobserved => Ok(()),
        })
    }
}
