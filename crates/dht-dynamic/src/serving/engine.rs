//! Engine: predicts texts with a trained model, from any number of threads.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use dht_transformer::Example;
use dht_transformer::train::metrics::LabelThresholds;
use dht_transformer::{Encoding, ForwardContext, PackedBatch, Precision, Sample, Task, TextTokenizer};
use rayon::prelude::*;

use super::answer::Answer;
use super::served::ServedModel;
use super::text_model::TextModel;
use crate::error::{Error, Result};
use crate::evaluation::SpeedPoint;
use crate::number_levels::NumberLevels;
use crate::passage::{FrontOutcome, Passage};
use crate::prediction::{BatchPredictions, Prediction, Predictor, in_pool};
use crate::route::ModelShape;

/// Default batch size in texts. [`Engine::with_batch_size`] changes it.
const BATCH_SIZE: usize = 64;

/// Input of an [`Engine`]: a text, or a pair of texts. Spaces around a text and the style of its line ends are ignored
/// ([`Example::clean_text`]).
///
/// # Examples
/// ```
/// use dht_dynamic::Query;
///
/// let single = Query::from("The food was fine.");
/// assert_eq!(single, Query { text: "The food was fine.", pair: None });
/// let pair = Query::from(("Was it good?", "The food was fine."));
/// assert_eq!(pair.pair, Some("The food was fine."));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// Single text, or the first text of a pair.
    pub text: &'a str,
    /// Second text of a pair; `None` for a single text.
    pub pair: Option<&'a str>,
}

impl<'a> From<&'a str> for Query<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, pair: None }
    }
}

impl<'a> From<(&'a str, &'a str)> for Query<'a> {
    fn from((text, pair): (&'a str, &'a str)) -> Self {
        Self { text, pair: Some(pair) }
    }
}

/// Converts a reference to a string slice, so that lists of borrowed texts can be predicted.
impl<'a> From<&'a &str> for Query<'a> {
    fn from(text: &'a &str) -> Self {
        Self { text, pair: None }
    }
}

impl<'a> From<&'a String> for Query<'a> {
    fn from(text: &'a String) -> Self {
        Self { text, pair: None }
    }
}

impl<'a> From<&'a (&str, &str)> for Query<'a> {
    fn from((text, pair): &'a (&str, &str)) -> Self {
        Self { text, pair: Some(pair) }
    }
}

impl<'a> From<&'a (String, String)> for Query<'a> {
    fn from((text, pair): &'a (String, String)) -> Self {
        Self { text, pair: Some(pair) }
    }
}

impl<'a> From<&'a Query<'_>> for Query<'a> {
    fn from(query: &'a Query<'_>) -> Self {
        *query
    }
}

/// Thread-safe predictor: answers texts with a classifier or a model with early exits. An engine is `Send` and `Sync`,
/// and a clone is another handle on the same weights. An engine holds the weights twice: as stored, and packed for
/// matrix products.
///
/// Each call packs its texts into batches of similar lengths, without padding. Within a batch, texts with the same
/// route run together. Calls do not share batches, so the answers of a call do not depend on other threads.
///
/// Some routers decide for a whole batch, such as the bandits of the crate `dht-search`. With such a router, an answer
/// may depend on the other texts of its call, unless the engine is made [independent](Self::independent).
///
/// Use an engine in programs that predict repeatedly. To score a labelled data set, use
/// [`evaluate`](crate::evaluation::evaluate).
///
/// # Examples
/// ```no_run
/// use dht_dynamic::Engine;
///
/// # fn main() -> dht_dynamic::Result<()> {
/// let engine = Engine::load("models/reviews")?;
/// // The most expensive measured speed within half of the full model's FLOPs, or the saved
/// // speed if there is none.
/// let engine = match engine.curve().iter().find(|point| point.flops_ratio <= 0.5) {
///     Some(point) => engine.with_speed(point.speed)?,
///     None => engine,
/// };
/// for answer in engine.predict(&["The food was fine.", "Never again!"])? {
///     println!("{} on {}", answer.label, answer.route);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    model: Arc<ServedModel>,
    /// Forward context with cached packed weights. All calls and all speeds share it.
    pub(super) ctx: ForwardContext,
    tokenizer: Arc<TextTokenizer>,
    labels: Arc<[Arc<str>]>,
    thresholds: LabelThresholds,
    /// Ordinal levels, for a model that predicts a number by binary decisions. `None` for other models.
    levels: Option<NumberLevels>,
    /// Minimum predicted probability. The engine abstains if no class reaches it.
    least_probability: f32,
    curve: Arc<[SpeedPoint]>,
    /// True if the model was trained on pairs of texts, false if on single texts; `None` if unknown.
    of_pairs: Option<bool>,
    max_length: usize,
    pub(super) batch_size: usize,
}

