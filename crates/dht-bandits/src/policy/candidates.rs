//! Candidates: arms with their contexts.

use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::validate::check_finite;

/// Candidate arms, each with a context or all with one context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidates<'a> {
    pub(super) arms: &'a [ArmId],
    contexts: &'a [f64],
    shared: bool,
}

impl<'a> Candidates<'a> {
    /// Arms with a context each: `contexts` is row-major, one row of length d an arm. A missing row is refused where
    /// the candidates are chosen from.
    pub fn new(arms: &'a [ArmId], contexts: &'a [f64]) -> Self {
        Self { arms, contexts, shared: false }
    }

    /// Arms that share one context of length d.
    pub fn in_context(arms: &'a [ArmId], context: &'a [f64]) -> Self {
        Self { arms, contexts: context, shared: true }
    }

    pub(crate) fn check(&self, dimension: usize) -> Result<()> {
        if self.arms.is_empty() {
            return Err(Error::NoArms { arms: 0 });
        }
        let (what, rows) = if self.shared { ("shared context", 1) } else { ("contexts", self.arms.len()) };
        check_finite(what, self.contexts, rows * dimension)
    }

    pub(crate) fn context(&self, position: usize, dimension: usize) -> &'a [f64] {
        if self.shared { self.contexts } else { &self.contexts[position * dimension..][..dimension] }
    }
}
