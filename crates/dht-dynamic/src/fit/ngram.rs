//! Step 4, the n-gram classifier of the n-gram exit.

use dht_transformer::{EncodedDataset, TextClassifier};
use rand::Rng;

use super::settings::AccelerateSettings;
use super::texts::FitTexts;
use crate::error::Result;
use crate::exit::{NgramClassifier, NgramFit};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;

/// Fits the n-gram classifier of the settings on these texts; `None` where the settings have none.
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

/// An n-gram classifier, with its answers to the judged texts.
pub(crate) struct JudgedFront {
    pub(crate) classifier: NgramClassifier,
    pub(crate) answers: LogProbabilities,
    /// The C of the n-grams.
    pub(crate) c: f64,
    /// FLOPs of the answers to held-out texts.
    pub(crate) flops: u64,
}

impl JudgedFront {
    /// Answers held-out texts. Cross-fitted texts have their answers from the fit.
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
