//! The unit of the accelerated full model.

use std::collections::BTreeMap;

use dht_search::accelerate::{AccelerateSettings, accelerate};
use dht_search::baselines::NgramSettings;
use dht_search::evaluation::stage_log_probabilities;

use super::files::{UnitResult, save_log_probabilities};
use super::ngrams::f32_rows;
use super::options::SPEED_COSTS;
use super::units::Unit;
use super::worker::Worker;
use crate::error::Result;
use crate::experiment::{CLASSIFIERS, rng};
use crate::record::RowGroup;

impl Worker<'_> {
    /// Fits exits and stacking on the full model, and predicts at speeds that the validation rows give for each cost.
    pub(super) fn accelerated(&self) -> Result<UnitResult> {
        let (classifier, full) = (self.model_of(Unit::Full)?, self.result_of(Unit::Full)?);
        let ngram = NgramSettings { left_out: self.data.tokenizer.tokens_around()?, ..NgramSettings::default() };
        let settings =
            AccelerateSettings { ngram: Some(ngram), batch_size: self.batch(), ..AccelerateSettings::default() };
        let (train, validation) = (&self.data.train, &self.data.validation);
        let made = accelerate(&classifier, train, Some(validation), &settings, &mut rng(&self.run, CLASSIFIERS))?;
        let (model, report) = (made.model, made.report);
        let mut tables = BTreeMap::new();
        for (part, rows) in [("validation", validation), ("test", &self.data.test)] {
            for (stage, table) in stage_log_probabilities(&model, rows, self.batch())?.iter().enumerate() {
                tables.insert(format!("{part}.stage.{stage}"), f32_rows(table));
            }
        }
        save_log_probabilities(&self.place(), &tables)?;
        model.save(self.place().join("model"), Some(&self.data.tokenizer), &self.data.train.labels)?;
        let mut rows = Vec::new();
        for cost in SPEED_COSTS {
            let Some(point) = report.within(cost) else { continue };
            let mut row = self.row_at(&model, point.speed, RowGroup::Accelerated)?;
            (row.method, row.setting) = ("accelerated".into(), format!("at {cost}"));
            row.train_flops = full.train_flops + report.flops;
            row.train_seconds = full.train_seconds + report.seconds;
            row.train_layer_head_ratio = 1.0;
            rows.push(row);
        }
        Ok(UnitResult { hash: String::new(), train_flops: report.flops, train_seconds: report.seconds, rows })
    }
}
