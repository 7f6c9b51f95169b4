//! The risks that are bounded.

/// What is promised to stay below a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// The full model's accuracy less that of the dynamic model, −1 to 1. It needs labels.
    AccuracyLoss,
    /// The share of texts whose class is another than the full model's, 0 to 1. It needs no labels.
    Disagreement,
}
