//! Linear classifier on uni- and bigrams: no layers, almost no cost.

mod contributions;

use std::path::Path;

use dht_transformer::storage::{FileKind, read_file, write_atomically};
use dht_transformer::{EncodedDataset, Encoder, PackedBatch};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::class_scores::ClassScores;
use super::cross_validation::{CrossValidation, check_texts, cross_validate};
use super::embedding_head::EmbeddingHead;
use super::embedding_table::EmbeddingTable;
use super::features::{Columns, Corpus, Tokens, Vocabulary};
use super::settings::NgramSettings;
use crate::error::{Error, Result};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{FeatureMatrix, FitSettings, MEMORY, stratified_folds};
use crate::outputs::{Outputs, truth_of};

/// Logistic regression on the tf-idf weights of a text's uni- and bigrams of token ids.
///
/// An n-gram that occurs c times in a text and in d of the n training texts weighs (1 + ln c)·(ln((1 + n)/(1 + d)) +
/// 1). The weights of a text are divided by the Euclidean norm of their vector. This is scikit-learn's
/// `TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))` on tokens instead of words. The regression is
/// scikit-learn's with the multinomial loss. The two texts of a pair have separate n-grams if the tokenizer
/// distinguishes the texts by token types (BERT's does, RoBERTa's does not).
///
/// A word that the tokenizer does not know, such as an emoji, is a token of its own, in addition to the unknown token
/// `[UNK]`. Two unknown words are thus different n-grams, although the encoder cannot tell them apart.
///
/// The classifier reads the whole text if the tokenizer keeps [the tokens beyond the encoder's
/// limit](dht_transformer::TextTokenizer::with_rest); otherwise it reads the same tokens as the encoder. A text without
/// any known n-gram gets the probabilities that the bias alone gives. A class without training texts has the
/// probability 1/(n + classes) for every text.
///
/// # Cost
/// 2 FLOPs for each class or label and each n-gram of the text that is in the vocabulary. Lookup and weighting of n-grams are
/// not counted.
///
/// # Embeddings
/// With an encoder, a second regression reads the mean of the encoder's input embeddings over all tokens of
/// the text, standardised by the training texts' mean and deviation. An unknown word has the embedding of `[UNK]`. The log-probabilities of both are added with one
/// weight each ([`Stacker`](crate::exit::Stacker)), which are fitted on out-of-fold answers. This costs one FLOP for
/// each token and column, and two for each column and class. On the CPU, the table is the encoder's own
/// memory; it is not saved. A classifier that is loaded alone needs [`with_encoder`](Self::with_encoder). Tokens beyond
/// the table are left out. A text without tokens counts as the mean of the training texts. After a training that changes
/// the encoder's embeddings, the classifier must be fitted again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NgramClassifier {
    settings: NgramSettings,
    full_model: FullModel,
    vocabulary: Vocabulary,
    scores: ClassScores,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding: Option<EmbeddingHead>,
}

/// Fitted [`NgramClassifier`] with the results of its fit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NgramFit {
    /// The classifier, fitted on all training rows.
    pub classifier: NgramClassifier,
    /// Out-of-fold log-probabilities of each training row, by a classifier fitted on the other folds. They are unbiased
    /// inputs for models fitted on the same rows.
    pub out_of_fold: LogProbabilities,
    /// The C of the n-grams with the smallest loss.
    pub c: f64,
    /// Each C that was fitted, ascending, with the mean out-of-fold loss of the n-grams alone in nats.
    pub losses: Vec<(f64, f64)>,
    /// FLOPs of the regressions of all folds and of the final regression. They cover each value and gradient that
    /// L-BFGS requests, two FLOPs for each multiply-add, and the out-of-fold answers.
    pub flops: u64,
}

