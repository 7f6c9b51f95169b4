//! Texts for fitting a model with early exits, and for selecting its settings.

use dht_transformer::{EncodedDataset, Sample};
use rand::Rng;

use super::settings::AccelerateSettings;
use crate::error::{Error, Result};
use crate::logistic::stratified_folds;
use crate::model::SeenTexts;
use crate::outputs::{Outputs, truth_of};

/// Texts on which [`accelerate`](fn@crate::accelerate::accelerate) fits a model with early exits and selects its speed
/// (exit threshold).
///
/// | you have | training | held-out |
/// |---|---|---|
/// | the texts that the classifier was fine-tuned on, and unseen texts | the texts of fine-tuning | the unseen texts |
/// | only texts that the classifier has not seen | these texts | none |
/// | only the texts that the classifier was fine-tuned on | these texts | none |
///
/// The first row of the table is recommended. The last row is not: a classifier is more confident on texts that it was
/// fine-tuned on, so the selected speed may lose accuracy on other texts.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// Texts on which the exits and the n-gram classifier are fitted. With held-out texts, use the texts that the
    /// classifier was fine-tuned on. Without held-out texts, use texts that the classifier has not seen.
    pub training: &'a EncodedDataset,
    /// Texts that the classifier has *not* seen, on which the inverse penalty C, the stacking weights and the speeds
    /// are selected. With `None`, a [share](AccelerateSettings::held_out_share) of `training` is held out; if the share
    /// has too few texts, all of `training` is cross-fitted.
    pub held_out: Option<&'a EncodedDataset>,
    /// Further texts to fit on, without labels. The classes that the classifier predicts for them are used as labels.
    pub unlabelled: Option<&'a EncodedDataset>,
}

impl<'a> Texts<'a> {
    /// Minimum number of texts for [`accelerate`](fn@crate::accelerate::accelerate) to fit and score a model.
    pub const LEAST: usize = 20;

    /// Creates a set of training texts, without held-out and unlabelled texts.
    pub fn new(training: &'a EncodedDataset) -> Self {
        Self { training, held_out: None, unlabelled: None }
    }

    /// Adds held-out texts, which the classifier has not seen.
    pub fn with_held_out(self, held_out: &'a EncodedDataset) -> Self {
        Self { held_out: Some(held_out), ..self }
    }

    /// Adds texts without labels to fit on.
    pub fn with_unlabelled(self, unlabelled: &'a EncodedDataset) -> Self {
        Self { unlabelled: Some(unlabelled), ..self }
    }

    /// Rejects a held-out set that is empty, or of which more than half the texts are also training texts.
    pub(crate) fn check_held_out(self) -> Result<()> {
        let Some(held_out) = self.held_out else { return Ok(()) };
        let seen = SeenTexts::new([self.training]).rows_of(held_out).len();
        match held_out.len() {
            0 => Err(Error::argument("held-out texts", "at least one", "none")),
            all if 2 * seen > all => {
                let got = format!("{seen} training texts among {all}");
                Err(Error::argument("held-out set", "texts that the model has not learned from", got))
            }
            _ => Ok(()),
        }
    }
}

/// Texts for fitting early exits, with either held-out texts or cross-fitting folds for selecting settings.
pub(crate) struct FitTexts {
    /// Texts to fit on: labelled texts, followed by unlabelled texts.
    pub(crate) training: EncodedDataset,
    /// Number of labelled texts at the start of `training`.
    pub(super) labelled: usize,
    /// Held-out texts, on which the inverse penalty C, the stacking weights and the speed are selected.
    pub(super) held_out: Option<EncodedDataset>,
    /// Index of the cross-fitting fold of each training text; empty if there are held-out texts.
    pub(super) fold_of: Vec<usize>,
    /// Weight of each class; `None` for equal weights.
    class_weights: Option<Vec<f32>>,
}

