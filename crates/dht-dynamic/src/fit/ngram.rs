//! Fits the n-gram classifier, which predicts before the encoder runs (exit 0).

use dht_transformer::{EncodedDataset, TextClassifier};
use rand::Rng;

use super::settings::AccelerateSettings;
use super::texts::FitTexts;
use crate::error::Result;
use crate::exit::{NgramClassifier, NgramFit};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;

/// Fits the n-gram classifier on the training texts; returns `None` if the settings have no n-gram classifier.
pub(crate) fn fit_ngrams<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    training: &EncodedDataset,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<Option<NgramFit>> {
    let Some(ngram) = &settings.ngram else { return Ok(None) };
    let encoder = settings.embeddings.then(|| classifier.encoder());
    let full = FullModel::new(classifier);
    NgramClassifier::fit_within(training, ngram, full, encoder, settings.state_bytes, rng).map(Some)
}

/// Fitted n-gram classifier, with its predictions for the texts that models are selected on (held-out or cross-fitted).
pub(crate) struct JudgedFront {
    pub(crate) classifier: NgramClassifier,
    pub(crate) answers: LogProbabilities,
    /// Selected inverse penalty C of the n-gram classifier.
    pub(crate) c: f64,
    /// FLOPs of predicting the held-out texts.
    pub(crate) flops: u64,
}

impl JudgedFront {
    /// Predicts the held-out texts. Without held-out texts, uses the out-of-fold predictions of the fit.
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
