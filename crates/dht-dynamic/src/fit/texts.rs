//! The texts of an acceleration, by purpose.

use dht_transformer::{EncodedDataset, Sample};
use rand::Rng;
use rand::seq::SliceRandom;

use super::pooled_states::States;
use super::settings::{AccelerateSettings, Targets};
use crate::error::{Error, Result};
use crate::logistic::stratified_folds;
use crate::model::SeenTexts;

/// The texts of an acceleration.
///
/// | you have | training | held-out |
/// |---|---|---|
/// | the texts that the classifier was fine-tuned on, and unseen texts | the former | the unseen texts |
/// | only texts that the classifier has not seen | these texts | none |
/// | only the texts that the classifier was fine-tuned on | these texts | none |
///
/// The first row is recommended, the last is not: a classifier is more confident on texts that it has seen, so that the
/// selected speed may lose accuracy on other texts.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// Texts on which exits and n-gram model are fitted: those that the classifier was fine-tuned on if there are
    /// held-out texts, otherwise texts that it has not seen.
    pub training: &'a EncodedDataset,
    /// Texts that the classifier has *not* seen, on which C, the stacking and the speeds are selected. If there are
    /// none, a [share](AccelerateSettings::held_out_share) of `training` is held out, or with few texts all of
    /// `training` is cross-fitted.
    pub held_out: Option<&'a EncodedDataset>,
    /// Further texts to fit on. Their labels are ignored and replaced by the classes that the classifier predicts.
    pub unlabelled: Option<&'a EncodedDataset>,
}

impl<'a> Texts<'a> {
    /// The minimum number of texts for [`accelerate`](fn@super::accelerate): fewer cannot be fitted and judged.
    pub const LEAST: usize = 20;

    /// Texts to fit on, without held-out and unlabelled texts.
    pub fn new(training: &'a EncodedDataset) -> Self {
        Self { training, held_out: None, unlabelled: None }
    }

    /// Adds held-out texts.
    pub fn with_held_out(self, held_out: &'a EncodedDataset) -> Self {
        Self { held_out: Some(held_out), ..self }
    }

    /// Adds unlabelled texts.
    pub fn with_unlabelled(self, unlabelled: &'a EncodedDataset) -> Self {
        Self { unlabelled: Some(unlabelled), ..self }
    }

    /// Rejects held-out texts that are empty, or most of which are training texts.
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

/// The texts by purpose.
pub(crate) struct Parts {
    /// The labelled texts, followed by the unlabelled ones.
    pub(super) training: EncodedDataset,
    /// The number of labelled texts.
    pub(super) labelled: usize,
    pub(super) held_out: Option<EncodedDataset>,
    /// The fold of each training row, where no texts are held out.
    pub(super) fold_of: Vec<usize>,
}

impl Parts {
    /// Splits the texts.
    ///
    /// # Errors
    /// [`Error::Argument`] for unlabelled texts without held-out texts: a cross-fit would judge the exits on unlabelled
    /// texts.
    pub(crate) fn new<R: Rng + ?Sized>(texts: Texts<'_>, settings: &AccelerateSettings, rng: &mut R) -> Result<Self> {
        let mut parts = Self::of_labelled(texts.training, texts.held_out, settings, rng)?;
        let Some(unlabelled) = texts.unlabelled.filter(|unlabelled| !unlabelled.is_empty()) else { return Ok(parts) };
        if parts.held_out.is_none() {
            return Err(Error::argument("unlabelled texts", "none without held-out texts", unlabelled.len()));
        }
        let free = 1 + parts.training.samples.iter().map(|sample| sample.id).max().unwrap_or_default();
        let others =
            unlabelled.samples.iter().cloned().zip(free..).map(|(sample, id)| Sample { id, label: 0, ..sample });
        parts.training.samples.extend(others);
        Ok(parts)
    }

    fn of_labelled<R: Rng + ?Sized>(
        texts: &EncodedDataset,
        held_out: Option<&EncodedDataset>,
        settings: &AccelerateSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let parts = |training: EncodedDataset, held_out, fold_of| {
            Ok(Self { labelled: training.len(), training, held_out, fold_of })
        };
        if let Some(held_out) = held_out.filter(|held_out| !held_out.is_empty()) {
            return parts(texts.clone(), Some(held_out.clone()), Vec::new());
        }
        let wanted = (settings.held_out_share * texts.len() as f64) as usize;
        if wanted < settings.least_held_out {
            let fold_of = stratified_folds(texts, settings.folds, rng);
            return parts(texts.clone(), None, fold_of);
        }
        let mut rows: Vec<usize> = (0..texts.len()).collect();
        rows.shuffle(rng);
        let (held_out, training) = rows.split_at(wanted);
        let pick = |rows: &[usize]| texts.select(rows.iter().copied());
        parts(pick(training)?, Some(pick(held_out)?), Vec::new())
    }

    /// Replaces labels by the classifier's own predictions, if these are the targets, and for texts without labels.
    /// Without such predictions, since the classifier is still to be fitted, all labels stay.
    pub(super) fn with_targets(mut self, targets: Targets, training: &States, held_out: Option<&States>) -> Self {
        let (Some(own), held_out_own) = (&training.own, held_out.and_then(|states| states.own.as_ref())) else {
            return self;
        };
        let relabel = |samples: &mut [Sample], labels: &[u32]| {
            samples.iter_mut().zip(labels).for_each(|(sample, label)| sample.label = *label);
        };
        let first = if targets == Targets::Predictions { 0 } else { self.labelled };
        relabel(&mut self.training.samples[first..], &own.labels()[first..]);
        if let (Targets::Predictions, Some(data), Some(own)) = (targets, &mut self.held_out, held_out_own) {
            relabel(&mut data.samples, &own.labels());
        }
        self
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &EncodedDataset> {
        [Some(&self.training), self.held_out.as_ref()].into_iter().flatten()
    }

    pub(super) fn labels(&self) -> Vec<u32> {
        labels(&self.training)
    }

    /// The labels of the rows on which C, stacking and speeds are chosen.
    pub(crate) fn judged_labels(&self) -> Vec<u32> {
        labels(self.held_out.as_ref().unwrap_or(&self.training))
    }
}

fn labels(data: &EncodedDataset) -> Vec<u32> {
    data.samples.iter().map(|sample| sample.label).collect()
}
