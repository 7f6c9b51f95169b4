//! Names of arms in logs that other programs wrote.

use std::collections::HashMap;

use super::error::LogProblem;
use crate::arm::ArmId;

/// Names of the arms 0, 1, … in a log. `None` if the log identifies arms by number.
#[derive(Debug, Clone, Default)]
pub(super) struct ArmNames(Option<HashMap<String, ArmId>>);

impl ArmNames {
    pub(super) fn new(names: impl IntoIterator<Item: Into<String>>) -> Self {
        let numbered = names.into_iter().zip(0..).map(|(name, number)| (name.into(), ArmId::new(number)));
        Self(Some(numbered.collect()))
    }

    /// Finds the arm with this name, or with this number if arms have no names.
    pub(super) fn find(&self, text: &str) -> Result<ArmId, LogProblem> {
        let arm = match &self.0 {
            Some(names) => names.get(text).copied(),
            None => text.parse().ok().map(ArmId::new),
        };
        arm.ok_or_else(|| LogProblem::UnknownAction(format!("{text:?}")))
    }
}
