//! One trained model at all its speeds, beside what it has to beat.

use serde::{Deserialize, Serialize};

use super::file::RunRecord;

/// A trained model at one setting of its run-time speed knob: λ found on the validation rows, everything else measured on
/// the test set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct KnobPoint {
    /// The price of the full model's cost, in nats of loss.
    pub lambda: f64,
    /// FLOPs of predicting the test set, the bandits' among them, over the full model's.
    pub inference_flops_ratio: f64,
    /// Macro F1.
    pub macro_f1: f64,
    /// Macro F1 when the same routes are dealt to the texts at random, the mean of some deals.
    pub random_macro_f1: f64,
    /// What models of fixed depth score at the same FLOPs: see [`RunRecord::truncated_macro_f1_at`].
    pub truncated_macro_f1: f64,
}

/// The fixed arm that is best for each text, chosen with its label in view, at the λ in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct OracleResult {
    /// Macro F1.
    pub macro_f1: f64,
    /// FLOPs of predicting the test set over the full model's; choosing is free.
    pub inference_flops_ratio: f64,
}

impl RunRecord {
    /// Macro F1 of models of fixed depth at a share of the full model's inference FLOPs: a straight line between
    /// neighbouring truncations, the full model being the deepest; below the shallowest and above the full model what
    /// those score. No single model lies on such a line, but a coin that sends each text to one of two comes close.
    pub fn truncated_macro_f1_at(&self, flops_ratio: f64) -> f64 {
        let full = self.full.inference_flops.max(1) as f64;
        let truncated = self.truncated.values().map(|result| (result.inference_flops as f64 / full, result.macro_f1));
        let mut models: Vec<(f64, f64)> = truncated.chain([(1.0, self.full.macro_f1)]).collect();
        models.sort_by(|a, b| a.0.total_cmp(&b.0));
        let above = models.partition_point(|(ratio, _)| *ratio < flops_ratio);
        if above == 0 || above == models.len() {
            return models[above.min(models.len() - 1)].1;
        }
        let ((low, under), (high, over)) = (models[above - 1], models[above]);
        under + (over - under) * (flops_ratio - low) / (high - low)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dht_search::training::Curves;

    use super::*;
    use crate::record::file::{DataRecord, DynamicResult, Machine, ModelRecord, ModelResult, RouteCounts};

    #[test]
    fn fixed_depths_are_joined_by_straight_lines_and_end_flat() {
        let result = |macro_f1, inference_flops| ModelResult { macro_f1, inference_flops, ..ModelResult::default() };
        let record = RunRecord {
            schema: RunRecord::SCHEMA,
            preset: String::new(),
            seed: 0,
            command: Vec::new(),
            data: DataRecord::default(),
            model: ModelRecord::default(),
            full: result(0.9, 1000),
            truncated: BTreeMap::from([(1, result(0.5, 100)), (3, result(0.7, 500))]),
            dynamic: DynamicResult::default(),
            knob: Vec::new(),
            routes: RouteCounts::default(),
            curves: Curves::default(),
            difficulties: Vec::new(),
            settings: BTreeMap::new(),
            machine: Machine::default(),
        };
        for (ratio, expected) in [(0.0, 0.5), (0.1, 0.5), (0.3, 0.6), (0.5, 0.7), (0.75, 0.8), (1.0, 0.9), (1.1, 0.9)] {
            let found = record.truncated_macro_f1_at(ratio);
            assert!((found - expected).abs() < 1e-12, "{ratio}: {found}");
        }
    }
}
