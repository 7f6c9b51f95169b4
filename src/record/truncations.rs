//! The truncated models of a run as a curve.

use super::file::RunRecord;

impl RunRecord {
    /// Macro F1 of models of fixed depth at a share of the full model's inference FLOPs: linear interpolation between
    /// neighbouring truncations, with the full model as the deepest; constant below the shallowest and above the full
    /// model. A random choice between two neighbouring models for each text scores about that.
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
    use crate::record::{DataRecord, DynamicResult, Machine, ModelRecord, ModelResult, RouteCounts, SearchResult};

    #[test]
    fn fixed_depths_are_interpolated_linearly_and_constant_beyond_the_ends() {
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
            operating_points: Vec::new(),
            search: SearchResult::default(),
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
