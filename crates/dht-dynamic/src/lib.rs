//! Early exits for fine-tuned BERT-family classifiers: a text leaves where the model is sure.
//!
//! # How a text runs
//!
//! ```text
//!             ┌─ n-gram classifier ──────────┬──────────────┬─────────── … ──┐
//!   text ─────┤        │ sure?               ▼              ▼                ▼
//!             └────────┴─ layer 1 ─▶ exit ─(+)─ sure? ─▶ exit ─(+)─ … ─▶ classifier ─(+)─▶ class
//! ```
//!
//! An [`ExitModel`] is an encoder with exits. A [`DynamicModel`] adds a [`Router`], which decides at each exit who leaves, and, if it
//! has one, an exit before the first layer. [`accelerate`](fn@accelerate) makes one of a fine-tuned [`TextClassifier`](transformer::TextClassifier), whose
//! weights stay as they are. Nothing here is a bandit; `dht-search` has routers that learn.
//!
//! # A complete program
//!
//! ```
//! use candle_core::Device;
//! use dht_dynamic::accelerate::{AccelerateSettings, Texts};
//! use dht_dynamic::transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer, TrainSettings, Trainer,
//! };
//! use dht_dynamic::{Error, accelerate, evaluate};
//! use rand::SeedableRng;
//!
//! let things = ["day", "meal", "film", "book", "song", "town", "hotel", "coat"];
//! let texts = things.iter().flat_map(|thing| {
//!     [("fine", 1), ("lovely", 1), ("bad", 0), ("awful", 0)].map(|(word, label)| (format!("The {thing} was {word}"), label))
//! });
//! let data = Dataset::from_examples(
//!     "reviews",
//!     vec!["bad".into(), "good".into()],
//!     texts.map(|(text, label)| Example::new(text, label)).collect(),
//! )?;
//! let tokenizer = TextTokenizer::train(data.examples.iter().map(|example| &*example.text), 100)?;
//! let encoded = tokenizer.encode_all(&data, 16)?;
//!
//! // A classifier as any training makes it.
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
//! let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
//! let mut classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
//! let optimizer = AdamWSettings { learning_rate: 5e-3, ..AdamWSettings::default() };
//! let training = TrainSettings { epochs: 15, batch_size: 4, optimizer, ..TrainSettings::default() };
//! Trainer::new(training).fit(&mut classifier, &encoded, &encoded, &mut ())?;
//!
//! let made = accelerate(&classifier, Texts::new(&encoded), &AccelerateSettings::default(), &mut rng)?;
//! let found = evaluate(&made.model, &encoded, 8)?;
//! // A program that reports a score has texts that neither classifier nor exits have seen.
//! assert!(found.confusion.accuracy() > 0.9);
//! assert!(found.flops < made.model.full_inference_flops(&encoded));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Catalogue
//!
//! | to | take |
//! |---|---|
//! | make a fine-tuned classifier cheaper without touching its weights | [`accelerate()`](fn@accelerate) |
//! | trade quality for cost at run time | [`DynamicModel::with_speed`], [`SpeedCurve`], [`evaluation::calibrate`] for a budget of FLOPs |
//! | promise how much accuracy a speed loses at most | [`evaluation::with_promise`], [`evaluation::control_risk`] |
//! | predict and score | [`DynamicModel::predict_batch`], [`evaluate`](fn@evaluate), [`Evaluation`]; [`Predictor`] for a model of your own |
//! | read every exit's answers in one pass | [`evaluation::exit_log_probabilities`], [`evaluation::Stages`] |
//! | compare by the clock | [`evaluation::time_in_turns`] |
//! | answer from many threads | [`Engine`], [`Query`], [`Answer`]; [`serving::Service`] for common batches over a bounded queue |
//! | save a model | [`DynamicModel::save`] and [`load`](DynamicModel::load); with all that serving needs, [`serving::TextModel`] |
//! | choose another rule for where texts leave | [`AccelerateSettings::rule`](accelerate::AccelerateSettings::rule): confidence, entropy, patience |
//! | decide in code of your own where texts leave | [`Router`], [`DynamicModel::with_router`] |
//! | train exits on a frozen encoder | [`training::FrozenExits`] |
//! | put a model of n-grams before an encoder | [`exit::FrontExit`], [`exit::NgramClassifier`], [`exit::Stacker`] |
//! | use the encoder alone | [`transformer`] |
//!
//! # Texts of one class each
//!
//! Every step from exit to answer is of a distribution over classes: stacking multiplies the probabilities of two models, a text goes
//! on while max p is low, and thresholds and promises count wrong classes. Of several
//! labels some may be sure at an exit where others are not, and a number has no probability at all; a rule for either would be
//! another method, with results of its own to show. Such texts are refused ([`Error::Setting`], `targets`). For them there are
//! whole, truncated and pruned encoders ([`transformer::Task`], [`transformer::pruning`]), which an [`Engine`] serves as well.

pub mod accelerate;
pub mod error;
pub mod evaluation;
pub mod exit;
mod full_model;
mod log_probabilities;
mod logistic;
mod model;
mod prediction;
pub mod route;
pub mod router;
pub mod saved_encoder;
pub mod serving;
pub mod training;

pub use accelerate::accelerate;
pub use error::{Error, Result};
pub use evaluation::{Evaluation, SpeedCurve, evaluate};
pub use exit::{Exit, LayerExit};
pub use full_model::FullModel;
pub use log_probabilities::LogProbabilities;
pub use model::{DynamicModel, ExitModel, ExitSettings, SeenTexts};
pub use prediction::{BatchPredictions, Prediction, Predictor, WithSpeed, in_pool};
pub use route::Route;
pub use router::Router;
pub use serving::{Answer, Engine, Query};

pub use dht_transformer as transformer;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;
