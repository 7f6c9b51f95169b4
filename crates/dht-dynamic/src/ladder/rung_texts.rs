//! The texts that rungs 0 and 1 are fitted on, and those that judge them.

use std::borrow::Cow;

use dht_transformer::EncodedDataset;

use super::settings::LadderTexts;
use super::tuning_run::Validation;
use crate::error::Result;
use crate::exit::NgramFit;
use crate::fit::{AccelerateSettings, Texts, append};
use crate::log_probabilities::LogProbabilities;
use crate::outputs::{Outputs, truth_of};

/// Validation rows without which rung 2 is not climbed: fewer cannot tell whether it helps.
pub(super) const LEAST_JUDGES: usize = 20;

/// The texts of rungs 0 and 1. Where validation texts are few and a part of the same data, all texts are cross-fitted.
pub(super) struct RungTexts<'a> {
    training: &'a EncodedDataset,
    /// Training texts, followed by the validation texts, where all are cross-fitted.
    joined: Option<EncodedDataset>,
    /// The rows of `joined` that judge.
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
        // A handful of validation rows says too little: then all rows judge.
        let first = if validation.len() < LEAST_JUDGES { 0 } else { training.len() };
        let judged_labels = truth_of(&joined).split_off(first * Outputs::of_texts(&joined).decisions());
        Ok(Self { training, judges: (first..joined.len()).collect(), joined: Some(joined), judged_labels })
    }

    pub(super) fn fitted_on(&self) -> &EncodedDataset {
        self.joined.as_ref().unwrap_or(self.training)
    }

    /// All texts, where they are cross-fitted.
    pub(super) fn joined(&self) -> Option<&EncodedDataset> {
        self.joined.as_ref()
    }

    pub(super) fn into_joined(self) -> Option<EncodedDataset> {
        self.joined
    }

    /// The rows of the validation texts among all texts.
    pub(super) fn validation_rows(&self) -> Vec<usize> {
        (self.training.len()..self.fitted_on().len()).collect()
    }

    /// The labels of the rows that judge.
    pub(super) fn judged_labels(&self) -> &[u32] {
        &self.judged_labels
    }

    /// The answers to the rows that judge, from those to the validation texts or, out of fold, to all texts.
    pub(super) fn judged<'b>(&self, answers: &'b LogProbabilities) -> Cow<'b, LogProbabilities> {
        match self.joined {
            Some(_) => Cow::Owned(answers.select(&self.judges)),
            None => Cow::Borrowed(answers),
        }
    }

    /// The answers of exit 0 to the rows that judge.
    pub(super) fn judged_by_front<'b>(
        &self,
        front: &'b NgramFit,
        validation: &'b Validation<'_>,
    ) -> Cow<'b, LogProbabilities> {
        self.judged(if self.joined.is_some() { &front.out_of_fold } else { &validation.front })
    }
}
