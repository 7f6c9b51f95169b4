//! Linear classifier on the unigrams and bigrams of a text. It runs no layers and costs almost nothing.

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
use crate::outputs::{Outputs, row_weights, truth_of};

/// N-gram classifier: logistic regression on the tf-idf weights of a text's unigrams and bigrams of token ids. Its cost
/// is negligible, because it runs no layers.
///
/// # Examples
/// Classifier that is fitted on four texts of two words, where each word occurs in two texts:
///
/// ```
/// # use candle_core::Device;
/// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, Pooling};
/// # use rand::SeedableRng;
/// use dht_dynamic::FullModel;
/// use dht_dynamic::exit::{NgramClassifier, NgramSettings};
/// use dht_dynamic::transformer::{TextClassifier, TextTokenizer};
///
/// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
/// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
/// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let tokenizer = TextTokenizer::from_vocabulary(&["good", "bad", "food", "film"].map(String::from))?;
/// let texts = tokenizer.encode_all(&data, 16)?;
/// // The full model, with whose cost the classifier's cost is compared.
/// # let config = BertConfig::small(2, 6, 24, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// let full = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
///
/// let settings = NgramSettings { left_out: tokenizer.tokens_around()?, ..NgramSettings::default() };
/// let fit = NgramClassifier::fit(&texts, &settings, FullModel::new(&full), None, &mut rng)?;
/// // Every word is in two texts, every bigram in one.
/// assert_eq!(fit.classifier.ngrams(), 4);
/// assert_eq!(fit.classifier.log_probabilities_of_all(&texts)?.labels(), [1, 0, 1, 0]);
/// // Each text has two n-grams, which cost 2 FLOPs for each of two classes.
/// assert_eq!(fit.classifier.flops_of_all(&texts), [8; 4]);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
///
/// # Features
/// An n-gram that occurs c times in a text, and in d of the n training texts, has the weight
/// (1 + ln c)·(ln((1 + n)/(1 + d)) + 1). The weights of a text are divided by the Euclidean norm of their vector. This
/// is scikit-learn's `TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))` on tokens instead of words. The
/// regression is scikit-learn's logistic regression with the multinomial loss. For pairs of texts, the two texts have
/// separate n-grams if the tokenizer distinguishes them by token types (BERT's does, RoBERTa's does not).
///
/// Words that the tokenizer does not know, such as emoji, are tokens of their own, in addition to the unknown token
/// `[UNK]`. Two unknown words are thus different n-grams, although the encoder cannot tell them apart.
///
/// The classifier reads the whole text if the tokenizer keeps [the tokens beyond the encoder's
/// limit](dht_transformer::TextTokenizer::with_rest); otherwise it reads the same tokens as the encoder. For a text
/// without any known n-gram, the probabilities follow from the bias alone. A class without training texts has the
/// probability 1/(n + classes) for every text, where n is the number of training texts.
///
/// # Cost
/// Each prediction costs 2 FLOPs for each class or label and each n-gram of the text that is in the vocabulary. Lookup
/// and weighting of n-grams are not counted.
///
/// # Embeddings
/// If the classifier is fitted with an encoder, a second regression reads the mean of the encoder's input embeddings
/// over all tokens of the text. The mean is standardised by the mean and standard deviation of the training texts. An
/// unknown word has the embedding of `[UNK]`. Tokens outside the embedding table are left out, and a text without
/// tokens has the mean of the training texts.
///
/// The log-probabilities of both regressions are added with one weight each ([`Stacker`](crate::exit::Stacker)). The
/// weights are fitted on out-of-fold predictions. The second regression costs one FLOP for each token and column, and
/// two for each column and class.
///
/// On the CPU, the embedding table is the encoder's own memory. The table is not saved, so a classifier that is loaded
/// alone needs [`with_encoder`](Self::with_encoder). If training changes the encoder's embeddings, the classifier must
/// be fitted again.
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

/// Result of [`NgramClassifier::fit`]: the classifier, its out-of-fold predictions, and the selected inverse penalty C.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NgramFit {
    /// Classifier that was fitted on all training rows.
    pub classifier: NgramClassifier,
    /// Out-of-fold log-probabilities: each training row is predicted by a classifier that was fitted on the other
    /// folds. They are unbiased inputs for other models that are fitted on the same rows.
    pub out_of_fold: LogProbabilities,
    /// Selected inverse penalty C of the regression on n-grams, which has the smallest out-of-fold loss.
    pub c: f64,
    /// Each inverse penalty C that was tried, ascending, with its mean out-of-fold loss in nats. The loss is that of
    /// the regression on n-grams, without embeddings.
    pub losses: Vec<(f64, f64)>,
    /// FLOPs of the fit: the regressions of all folds, the final regression, and the out-of-fold predictions. Each
    /// value and gradient that L-BFGS requests is counted, and a multiply-add counts as two FLOPs.
    pub flops: u64,
}

