//! Accelerated full model of a reproduction.

use dht_dynamic::accelerate::{Texts, accelerate};
use dht_dynamic::evaluation::Stages;

use super::at_costs::threshold_within;
use super::files::{DataSplit, UnitResult};
use super::options::SPEED_COSTS;
use super::units::Unit;
use super::worker::Worker;
use crate::error::Result;
use crate::experiment::{CLASSIFIERS, accelerate_settings, rng};
use crate::record::RowGroup;

impl Worker<'_> {
    /// Fits exits and an n-gram stacker on the full model. Predicts with the speed that the validation rows select for
    /// each cost.
    pub(super) fn accelerated(&self) -> Result<UnitResult> {
        let (classifier, full) = (self.model_of(Unit::Full)?, self.result_of(Unit::Full)?);
        let settings = accelerate_settings(&self.data, self.batch())?;
        let (train, validation) = (&self.data.train, &self.data.validation);
        let made = accelerate(
            &classifier,
            Texts::new(train).with_held_out(validation),
            &settings,
            &mut rng(&self.run, CLASSIFIERS),
        )?;
        let (model, report) = (made.model, made.report);
        self.save_stages(&model)?;
        model.save(self.place().join("model"), Some(&self.data.tokenizer), &self.data.train.labels)?;
        let stages = Stages::of_model(&model, validation, self.batch())?;
        let full_flops = self.full_flops(DataSplit::Validation);
        let within =
            SPEED_COSTS.into_iter().filter_map(|cost| Some((cost, threshold_within(&stages, cost, full_flops)?)));
        let (costs, speeds): (Vec<f64>, Vec<f64>) = within.unzip();
        let mut rows = self.rows_at(&model, &speeds, RowGroup::Accelerated)?;
        for (row, cost) in rows.iter_mut().zip(costs) {
            (row.method, row.setting) = ("accelerated".into(), format!("at {cost}"));
            row.train_flops = full.train_flops + report.flops;
            row.train_seconds = full.train_seconds + report.seconds;
            row.train_layer_head_ratio = 1.0;
        }
        Ok(UnitResult { hash: String::new(), train_flops: report.flops, train_seconds: report.seconds, rows })
    }
}
