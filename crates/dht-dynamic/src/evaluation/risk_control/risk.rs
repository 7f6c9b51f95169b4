//! Risks that can be bounded.

/// A risk to keep below a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// The full model's accuracy minus the dynamic model's, −1 to 1. Requires labels.
    AccuracyLoss,
    /// The share of texts whose predicted class differs from the full model's, 0 to 1. Requires no labels.
    Disagreement,
}