impl NgramClassifier {
    /// Fits the classifier on training texts, each of which has one class or several labels.
    ///
    /// The selected inverse penalty C minimises the mean loss in a cross-validation with random folds, stratified by
    /// class. Vocabulary and idf weights are recomputed for each fold. With fewer rows than folds, each row is a fold.
    /// The search over the candidates for C starts at the middle one and continues in the direction in which the loss
    /// falls. With an encoder, the classifier also [reads](Self#embeddings) the encoder's input embeddings.
    ///
    /// # Errors
    /// * As [`NgramSettings::check`].
    /// * [`Error::Argument`] if there are fewer than two rows, or if the encoder's embeddings are not finite.
    /// * [`Error::Transformer`] if there are fewer than two classes, if a label is not a class, or if a multi-label row
    ///   does not have a target from 0 to 1 for each label.
    /// * [`Error::Shape`] if the full model has another number of classes.
    pub fn fit<R: Rng + ?Sized>(
        training: &EncodedDataset,
        settings: &NgramSettings,
        full_model: FullModel,
        encoder: Option<&Encoder>,
        rng: &mut R,
    ) -> Result<NgramFit> {
        Self::fit_within(training, settings, None, full_model, encoder, MEMORY, rng)
    }

    /// Fits the classifier as [`fit`](Self::fit) does, with a memory limit and with weights of the classes. Mean
    /// embeddings of the texts that need more than `most_bytes` bytes are stored in a temporary file. The class weights
    /// apply to all fits and to the losses by which the inverse penalty C is selected.
    pub(crate) fn fit_within<R: Rng + ?Sized>(
        training: &EncodedDataset,
        settings: &NgramSettings,
        class_weights: Option<&[f32]>,
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
            cross_validate(&labels, class_weights, outputs, &fold_of, &settings.c, |rows, held_out| {
                let columns = corpus.columns(rows, settings.min_rows);
                Ok((matrix(rows, &columns), matrix(held_out, &columns)))
            })?;
        let rows: Vec<usize> = (0..training.len()).collect();
        let columns = corpus.columns(&rows, settings.min_rows);
        let row_weights = row_weights(&labels, class_weights);
        let settings_of_fit = FitSettings { c, tolerance: FINAL_TOLERANCE, row_weights: row_weights.as_deref() };
        let (scores, minimum) = ClassScores::fit(&matrix(&rows, &columns), &labels, outputs, settings_of_fit, None)?;
        let vocabulary = corpus.vocabulary(columns);
        let mut flops = of_folds + minimum.map_or(0, |minimum| minimum.flops);
        let (embedding, out_of_fold) = match &table {
            None => (None, out_of_fold),
            Some(table) => {
                let texts = (texts.as_slice(), &settings.left_out);
                let (head, stacked, of_head) =
                    EmbeddingHead::fit(table, texts, (&labels, class_weights), &fold_of, &out_of_fold, most_bytes)?;
                flops += of_head;
                (Some(head), stacked)
            }
        };
        let classifier = Self { settings: settings.clone(), full_model, vocabulary, scores, embedding };
        Ok(NgramFit { classifier, out_of_fold, c, losses, flops })
    }

    /// Adds the input embeddings of an encoder to a classifier that was [loaded](Self::load) without them. The encoder
    /// must be the one with which the classifier was fitted. A classifier that was fitted without an encoder does not
    /// change.
    ///
    /// # Errors
    /// * [`Error::State`] if the encoder has other embeddings.
    /// * [`Error::Argument`] if the embeddings are not finite.
    pub fn with_encoder(self, encoder: &Encoder) -> Result<Self> {
        let embedding = self.embedding.map(|head| head.with_encoder(encoder)).transpose()?;
        Ok(Self { embedding, ..self })
    }

    /// Computes the class or label log-probabilities of every text in a batch.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the classifier was loaded without the encoder that it [needs](Self::with_encoder).
    /// * As [`LogProbabilities::new`].
    pub fn log_probabilities(&self, batch: &PackedBatch) -> Result<LogProbabilities> {
        Ok(self.answers(batch)?.0)
    }

    /// Computes the class or label log-probabilities of every row of a data set.
    ///
    /// # Errors
    /// As [`log_probabilities`](Self::log_probabilities).
    pub fn log_probabilities_of_all(&self, data: &EncodedDataset) -> Result<LogProbabilities> {
        let texts: Vec<Tokens<'_>> = tokens_of(data).collect();
        Ok(self.read(&texts)?.0)
    }

    /// FLOPs of predicting each row of a data set.
    pub fn flops_of_all(&self, data: &EncodedDataset) -> Vec<u64> {
        let texts: Vec<Tokens<'_>> = tokens_of(data).collect();
        let of = |text: &Tokens<'_>| self.flops(&self.vocabulary.features(*text, &self.settings.left_out), *text);
        texts.par_iter().with_min_len(16).map(of).collect()
    }

