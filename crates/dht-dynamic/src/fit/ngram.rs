//! Fits the n-gram classifier, the first early exit, which predicts before the encoder runs.

use dht_transformer::{EncodedDataset, TextClassifier};
use rand::Rng;

use super::settings::AccelerateSettings;
use super::texts::FitTexts;
use crate::error::Result;
use crate::exit::{NgramClassifier, NgramFit};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;

/// Fits the n-gram classifier on the training texts. Returns `None` if the settings do not ask for one.
pub(crate) fn fit_ngrams<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    training: &EncodedDataset,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<Option<NgramFit>> {
    let Some(ngram) = &settings.ngram else { return Ok(None) };
    let encoder = settings.embeddings.then(|| classifier.encoder());
    let full = FullModel::new(classifier);
    let class_weights = settings.class_weights.as_deref();
    NgramClassifier::fit_within(training, ngram, class_weights, full, encoder, settings.state_bytes, rng).map(Some)
}

/// Fitted n-gram classifier, with its log-probabilities for the texts on which settings are selected (the held-out
/// texts, or all texts if cross-fitted).
pub(crate) struct JudgedFront {
    pub(crate) classifier: NgramClassifier,
    pub(crate) answers: LogProbabilities,
    /// Inverse penalty C that was selected for the n-gram classifier.
    pub(crate) c: f64,
    /// FLOPs of predicting the held-out texts.
    pub(crate) flops: u64,
}

impl JudgedFront {
    /// Adds the predictions for the held-out texts to a fitted classifier. Without held-out texts, the out-of-fold
    /// predictions of the fit are used.
    pub(crate) fn new(fit: NgramFit, texts: &FitTexts) -> Result<Self> {
        let NgramFit { classifier, out_of_fold, c, .. } = fit;
        let (answers, flops) = match &texts.held_out {
            Some(held_out) => {
                (classifier.log_probabilities_of_all(held_out)?, classifier.flops_of_all(held_out).iter().sum())
            }
            None => (out_of_fold, 0),
        };
        Ok(Self { classifier, answers, c, flops })
    }
}
