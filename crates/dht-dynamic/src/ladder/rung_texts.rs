//! Texts for the training steps before fine-tuning (rungs 0 and 1): those to fit on, and those to score on.

use std::borrow::Cow;

use dht_transformer::EncodedDataset;

use super::settings::LadderTexts;
use super::tuning_run::Validation;
use crate::error::Result;
use crate::exit::NgramFit;
use crate::fit::{AccelerateSettings, Texts, append};
use crate::log_probabilities::LogProbabilities;
use crate::outputs::{Outputs, truth_of};

/// Minimum number of validation rows for fine-tuning (rung 2). Fewer rows cannot show whether fine-tuning helps.
pub(super) const LEAST_JUDGES: usize = 20;

/// Texts for the training steps before fine-tuning (rungs 0 and 1). If there are few validation texts and
/// [`LadderTexts::joins`] permits it, they are cross-fitted together with the training texts.
pub(super) struct RungTexts<'a> {
    training: &'a EncodedDataset,
    /// Training texts followed by validation texts, if they are cross-fitted together; `None` otherwise.
    joined: Option<EncodedDataset>,
    /// Indices into `joined` of the texts on which each training step is scored.
    judges: Vec<usize>,
    judged_labels: Vec<u32>,
}

impl<'a> RungTexts<'a> {
    pub(super) fn new(texts: LadderTexts<'a>, settings: &AccelerateSettings) -> Result<Self> {
        let LadderTexts { training, validation, joins } = texts;
        if !joins || validation.len() >= settings.least_held_out {
            Texts::new(training).with_held_out(validation).check_held_out()?;
            return Ok(Self { training, joined: None, judges: Vec::new(), judged_labels: truth_of(validation) });
        }
        let mut joined = training.clone();
        append(&mut joined, validation.samples.iter().cloned());
        joined.truncated_rows += validation.truncated_rows;
        // A few validation rows are too few to score a rung: all rows are then used.
        let first = if validation.len() < LEAST_JUDGES { 0 } else { training.len() };
        let judged_labels = truth_of(&joined).split_off(first * Outputs::of_texts(&joined).decisions());
        Ok(Self { training, judges: (first..joined.len()).collect(), joined: Some(joined), judged_labels })
    }

    pub(super) fn fitted_on(&self) -> &EncodedDataset {
        self.joined.as_ref().unwrap_or(self.training)
    }

    /// Training texts followed by validation texts, if they are cross-fitted together; `None` otherwise.
    pub(super) fn joined(&self) -> Option<&EncodedDataset> {
        self.joined.as_ref()
    }

    pub(super) fn into_joined(self) -> Option<EncodedDataset> {
        self.joined
    }

    /// Indices of the validation texts in the list of training and validation texts.
    pub(super) fn validation_rows(&self) -> Vec<usize> {
        (self.training.len()..self.fitted_on().len()).collect()
    }

    pub(super) fn judged_labels(&self) -> &[u32] {
        &self.judged_labels
    }

    /// Selects the predictions for the texts on which a training step is scored. `answers` has out-of-fold predictions
    /// for all texts if they are cross-fitted, otherwise predictions for the validation texts.
    pub(super) fn judged<'b>(&self, answers: &'b LogProbabilities) -> Cow<'b, LogProbabilities> {
        match self.joined {
            Some(_) => Cow::Owned(answers.select(&self.judges)),
            None => Cow::Borrowed(answers),
        }
    }

    /// Predictions of the n-gram classifier for the texts on which a training step is scored.
    pub(super) fn judged_by_front<'b>(
        &self,
        front: &'b NgramFit,
        validation: &'b Validation<'_>,
    ) -> Cow<'b, LogProbabilities> {
        self.judged(if self.joined.is_some() { &front.out_of_fold } else { &validation.front })
    }
}