impl FitTexts {
    /// Splits `texts` into training and held-out texts, or assigns cross-fitting folds. Appends the unlabelled texts to
    /// the training texts.
    ///
    /// # Errors
    /// * [`Error::Argument`] if there are unlabelled texts but no held-out texts: cross-fitting would score the exits
    ///   on unlabelled texts.
    /// * [`Error::Argument`] if the [levels](AccelerateSettings::levels) of a number do not have one cut for each
    ///   label.
    pub(crate) fn new<R: Rng + ?Sized>(texts: Texts<'_>, settings: &AccelerateSettings, rng: &mut R) -> Result<Self> {
        if let Some(levels) = &settings.levels {
            match Outputs::of_texts(texts.training) {
                Outputs::Labels(labels) => levels.check(labels)?,
                Outputs::Classes(_) => return Err(Error::argument("levels", "none for texts with classes", "some")),
            }
        }
        let mut split = match texts.held_out.filter(|held_out| !held_out.is_empty()) {
            Some(held_out) => Self::with_held_out(texts.training.clone(), held_out.clone()),
            None => Self::split(texts.training, settings, rng)?,
        };
        if let Some(unlabelled) = texts.unlabelled.filter(|unlabelled| !unlabelled.is_empty()) {
            if split.held_out.is_none() {
                return Err(Error::argument("unlabelled texts", "none without held-out texts", unlabelled.len()));
            }
            let targets = split.training.samples.first().map_or(0, |sample| sample.targets.len());
            let unlabelled = unlabelled.samples.iter();
            let samples = unlabelled.map(|sample| Sample { label: 0, targets: vec![0.0; targets], ..sample.clone() });
            append(&mut split.training, samples);
        }
        split.class_weights.clone_from(&settings.class_weights);
        Ok(split)
    }

    fn with_held_out(training: EncodedDataset, held_out: EncodedDataset) -> Self {
        let labelled = training.len();
        Self { training, labelled, held_out: Some(held_out), fold_of: Vec::new(), class_weights: None }
    }

    /// Holds out a share of the texts, stratified by class. Copies of a text are all on the same side of the split. If
    /// the held-out share has too few rows, all texts are cross-fitted.
    fn split<R: Rng + ?Sized>(texts: &EncodedDataset, settings: &AccelerateSettings, rng: &mut R) -> Result<Self> {
        let share = (settings.held_out_share * texts.len() as f64) as usize;
        if share >= settings.least_held_out {
            // If texts repeat, the split may hold out fewer rows than the share, or fail.
            let split = texts.split_validation(settings.held_out_share, rng).ok();
            if let Some((training, held_out)) = split.filter(|(_, held)| held.len() >= settings.least_held_out) {
                return Ok(Self::with_held_out(training, held_out));
            }
        }
        let fold_of = stratified_folds(texts, settings.folds, rng);
        Ok(Self { training: texts.clone(), labelled: texts.len(), held_out: None, fold_of, class_weights: None })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &EncodedDataset> {
        [Some(&self.training), self.held_out.as_ref()].into_iter().flatten()
    }

    /// True labels of the training texts, concatenated: the class index of each text, or for multi-label texts a 0 or 1
    /// for each label.
    pub(super) fn labels(&self) -> Vec<u32> {
        truth_of(&self.training)
    }

    /// Weight of each class, for all fits and for the losses that select settings; `None` for equal weights.
    pub(crate) fn class_weights(&self) -> Option<&[f32]> {
        self.class_weights.as_deref()
    }

    /// Texts on which the inverse penalty C, the stacking weights and the speed (exit threshold) are selected: the
    /// held-out texts, or all texts if they are cross-fitted.
    pub(super) fn judged(&self) -> &EncodedDataset {
        self.held_out.as_ref().unwrap_or(&self.training)
    }

    /// True labels of the [judged](Self::judged) texts, on which settings are selected. The labels are concatenated:
    /// the class index of each text, or for multi-label texts a 0 or 1 for each label.
    pub(crate) fn judged_labels(&self) -> Vec<u32> {
        truth_of(self.judged())
    }
}

/// Appends samples to a data set, and gives them new, unique ids.
pub(crate) fn append(data: &mut EncodedDataset, samples: impl IntoIterator<Item = Sample>) {
    let free = 1 + data.samples.iter().map(|sample| sample.id).max().unwrap_or_default();
    data.samples.extend(samples.into_iter().zip(free..).map(|(sample, id)| Sample { id, ..sample }));
}

#[cfg(test)]
mod tests {
    use dht_toys::reviews;

    use super::*;

    #[test]
    fn appended_texts_get_ids_that_no_other_text_has() {
        let mut data = reviews::data(5, 1);
        append(&mut data, reviews::data(5, 2).samples);
        assert_eq!(data.len(), 10);
        data.check_ids().unwrap();
    }
}
