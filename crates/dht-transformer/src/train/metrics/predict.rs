//! Predictions of a whole data set.

/// Predictions on a data set and their run time.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Predicted class of each row.
    pub labels: Vec<u32>,
    /// Wall-clock time in seconds, without tokenising.
    pub seconds: f64,
}