impl Engine {
    /// Builds an engine from a trained model. `labels` are the names of its classes, by index. Texts are truncated at
    /// the tokenizer's [maximal length](TextTokenizer::model_max_length), or at the model's number of positions if that
    /// is smaller or the tokenizer has no maximal length. To set the length and the other reading settings, or to have
    /// a [`curve`](Self::curve), build the engine [from a `TextModel`](Self::from_model).
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of labels differs from the number of classes, [`Error::Transformer`] if the
    /// tokenizer has more tokens than the model.
    pub fn new(model: impl Into<ServedModel>, tokenizer: TextTokenizer, labels: &[String]) -> Result<Self> {
        Ok(Self::from_model(TextModel::with_default_length(model, tokenizer, labels)?))
    }

    /// Builds an engine from a model that was saved with its tokenizer and its settings for reading texts.
    pub fn from_model(model: TextModel) -> Self {
        Self {
            model: Arc::new(model.model),
            ctx: ForwardContext::inference(),
            tokenizer: Arc::new(model.tokenizer),
            least_probability: 0.0,
            levels: model.levels,
            thresholds: model.thresholds.unwrap_or_else(|| LabelThresholds::even(model.labels.len())),
            labels: model.labels.iter().map(|label| Arc::from(label.as_str())).collect(),
            curve: model.curve.into(),
            of_pairs: model.origin.map(|origin| origin.pair),
            max_length: model.max_length,
            batch_size: BATCH_SIZE,
        }
    }

