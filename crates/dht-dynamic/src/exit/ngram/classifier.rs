//! A linear classifier on uni- and bigrams: no layers, almost no cost.

use std::path::Path;

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, storage::write_atomically};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::class_scores::ClassScores;
use super::cross_validation::{check_texts, cross_validate};
use super::features::{Corpus, Tokens, Vocabulary};
use super::settings::NgramSettings;
use crate::error::{Error, Result};
use crate::exit::{Exit, ExitAnswers, ExitTexts};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;

/// Logistic regression on the tf-idf weights of a text's uni- and bigrams of token ids.
///
/// An n-gram that occurs c times in a text and in d of the n training texts weighs (1 + ln c)·(ln((1 + n)/(1 + d)) +
/// 1). The weights of a text are divided by the Euclidean norm of their vector. This is scikit-learn's
/// `TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))` on tokens instead of words. The regression is
/// scikit-learn's with the multinomial loss. The two texts of a pair have separate n-grams if the tokenizer
/// distinguishes the texts by token types (BERT's does, RoBERTa's does not).
///
/// The classifier reads the whole text if the tokenizer keeps [the tokens beyond the encoder's
/// limit](dht_transformer::TextTokenizer::with_rest); otherwise it reads the same tokens as the encoder. A text without
/// any known n-gram gets the probabilities that the bias alone gives. A class without training texts has the
/// probability 1/(n + classes) for every text.
///
/// # Cost
/// 2 FLOPs for each class and each n-gram of the text that is in the vocabulary. Lookup and weighting of n-grams are
/// not counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NgramClassifier {
    settings: NgramSettings,
    full_model: FullModel,
    vocabulary: Vocabulary,
    scores: ClassScores,
}

/// A fitted [`NgramClassifier`] with the results of its fit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NgramFit {
    /// The classifier, fitted on all training rows.
    pub classifier: NgramClassifier,
    /// Out-of-fold log-probabilities of each training row, by a classifier fitted on the other folds. They are unbiased
    /// inputs for models fitted on the same rows.
    pub out_of_fold: LogProbabilities,
    /// The C with the smallest loss; the first in a tie.
    pub c: f64,
    /// Each C with the mean out-of-fold loss in nats.
    pub losses: Vec<(f64, f64)>,
    /// FLOPs of the regressions of all folds and of the final regression. They cover each value and gradient that
    /// L-BFGS requests, two FLOPs for each multiply-add, and the out-of-fold answers.
    pub flops: u64,
}

impl NgramClassifier {
    /// Fits the classifier on single-label texts. The selected C minimises the mean loss in a cross-validation with
    /// random folds, stratified by class. Vocabulary and n-gram weights are recomputed for each fold. With fewer rows
    /// than folds, each row is a fold.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two rows or classes, for multi-label or regression targets, for a full model
    /// whose number of classes differs, and as [`NgramSettings::check`]; [`Error::Transformer`] for a label that is not
    /// a class.
    pub fn fit<R: Rng + ?Sized>(
        training: &EncodedDataset,
        settings: &NgramSettings,
        full_model: FullModel,
        rng: &mut R,
    ) -> Result<NgramFit> {
        settings.check()?;
        check_texts(training)?;
        check_full_model(&full_model, training.labels.len())?;
        let texts: Vec<Tokens<'_>> = tokens_of(training).collect();
        let corpus = Corpus::new(&texts, &settings.left_out);
        let labels: Vec<u32> = training.samples.iter().map(|sample| sample.label).collect();
        let classes = training.labels.len();
        let (mut tables, chosen, of_folds) = cross_validate(&corpus, &labels, classes, settings, rng)?;
        let losses: Vec<(f64, f64)> =
            settings.c.iter().copied().zip(tables.iter().map(|table| table.mean_loss(&labels))).collect();
        let c = settings.c[chosen];
        let rows: Vec<usize> = (0..training.len()).collect();
        let columns = corpus.columns(&rows, settings.min_rows);
        let (mut scores, of_all) =
            ClassScores::fit(&corpus, &columns, (&rows, &labels), classes, &[c], FINAL_TOLERANCE)?;
        let vocabulary = corpus.vocabulary(columns);
        let classifier = Self { settings: settings.clone(), full_model, vocabulary, scores: scores.remove(0) };
        let flops = of_folds + of_all;
        Ok(NgramFit { classifier, out_of_fold: tables.swap_remove(chosen), c, losses, flops })
    }

    /// The log-probabilities of a batch.
    ///
    /// # Errors
    /// None currently; as [`LogProbabilities::new`].
    pub fn log_probabilities(&self, batch: &PackedBatch) -> Result<LogProbabilities> {
        Ok(self.of_members(batch, 0..batch.len())?.0)
    }