impl NgramClassifier {
    /// Fits the classifier on texts of one class or of several labels each. The selected C minimises the mean loss in a cross-validation with
    /// random folds, stratified by class. Vocabulary and n-gram weights are recomputed for each fold. With fewer rows
    /// than folds, each row is a fold. The values of C are tried from the middle one in the direction in which the loss
    /// falls. With an encoder, the classifier also
    /// [reads](Self#embeddings) its input embeddings.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two rows or classes, for numbers, for a full model
    /// whose number of classes differs, and as [`NgramSettings::check`]; [`Error::Transformer`] for a label that is not
    /// a class. With an encoder, [`Error::Argument`] for embeddings that are not finite.
    pub fn fit<R: Rng + ?Sized>(
        training: &EncodedDataset,
        settings: &NgramSettings,
        full_model: FullModel,
        encoder: Option<&Encoder>,
        rng: &mut R,
    ) -> Result<NgramFit> {
        Self::fit_within(training, settings, full_model, encoder, MEMORY, rng)
    }

    /// As [`fit`](Self::fit), with at most this number of bytes of embeddings in memory.
    pub(crate) fn fit_within<R: Rng + ?Sized>(
        training: &EncodedDataset,
        settings: &NgramSettings,
        full_model: FullModel,
        encoder: Option<&Encoder>,
        most_bytes: usize,
        rng: &mut R,
    ) -> Result<NgramFit> {
        settings.check()?;
        check_texts(training)?;
        check_full_model(&full_model, training.labels.len())?;
        let table = encoder.map(EmbeddingTable::new).transpose()?;
        let texts: Vec<Tokens<'_>> = tokens_of(training).collect();
        let corpus = Corpus::new(&texts, &settings.left_out);
        let (labels, outputs) = (truth_of(training), Outputs::of_texts(training));
        let fold_of = stratified_folds(training, settings.folds.min(training.len()), rng);
        let matrix = |rows: &[usize], columns: &Columns| {
            let features: Vec<Vec<(u32, f32)>> = rows.par_iter().map(|row| corpus.features(*row, columns)).collect();
            FeatureMatrix::sparse(columns.len(), features.iter().map(Vec::as_slice))
        };
        let CrossValidation { out_of_fold, c, losses, flops: of_folds } =
            cross_validate(&labels, outputs, &fold_of, &settings.c, |rows, held_out| {
                let columns = corpus.columns(rows, settings.min_rows);
                Ok((matrix(rows, &columns), matrix(held_out, &columns)))
            })?;
        let rows: Vec<usize> = (0..training.len()).collect();
        let columns = corpus.columns(&rows, settings.min_rows);
        let settings_of_fit = FitSettings { c, tolerance: FINAL_TOLERANCE };
        let (scores, minimum) = ClassScores::fit(&matrix(&rows, &columns), &labels, outputs, settings_of_fit, None)?;
        let vocabulary = corpus.vocabulary(columns);
        let mut flops = of_folds + minimum.map_or(0, |minimum| minimum.flops);
        let (embedding, out_of_fold) = match &table {
            None => (None, out_of_fold),
            Some(table) => {
                let texts = (texts.as_slice(), &settings.left_out);
                let (head, stacked, of_head) =
                    EmbeddingHead::fit(table, texts, &labels, &fold_of, &out_of_fold, most_bytes)?;
                flops += of_head;
                (Some(head), stacked)
            }
        };
        let classifier = Self { settings: settings.clone(), full_model, vocabulary, scores, embedding };
        Ok(NgramFit { classifier, out_of_fold, c, losses, flops })
    }

    /// Adds the input embeddings of the encoder that the classifier was fitted with, after [`load`](Self::load). A
    /// classifier without an embedding part does not change.
    ///
    /// # Errors
    /// [`Error::State`] for an encoder with other embeddings; [`Error::Argument`] for embeddings that are not
    /// finite.
    pub fn with_encoder(self, encoder: &Encoder) -> Result<Self> {
        let embedding = self.embedding.map(|head| head.with_encoder(encoder)).transpose()?;
        Ok(Self { embedding, ..self })
    }

    /// Log-probabilities of a batch.
    ///
    /// # Errors
    /// None currently; as [`LogProbabilities::new`].
    pub fn log_probabilities(&self, batch: &PackedBatch) -> Result<LogProbabilities> {
        Ok(self.answers(batch)?.0)
    }

