//! The full model, accelerated: the dynamic model of a run.

use dht_dynamic::accelerate::{AccelerateSettings, Accelerated, Texts, accelerate};
use dht_dynamic::{Evaluation, exit::NgramSettings};

use super::data::RunData;
use super::job::{ACCELERATED, Job, rng};
use super::plain::Plain;
use crate::error::Result;
use crate::record::{DynamicResult, ModelResult};

/// The settings of every acceleration: the defaults, for these texts.
pub(crate) fn accelerate_settings(data: &RunData, batch_size: usize) -> Result<AccelerateSettings> {
    let ngram = NgramSettings { left_out: data.tokenizer.tokens_around()?, ..NgramSettings::default() };
    Ok(AccelerateSettings { ngram: Some(ngram), batch_size, ..AccelerateSettings::default() })
}

impl Job<'_> {
    /// Fits exits, front exit and stacking on the full model as it is; every choice is made on the validation rows.
    pub(super) fn accelerated(&self, full: &Plain) -> Result<Accelerated> {
        let settings = accelerate_settings(self.data, self.test_batch())?;
        let (train, validation) = (&self.data.train, &self.data.validation);
        Ok(accelerate(
            &full.model,
            Texts::new(train).with_held_out(validation),
            &settings,
            &mut rng(self.plan, ACCELERATED),
        )?)
    }

    /// Scores and costs, those of the full model's training included.
    pub(super) fn accelerated_result(
        &self,
        full: &ModelResult,
        made: &Accelerated,
        evaluation: &Evaluation,
        inference_seconds: f64,
    ) -> Result<DynamicResult> {
        let result = ModelResult {
            macro_f1: evaluation.confusion.macro_f1(),
            accuracy: evaluation.confusion.accuracy(),
            train_seconds: full.train_seconds + made.report.seconds,
            inference_seconds,
            optimizer_seconds: full.optimizer_seconds,
            train_flops: full.train_flops + made.report.flops,
            inference_flops: evaluation.flops + evaluation.bandit_flops,
        };
        Ok(DynamicResult {
            train_layer_head_ratio: 1.0,
            inference_layer_head_ratio: evaluation.layer_head_ratio,
            random_macro_f1: self.random_macro_f1_of_stages(&made.model, evaluation)?,
            ..DynamicResult::beside(full, result)
        })
    }
}