    /// FLOPs of predicting one text. `features` are its n-gram features.
    fn flops(&self, features: &[(u32, f32)], text: Tokens<'_>) -> u64 {
        let of_head = |head: &EmbeddingHead| head.flops(text.whole(&self.settings.left_out));
        2 * (features.len() * self.classes()) as u64 + self.embedding.as_ref().map_or(0, of_head)
    }

    /// Predicts every text in a batch. Returns the log-probabilities, and the FLOPs for each text. A multiply-add
    /// counts as two FLOPs.
    ///
    /// # Errors
    /// As [`log_probabilities`](Self::log_probabilities).
    pub fn answers(&self, batch: &PackedBatch) -> Result<(LogProbabilities, Vec<u64>)> {
        let text = |sample: usize| {
            let range = batch.spans.range(sample);
            let (ids, type_ids) = (&batch.ids[range.clone()], &batch.type_ids[range]);
            Tokens { ids, type_ids, rest: batch.rest.get(sample) }
        };
        self.read(&(0..batch.len()).map(text).collect::<Vec<_>>())
    }

    /// Predicts texts by their n-grams and, if the classifier has a regression on embeddings, by their mean embeddings.
    /// Also returns the FLOPs of each text.
    fn read(&self, texts: &[Tokens<'_>]) -> Result<(LogProbabilities, Vec<u64>)> {
        match &self.embedding {
            None => self.read_with(texts, |logs, _| logs),
            Some(head) => head.table()?.with_values(|values| {
                self.read_with(texts, |logs, text| head.stack(&logs, values, text.whole(&self.settings.left_out)))
            })?,
        }
    }

    /// Predicts texts by their n-grams, and returns the FLOPs of each text. `add` converts the n-gram log-probabilities
    /// of a text to the final log-probabilities.
    fn read_with(
        &self,
        texts: &[Tokens<'_>],
        add: impl Fn(Vec<f64>, &Tokens<'_>) -> Vec<f64> + Sync,
    ) -> Result<(LogProbabilities, Vec<u64>)> {
        let read = |text: &Tokens<'_>| {
            let features = self.vocabulary.features(*text, &self.settings.left_out);
            (add(self.scores.log_probabilities(&features), text), self.flops(&features, *text))
        };
        // Answering a few texts takes less time than waking a thread.
        let (rows, flops): (Vec<Vec<f64>>, Vec<u64>) = match texts.len() {
            0..=READ_TOGETHER => texts.iter().map(read).unzip(),
            _ => texts.par_iter().with_min_len(READ_TOGETHER).map(read).unzip(),
        };
        Ok((LogProbabilities::of(self.outputs(), rows.concat())?, flops))
    }

    /// Type and number of the outputs: classes, of which a text has one, or independent labels.
    pub fn outputs(&self) -> Outputs {
        self.scores.outputs()
    }

    /// Number of classes or labels.
    pub fn classes(&self) -> usize {
        self.outputs().count()
    }

    /// Number of n-grams in the vocabulary.
    pub fn ngrams(&self) -> usize {
        self.vocabulary.len()
    }

    /// Settings with which the classifier was fitted.
    pub fn settings(&self) -> &NgramSettings {
        &self.settings
    }

    /// Sizes of the full model, to which the classifier's cost is compared.
    pub fn full_model(&self) -> &FullModel {
        &self.full_model
    }

    /// Writes the classifier to a JSON file, atomically.
    ///
    /// # Errors
    /// [`Error::Transformer`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let json = self.to_json()?;
        Ok(write_atomically(path, |file| file.write_all(&json))?)
    }

    /// Serialises the classifier as the JSON that [`save`](Self::save) writes.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|source| Error::Json { what: "n-gram classifier".into(), source })
    }

    /// Reads a classifier from a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// * [`Error::Transformer`] if the file cannot be read.
    /// * [`Error::Json`] if the file is not the JSON of an n-gram classifier.
    /// * [`Error::Argument`] if a setting or a size of the full model is out of range.
    /// * [`Error::Shape`] or [`Error::State`] if the contents are inconsistent.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read_file(path, FileKind::Weights)
            .map_err(|source| dht_transformer::Error::Io { path: path.to_path_buf(), source })?;
        let classifier: Self = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { what: path.display().to_string(), source })?;
        classifier.settings.check()?;
        check_full_model(&classifier.full_model, classifier.classes())?;
        if !classifier.vocabulary.is_sound() {
            return Err(Error::state("vocabulary", "each n-gram once, with a finite weight", "inconsistent"));
        }
        classifier.scores.check(classifier.vocabulary.len())?;
        classifier.embedding.as_ref().map_or(Ok(()), |head| head.check(classifier.outputs()))?;
        Ok(classifier)
    }
}

/// Minimum number of texts in one parallel task.
const READ_TOGETHER: usize = 16;
/// Gradient norm at which the final fit, on all training texts, stops. The result is about as close to the minimum as
/// scikit-learn's with its default tolerance.
const FINAL_TOLERANCE: f64 = 5e-3;

/// Checks the sizes of the full model, and that its number of outputs is `classes`.
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