    /// Loads an engine from a directory that [`TextModel::save`] wrote, or from a Hugging Face directory of a
    /// classifier, on the CPU. For another device, load the [model](TextModel::load) and use
    /// [`from_model`](Self::from_model).
    ///
    /// # Errors
    /// As [`TextModel::load`].
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::from_model(TextModel::load(folder, &Device::Cpu)?))
    }

    /// Returns an engine at another speed (exit threshold). At a higher speed, texts exit earlier and cost less; see
    /// [`ServedModel::with_speed`]. The weights are shared, and `self` keeps its speed.
    ///
    /// Take the speed from the [`curve`](Self::curve). By default, the router of an accelerated model compares the
    /// uncertainty 1 − max p with the speed: at a speed of 1, every text stops at the first exit.
    ///
    /// # Errors
    /// As [`ServedModel::with_speed`].
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        Ok(Self { model: Arc::new(self.model.with_speed(speed)?), ..self.clone() })
    }

    /// Sets the maximal number of tokens of a text, special tokens included; see [`new`](Self::new) for the default.
    ///
    /// # Errors
    /// [`Error::Argument`] if the length is beyond the model's positions. [`Error::Transformer`] if the length is too
    /// small for a text.
    pub fn with_max_length(self, tokens: usize) -> Result<Self> {
        let most = self.model.config().longest_text();
        if tokens > most {
            return Err(Error::argument("max_length", format!("at most the model's {most} positions"), tokens));
        }
        self.tokenizer.encode("", None, tokens)?;
        Ok(Self { max_length: tokens, ..self })
    }

    /// Sets the batch size; 64 by default. Larger batches are faster and need more memory.
    ///
    /// # Errors
    /// [`Error::Argument`] if the batch size is 0.
    pub fn with_batch_size(self, texts: usize) -> Result<Self> {
        if texts == 0 {
            return Err(Error::argument("batch_size", "at least 1", texts));
        }
        Ok(Self { batch_size: texts, ..self })
    }

    /// Sets the minimum probability of an answer, below which the engine abstains. [`Answer::abstains`] is then true if
    /// the most probable class has a lower probability.
    ///
    /// # Errors
    /// [`Error::Argument`] if `least` is not between 0 and 1, or if the model does not predict one class for each text.
    pub fn with_least_probability(self, least: f32) -> Result<Self> {
        if self.task() != Task::Class {
            let expected = "none: only a model of one class for each text abstains";
            return Err(Error::argument("least_probability", expected, least));
        }
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::argument("least_probability", "a number from 0 to 1", least));
        }
        Ok(Self { least_probability: least, ..self })
    }

    /// Sets the number format in which layers are computed; the model's precision by default. The device must support
    /// this precision. The stored weights and the speeds do not change; [`InPrecision`](crate::evaluation::InPrecision)
    /// measures the effect on predictions.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { ctx: ForwardContext::inference_in(precision), ..self }
    }

    /// Frees the unpacked weights of the layers on a CPU, and returns the number of freed bytes.
    ///
    /// The products of layers read weights in a packed layout, of which an engine keeps a copy for all calls. This
    /// method packs the weights by running a text through all layers, and frees the unpacked weights. Answers do not
    /// change. Engines that share weights with this one, such as those of [`with_speed`](Self::with_speed), profit as
    /// well. Nothing is freed on other devices, and for models that select heads for each text.
    ///
    /// Afterwards, the [model](Self::model) cannot be saved, and engines in another precision that share its weights
    /// fail.
    ///
    /// # Errors
    /// Errors of the forward pass.
    ///
    /// # Examples
    /// ```no_run
    /// use dht_dynamic::Engine;
    ///
    /// let engine = Engine::load("models/reviews")?;
    /// let before = engine.weight_bytes();
    /// let freed = engine.free_unpacked_weights()?;
    /// println!("{before} bytes before the first answer, {} now", engine.weight_bytes());
    /// # assert!(freed > 0);
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn free_unpacked_weights(&self) -> Result<usize> {
        let full = match &*self.model {
            ServedModel::Classifier(_) => self.clone(),
            ServedModel::Dynamic(model) if model.router().rule().is_some() => {
                Self { model: Arc::new(self.model.with_speed(0.0)?), ..self.clone() }
            }
            ServedModel::Dynamic(_) => return Ok(0),
        };
        let pair = self.of_pairs.unwrap_or(false).then_some("a");
        full.predict(&[Query { text: "a", pair }])?;
        Ok(self.ctx.release_packed_values()?)
    }

    /// Memory of the model's weights in bytes, with their packed copies. The n-gram classifier and the tokenizer are
    /// not included.
    pub fn weight_bytes(&self) -> usize {
        let encoder = match &*self.model {
            ServedModel::Classifier(model) => model.encoder(),
            ServedModel::Dynamic(model) => model.encoder(),
        };
        encoder.parameters().bytes() + self.ctx.packed_bytes()
    }

    /// Sets the maximal number of bytes of a text; 4 MiB or the tokenizer's own limit by default. See
    /// [`TextTokenizer::with_max_bytes`].
    #[must_use]
    pub fn with_max_bytes(self, bytes: usize) -> Self {
        Self { tokenizer: Arc::new(TextTokenizer::clone(&self.tokenizer).with_max_bytes(bytes)), ..self }
    }

    /// Model that predicts the texts.
    pub fn model(&self) -> &ServedModel {
        &self.model
    }

    /// Task of the predictions: one class, several labels or a number for each text. See [`TextModel::task`].
    pub fn task(&self) -> Task {
        if self.levels.is_some() { Task::Number } else { self.model.task() }
    }

    /// Tokenizer of the texts.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Names of the classes, by index.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// Cost and accuracy at each measured speed, ascending in speed, from [`TextModel::curve`]. Empty for a model
    /// without a curve, and for an engine from [`new`](Self::new).
    pub fn curve(&self) -> &[SpeedPoint] {
        &self.curve
    }

    /// Predicts texts, and returns the answers in the same order. The argument is a slice of strings, pairs or
    /// [queries](Query), such as `&["a text"]` or a `&Vec<String>`. For an empty text, the model reads only the
    /// tokenizer's special tokens.
    ///
    /// # Errors
    /// * [`Error::Argument`] for a pair, if the model is [known](TextModel::origin) to be trained on single texts. Its
    ///   n-gram classifier would not read the second text.
    /// * [`Error::Argument`] for a single text, if the model is known to be trained on pairs.
    /// * [`Error::Transformer`] if the tokenizer produces no token for a text, if no token of a pair fits into the
    ///   [maximal length](Self::with_max_length), or if a text has [too many bytes](Self::with_max_bytes).
    /// * Errors of the encoder.
    pub fn predict<'a, Q: Sync>(&self, queries: &'a [Q]) -> Result<Vec<Answer>>
    where
        &'a Q: Into<Query<'a>>,
    {
        let compute = || {
            let samples = self.samples(queries, 0)?;
            let predictions = self.model.predict_all(&samples, self.batch_size, &self.ctx)?.predictions;
            let answers = predictions.into_iter().zip(&samples);
            Ok(answers.map(|(prediction, sample)| self.answer(prediction, sample)).collect())
        };
        // A single text can leave at the n-gram exit before the threads of the pool are awake.
        if queries.len() == 1 && self.model.reads_rest() { compute() } else { in_pool(compute) }
    }

    /// Answers a text at every exit, from the first to the last, as if the text stopped there. The text runs through all
    /// layers once. [`Answer::flops`] covers the layers and exits up to the answer's exit. There are no answers for a
    /// classifier without early exits, and for a model that selects attention heads.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    ///
    /// # Examples
    /// ```
    /// use candle_core::Device;
    /// use dht_dynamic::router::LeavingRule;
    /// use dht_dynamic::transformer::{BertConfig, Encoder, TextTokenizer};
    /// use dht_dynamic::{DynamicModel, Engine, ExitModel, ExitSettings};
    /// use rand::SeedableRng;
    ///
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "bad", "food"].map(String::from))?;
    /// let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
    /// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    /// let exits = ExitModel::new(encoder, ExitSettings::linear(vec![2, 4]), 2, &mut rng)?;
    /// let model = DynamicModel::new(exits, LeavingRule::Confidence)?;
    /// let engine = Engine::new(model, tokenizer, &["bad".into(), "good".into()])?;
    ///
    /// let answers = engine.predict_at_exits("fine food".into())?;
    /// let depths: Vec<usize> = answers.iter().map(|answer| answer.route.depth()).collect();
    /// assert_eq!(depths, [2, 4]);
    /// assert!(answers[0].cost() < answers[1].cost());
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn predict_at_exits(&self, query: Query<'_>) -> Result<Vec<Answer>> {
        let ServedModel::Dynamic(model) = &*self.model else { return Ok(Vec::new()) };
        let sample = self.encode(query, 0)?;
        let predictions = model.predict_at_exits(&self.ctx, &sample)?;
        Ok(predictions.into_iter().map(|prediction| self.answer(prediction, &sample)).collect())
    }

    fn answer(&self, mut prediction: Prediction, sample: &Sample) -> Answer {
        if let Some(levels) = &self.levels {
            prediction.probabilities = vec![levels.number(&prediction.probabilities)];
            prediction.label = 0;
        }
        let full_flops = self.full_flops(sample.encoding.ids.len());
        let mut answer = Answer::new(prediction, sample, (self.task(), &self.labels, &self.thresholds), full_flops);
        answer.abstains = answer.task == Task::Class && answer.probabilities[answer.class] < self.least_probability;
        answer
    }

    /// Encodes queries as samples. Their ids are consecutive, from `first` on.
    pub(super) fn samples<'a, Q: Sync>(&self, queries: &'a [Q], first: u64) -> Result<Vec<Sample>>
    where
        &'a Q: Into<Query<'a>>,
    {
        let encodings: Vec<Encoding> = match queries {
            [query] => vec![self.encoding(query.into())?],
            _ => queries.par_iter().map(|query| self.encoding(query.into())).collect::<Result<_>>()?,
        };
        let sample = |(id, encoding)| Sample { id, label: 0, targets: Vec::new(), encoding };
        Ok((first..).zip(encodings).map(sample).collect())
    }

    /// Returns whether the model is known to be trained on pairs of texts.
    pub fn of_pairs(&self) -> bool {
        self.of_pairs == Some(true)
    }

    fn encoding(&self, query: Query<'_>) -> Result<Encoding> {
        match (self.of_pairs, query.pair) {
            (Some(false), Some(_)) => {
                let expected = "none: the model was trained on single texts, not on pairs";
                return Err(Error::argument("pair", expected, "a second text"));
            }
            (Some(true), None) => {
                return Err(Error::argument("pair", "a second text: the model was trained on pairs", "none"));
            }
            _ => {}
        }
        let pair = query.pair.map(Example::clean_text);
        Ok(self.tokenizer.encode(&Example::clean_text(query.text), pair.as_deref(), self.max_length)?)
    }

    /// Returns an engine whose answer to a text does not depend on the other texts of a batch.
    #[must_use]
    pub fn independent(self) -> Self {
        let model = Arc::new(ServedModel::clone(&self.model).independent());
        Self { model, ..self }
    }

    /// Maximal number of tokens of a text; see [`with_max_length`](Self::with_max_length).
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Speed (exit threshold) of the model; `None` for a model that always runs all layers.
    pub fn speed(&self) -> Option<f64> {
        self.model.speed()
    }

    /// Number of layers and attention heads of the model.
    pub fn model_shape(&self) -> ModelShape {
        self.model.shape()
    }

    /// FLOPs of the full model for a text with `tokens` tokens.
    pub fn full_flops(&self, tokens: usize) -> u64 {
        self.model.full_flops(tokens)
    }

    /// Encodes a text on the current thread. Routers and error messages identify the text by `id`.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn encode(&self, query: Query<'_>, id: u64) -> Result<Sample> {
        Ok(Sample { id, label: 0, targets: Vec::new(), encoding: self.encoding(query)? })
    }

    /// Returns an engine for warm-up texts, which a custom router must not see. A router with a
    /// [rule](crate::Router::rule) is kept. Any other router is replaced by one that can run all layers.
    pub(super) fn for_own_texts(&self) -> Result<Self> {
        match &*self.model {
            ServedModel::Dynamic(model) if model.router().rule().is_none() => {
                Ok(Self { model: Arc::new(model.with_all_layers()?.into()), ..self.clone() })
            }
            _ => Ok(self.clone()),
        }
    }

    /// Runs an [encoded](Self::encode) text through the n-gram classifier, if the model has one, on the current thread.
    /// Returns the answer, or the state with which the text continues.
    pub(super) fn begin(&self, sample: &Sample) -> Result<FrontOutcome<Answer>> {
        let ServedModel::Dynamic(model) = &*self.model else {
            return Ok(FrontOutcome::Continues(Passage::default()));
        };
        Ok(match model.begin(&self.ctx, sample)? {
            FrontOutcome::Answered(prediction) => FrontOutcome::Answered(self.answer(prediction, sample)),
            FrontOutcome::Continues(passage) => FrontOutcome::Continues(passage),
        })
    }

    /// Predicts one batch of texts that the n-gram classifier has not answered. `passages` has the texts' states, from
    /// [`begin`](Self::begin).
    pub(super) fn resume(&self, samples: &[&Sample], passages: Vec<Passage>) -> Result<Vec<Answer>> {
        let batch = PackedBatch::from_samples(samples.iter().copied())?;
        let BatchPredictions { predictions, .. } = match &*self.model {
            ServedModel::Dynamic(model) => model.resume(&self.ctx, &batch, passages)?,
            model => in_pool(|| model.predict(&batch, &self.ctx))?,
        };
        Ok(predictions.into_iter().zip(samples).map(|(prediction, sample)| self.answer(prediction, sample)).collect())
    }
}
