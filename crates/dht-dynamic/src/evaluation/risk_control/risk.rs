//! Risks that can be bounded.

/// A risk to be kept below a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// The full model's accuracy minus that of the dynamic model, −1 to 1. It needs labels.
    AccuracyLoss,
    /// The share of texts whose predicted class differs from the full model's, 0 to 1. It needs no labels.
    Disagreement,
}