    /// The log-probabilities of every row of a data set.
    ///
    /// # Errors
    /// As [`log_probabilities`](Self::log_probabilities).
    pub fn log_probabilities_of_all(&self, data: &EncodedDataset) -> Result<LogProbabilities> {
        let texts: Vec<Tokens<'_>> = tokens_of(data).collect();
        Ok(self.read(&texts)?.0)
    }

    /// FLOPs of every row of a data set.
    pub fn flops_of_all(&self, data: &EncodedDataset) -> Vec<u64> {
        let texts: Vec<Tokens<'_>> = tokens_of(data).collect();
        let of = |text: &Tokens<'_>| self.flops(&self.vocabulary.features(*text, &self.settings.left_out));
        texts.par_iter().with_min_len(16).map(of).collect()
    }

    /// FLOPs of a text with these features.
    fn flops(&self, features: &[(u32, f32)]) -> u64 {
        2 * (features.len() * self.classes()) as u64
    }

    /// The log-probabilities of some texts of a batch, and the FLOPs of each.
    pub(super) fn of_members(
        &self,
        batch: &PackedBatch,
        members: impl Iterator<Item = usize>,
    ) -> Result<(LogProbabilities, Vec<u64>)> {
        let text = |sample: usize| {
            let range = batch.spans.range(sample);
            let (ids, type_ids) = (&batch.ids[range.clone()], &batch.type_ids[range]);
            Tokens { ids, type_ids, rest: batch.rest.get(sample) }
        };
        self.read(&members.map(text).collect::<Vec<_>>())
    }

    fn read(&self, texts: &[Tokens<'_>]) -> Result<(LogProbabilities, Vec<u64>)> {
        let classes = self.classes();
        let read = |text: &Tokens<'_>| {
            let features = self.vocabulary.features(*text, &self.settings.left_out);
            (self.scores.log_probabilities(&features), self.flops(&features))
        };
        // A few texts take less time than waking a thread.
        let (rows, flops): (Vec<Vec<f64>>, Vec<u64>) = match texts.len() {
            0..=READ_TOGETHER => texts.iter().map(read).unzip(),
            _ => texts.par_iter().with_min_len(READ_TOGETHER).map(read).unzip(),
        };
        Ok((LogProbabilities::new(classes, rows.concat())?, flops))
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.scores.classes()
    }

    /// The number of n-grams in the vocabulary.
    pub fn ngrams(&self) -> usize {
        self.vocabulary.len()
    }

    /// The settings of the fit.
    pub fn settings(&self) -> &NgramSettings {
        &self.settings
    }

    /// The full model that the classifier's cost is compared with.
    pub fn full_model(&self) -> &FullModel {
        &self.full_model
    }

    /// Writes the classifier as JSON, atomically.
    ///
    /// # Errors
    /// [`Error::Transformer`] when writing fails.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let json = self.to_json()?;
        Ok(write_atomically(path, |file| file.write_all(&json))?)
    }

    /// The bytes of the saved file.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|source| Error::Json { what: "n-gram classifier".into(), source })
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Transformer`] when the file cannot be read, [`Error::Json`] when it is not JSON of this form, and
    /// [`Error::Argument`] when its parts do not fit together.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|source| dht_transformer::Error::Io { path: path.to_path_buf(), source })?;
        let found: Self = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { what: path.display().to_string(), source })?;
        found.settings.check()?;
        check_full_model(&found.full_model, found.classes())?;
        if !found.vocabulary.is_sound() {
            return Err(Error::state("vocabulary", "each n-gram once, with a finite weight", "another one"));
        }
        found.scores.check(found.vocabulary.len())?;
        Ok(found)
    }
}

/// The n-gram exit at depth 0: it reads tokens and ignores hidden rows.
impl Exit for NgramClassifier {
    fn answers(&self, texts: &ExitTexts<'_>, _: &ForwardContext) -> Result<ExitAnswers> {
        let (log_probabilities, flops) = self.of_members(texts.batch, texts.members.iter().copied())?;
        Ok(ExitAnswers { log_probabilities, flops })
    }
}

/// Number of texts that a thread processes at a time.
const READ_TOGETHER: usize = 16;
/// Gradient tolerance of the final fit. The objective is then within 5·10⁻⁷ nats of its minimum.
const FINAL_TOLERANCE: f64 = 1e-3;

fn check_full_model(model: &FullModel, classes: usize) -> Result<()> {
    model.shape().check()?;
    match model.classifier.classes {
        same if same == classes => Ok(()),
        other => Err(Error::shape("classes of the full model", classes.to_string(), other)),
    }
}

fn tokens_of(data: &EncodedDataset) -> impl Iterator<Item = Tokens<'_>> {
    data.samples.iter().map(|sample| {
        let encoding = &sample.encoding;
        Tokens { ids: &encoding.ids, type_ids: &encoding.type_ids, rest: Some(&encoding.rest) }
    })
}
