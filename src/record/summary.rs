//! Summary of a number over several seeds.

use serde::{Deserialize, Serialize};

/// Mean and sample standard deviation over seeds; the deviation of one seed is 0.
///
/// ```
/// use dht_lab::record::Summary;
///
/// let summary = Summary::new(&[0.8, 0.9]);
/// assert!((summary.mean - 0.85).abs() < 1e-12);
/// assert!((summary.sd - 0.005_f64.sqrt()).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean over seeds.
    pub mean: f64,
    /// Sample standard deviation over seeds; 0 for one seed.
    pub sd: f64,
}

impl Summary {
    /// Summarises the values of at least one seed.
    pub fn new(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, sd: if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_mean_and_the_sample_deviation() {
        let summary = Summary::new(&[0.90, 0.92, 0.94]);
        assert!((summary.mean - 0.92).abs() < 1e-12 && (summary.sd - 0.02).abs() < 1e-12, "{summary:?}");
        assert_eq!(Summary::new(&[0.9]), Summary { mean: 0.9, sd: 0.0 });
    }
}