    /// Log-probabilities of every row of a data set.
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
        let of = |text: &Tokens<'_>| self.flops(&self.vocabulary.features(*text, &self.settings.left_out), *text);
        texts.par_iter().with_min_len(16).map(of).collect()
    }

    /// FLOPs of a text with these features.
    fn flops(&self, features: &[(u32, f32)], text: Tokens<'_>) -> u64 {
        let of_head = |head: &EmbeddingHead| head.flops(text.whole(&self.settings.left_out));
        2 * (features.len() * self.classes()) as u64 + self.embedding.as_ref().map_or(0, of_head)
    }

    /// Answers to the texts of a batch, before any layer, and the FLOPs of each, two for each multiply-add.
    ///
    /// # Errors
    /// [`Error::State`] for answers that are not finite.
    pub fn answers(&self, batch: &PackedBatch) -> Result<(LogProbabilities, Vec<u64>)> {
        let text = |sample: usize| {
            let range = batch.spans.range(sample);
            let (ids, type_ids) = (&batch.ids[range.clone()], &batch.type_ids[range]);
            Tokens { ids, type_ids, rest: batch.rest.get(sample) }
        };
        self.read(&(0..batch.len()).map(text).collect::<Vec<_>>())
    }

    fn read(&self, texts: &[Tokens<'_>]) -> Result<(LogProbabilities, Vec<u64>)> {
        match &self.embedding {
            None => self.read_with(texts, |logs, _| logs),
            Some(head) => head.table()?.with_values(|values| {
                self.read_with(texts, |logs, text| head.stack(&logs, values, text.whole(&self.settings.left_out)))
            })?,
        }
    }

    /// Reads texts; `add` changes the n-grams' answer to a text.
    fn read_with(
        &self,
        texts: &[Tokens<'_>],
        add: impl Fn(Vec<f64>, &Tokens<'_>) -> Vec<f64> + Sync,
    ) -> Result<(LogProbabilities, Vec<u64>)> {
        let read = |text: &Tokens<'_>| {
            let features = self.vocabulary.features(*text, &self.settings.left_out);
            (add(self.scores.log_probabilities(&features), text), self.flops(&features, *text))
        };
        // A few texts take less time than waking a thread.
        let (rows, flops): (Vec<Vec<f64>>, Vec<u64>) = match texts.len() {
            0..=READ_TOGETHER => texts.iter().map(read).unzip(),
            _ => texts.par_iter().with_min_len(READ_TOGETHER).map(read).unzip(),
        };
        Ok((LogProbabilities::of(self.outputs(), rows.concat())?, flops))
    }

    /// The decisions that make up an answer.
    pub fn outputs(&self) -> Outputs {
        self.scores.outputs()
    }

    /// The number of classes or labels.
    pub fn classes(&self) -> usize {
        self.outputs().count()
    }

    /// The number of n-grams in the vocabulary.
    pub fn ngrams(&self) -> usize {
        self.vocabulary.len()
    }

    /// Settings of the fit.
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
        let bytes = read_file(path, FileKind::Weights)
            .map_err(|source| dht_transformer::Error::Io { path: path.to_path_buf(), source })?;
        let found: Self = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { what: path.display().to_string(), source })?;
        found.settings.check()?;
        check_full_model(&found.full_model, found.classes())?;
        if !found.vocabulary.is_sound() {
            return Err(Error::state("vocabulary", "each n-gram once, with a finite weight", "another one"));
        }
        found.scores.check(found.vocabulary.len())?;
        found.embedding.as_ref().map_or(Ok(()), |head| head.check(found.outputs()))?;
        Ok(found)
    }
}

/// The n-gram exit at depth 0: it reads tokens and ignores hidden rows.
/// Number of texts that a thread processes at a time.
const READ_TOGETHER: usize = 16;
/// Gradient tolerance of the final fit. The fit is then about as near to the minimum as
/// scikit-learn's at its default tolerance.
const FINAL_TOLERANCE: f64 = 5e-3;

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
