//! Early exits for fine-tuned BERT-family classifiers: each text stops at the first exit whose prediction is confident.
//!
//! # Path of a text through the model
//!
//! ```text
//!             ┌─ n-gram classifier ──────────┬──────────────┬─────────── … ──┐
//!   text ─────┤        │ sure?               ▼              ▼                ▼
//!             └────────┴─ layer 1 ─▶ exit ─(+)─ sure? ─▶ exit ─(+)─ … ─▶ classifier ─(+)─▶ class
//! ```
//!
//! An [`ExitModel`] is an encoder with early exits. A [`DynamicModel`] adds a [`Router`], which decides at each exit
//! which texts stop there, and optionally an n-gram classifier before the first layer.
//! [`accelerate`](fn@accelerate::accelerate) builds a dynamic model from a fine-tuned
//! [`TextClassifier`](transformer::TextClassifier), whose weights do not change. This crate contains no bandits;
//! routers that learn are in `dht-search`.
//!
//! # A complete program
//!
//! ```
//! use candle_core::Device;
//! use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
//! use dht_dynamic::transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Example, Pooling, TextClassifier,
//!     TextTokenizer, TrainSettings, Trainer,
//! };
//! use dht_dynamic::{Error, evaluate};
//! use rand::SeedableRng;
//!
//! let things = [
//!     "day", "meal", "film", "book", "song", "town", "hotel", "coat", "game", "park",
//!     "chair", "train", "cake", "shop", "lamp", "road", "wine", "boat", "play", "view",
//! ];
//! let words = [("fine", 1), ("lovely", 1), ("bad", 0), ("awful", 0)];
//! let review = |thing, (word, label)| Example::new(format!("The {thing} was {word}"), label);
//! let examples = things.iter().flat_map(|thing| words.map(|word| review(thing, word)));
//! let labels = vec!["bad".into(), "good".into()];
//! let data = Dataset::from_examples("reviews", labels, examples.collect())?;
//! // Weights, exits and n-grams are fitted on training texts, speeds are selected on
//! // held-out texts, and the result is scored on test texts.
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let (data, test) = data.split_validation(0.2, &mut rng)?;
//! let (training, held_out) = data.split_validation(0.25, &mut rng)?;
//! let texts = training.examples.iter().map(|example| &*example.text);
//! let tokenizer = TextTokenizer::train(texts, 100)?;
//! let encode = |data: &Dataset| tokenizer.encode_all(data, 16);
//! let (training, held_out, test) = (encode(&training)?, encode(&held_out)?, encode(&test)?);
//!
//! // A fine-tuned classifier from any training run.
//! let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
//! let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
//! let mut classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
//! let optimizer = AdamWSettings { learning_rate: 5e-3, ..AdamWSettings::default() };
//! let defaults = TrainSettings::default();
//! let settings = TrainSettings { epochs: 15, batch_size: 4, optimizer, ..defaults };
//! Trainer::new(settings).fit(&mut classifier, &training, &held_out, &mut ())?;
//!
//! let texts = Texts::new(&training).with_held_out(&held_out);
//! let accelerated = accelerate(&classifier, texts, &AccelerateSettings::default(), &mut rng)?;
//! // The most expensive measured speed within half of the full model's FLOPs.
//! if let Some(point) = accelerated.report.within(0.5) {
//!     let model = accelerated.model.with_speed(point.speed)?;
//!     let evaluation = evaluate(&model, &test, 8)?;
//!     assert!(evaluation.confusion.accuracy() > 0.9);
//!     assert!(evaluation.flops < model.full_inference_flops(&test));
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! # Catalogue
//!
//! | to | take |
//! |---|---|
//! | make a fine-tuned classifier cheaper without changing its weights | [`accelerate()`](fn@accelerate::accelerate) |
//! | trade accuracy for cost at run time | [`DynamicModel::with_speed`], [`SpeedCurve`], [`evaluation::calibrate`] for a budget of FLOPs |
//! | bound the loss of accuracy at a speed | [`DynamicModel::with_promise`], [`Promise::control`](evaluation::Promise::control) |
//! | answer only texts whose answers keep a required accuracy | [`evaluation::AbstentionThreshold`], [`Engine::with_least_probability`] |
//! | predict texts and score the predictions | [`DynamicModel::predict_batch`], [`evaluate`](fn@evaluate), [`Evaluation`]; [`Predictor`] for a custom model |
//! | read every exit's answers in one pass | [`ExitModel::exit_log_probabilities`], [`evaluation::Stages`] |
//! | compare wall-clock times | [`evaluation::time_in_turns`] |
//! | answer from many threads | [`Engine`], [`Query`], [`Answer`]; [`serving::Service`] for shared batches over a bounded queue |
//! | save a model | [`DynamicModel::save`] and [`load`](DynamicModel::load); [`serving::TextModel`] includes everything that serving needs |
//! | select another exit criterion | [`AccelerateSettings::rule`](accelerate::AccelerateSettings::rule): confidence, entropy, patience |
//! | write a custom exit criterion | [`router::ExitRule`] with its input [`router::ExitView`], [`DynamicModel::with_router`], [`OwnParts`] to load it; a [`Router`] also selects heads |
//! | run a batch through layers, exits and routers step by step | [`passage::Walk`], the loop over layers |
//! | write down the layers and heads that a text ran | [`route::RouteSpec`] |
//! | write a custom exit | [`LayerExit`], [`ExitModel::with_exits`], [`OwnParts`] to load it |
//! | fine-tune an encoder only while accuracy improves enough, as `dht train` does | [`ladder::climb`], [`ladder::NextStep`] for a custom stopping rule |
//! | estimate whether more labelled rows would help | [`ladder::learning_curve`] |
//! | train exits on a frozen encoder | [`training::FrozenExits`] |
//! | put an n-gram model before an encoder | [`exit::FrontExit`], [`exit::NgramClassifier`], [`exit::Stacker`] |
//! | use the encoder alone | [`transformer`] |
//!
//! # I have, I want
//!
//! | I have | I want | take |
//! |---|---|---|
//! | a fine-tuned classifier and its training texts | nearly the same answers at a lower cost | [`accelerate()`](fn@accelerate::accelerate) |
//! | an accelerated model | its accuracy and cost on my texts | [`evaluate`](fn@evaluate) |
//! | a budget of FLOPs | the speed for this budget | [`evaluation::calibrate`] |
//! | a limit of the loss of accuracy | a speed that keeps the limit, with a statistical guarantee | [`DynamicModel::with_promise`] |
//! | a model in memory | a saved directory that can be loaded | [`serving::TextModel`] |
//! | a directory of `dht train` | answers in a program | [`Engine::load`], [`Engine::predict`] |
//! | many threads with requests | shared batches | [`serving::Service`] |
//! | a custom criterion for stopping | a router with this criterion | [`router::ExitRule`], [`DynamicModel::with_router`] |
//! | a classifier of hidden states | an exit | [`LayerExit`], [`ExitModel::with_exits`] |
//! | a custom model | its scores and time, comparable with a dynamic model's | [`Predictor`] |
//!
//! # Adding the crate
//!
//! ```toml
//! [dependencies]
//! dht-dynamic = "0.1"
//! candle-core = "0.11.1"
//! rand = { version = "0.10", default-features = false }
//! rand_chacha = { version = "0.10", default-features = false }
//! serde_json = "1" # only for a custom router with a state
//!
//! [profile.dev.package."*"] # matrix products that are not optimised are hundreds of times slower
//! opt-level = 3
//! ```
//!
//! Use these versions of candle, rand and rand_chacha: their types are arguments of this crate's functions. Matrix
//! products run on all threads of rayon (`RAYON_NUM_THREADS`), and the number of threads does not change any result. A
//! program that trains on a CPU is faster with an allocator that reuses freed memory, such as mimalloc.
//!
//! # Classes, several labels, and numbers
//!
//! A multi-label classifier becomes dynamic in the same way as a classifier of classes ([`Outputs`]). Each label is a
//! decision between "no" and "yes" with its own probability. Stacking combines the log-odds of the n-gram classifier
//! and of an exit, with one weight each, which all labels share. The probability of a set of labels is the product over
//! the labels, so that a text stops when every label is confident. Accuracy-cost curves have micro F1 in place of
//! accuracy, and a [`Promise`](evaluation::Promise) bounds the loss of the mean F1 of a text's labels.
//!
//! The output of a regression model has no probability, so [`accelerate()`](fn@accelerate::accelerate) rejects such a
//! model. Full, truncated and pruned encoders support regression ([`transformer::Task`], [`transformer::pruning`]), and
//! an [`Engine`] serves them. A dynamic model predicts a number by labels, one for each cut between two
//! [levels](serving::NumberLevels): a label applies if the number is above the cut. If
//! [`AccelerateSettings::levels`](accelerate::AccelerateSettings::levels) has the levels, the default speed bounds the
//! loss of R² instead of F1. The loss of a text is the increase of its expected squared error, divided by the variance
//! Var(y) of the numbers of the held-out texts:
//!
//! ```text
//!  E[(Y − a)²] − E[(Y − b)²]     (a − μ)² − (b − μ)²
//!  ───────────────────────── = ─────────────────────
//!           Var(y)                    Var(y)
//! ```
//!
//! Here a is the number that the text gets where it stops, b the number after all layers, and μ the mean of the text's
//! number Y by the probabilities after all layers. For a number, b is μ. For a rating, a and b are medians.

#![doc(html_root_url = "https://docs.rs/dht-dynamic/latest")]

pub mod accelerate;
mod error;
pub mod evaluation;
pub mod exit;
mod exit_model;
mod fit;
mod full_model;
pub mod ladder;
mod log_probabilities;
mod logistic;
mod model;
mod number_levels;
mod outputs;
pub mod passage;
mod prediction;
pub mod route;
pub mod router;
mod saved_encoder;
pub mod serving;
pub mod training;

pub use error::{Error, Result};
pub use evaluation::{
    evaluation::{Evaluation, evaluate},
    speed::SpeedCurve,
};
pub use exit::exit::LayerExit;
pub use exit_model::{ExitModel, ExitSettings};
pub use full_model::FullModel;
pub use log_probabilities::LogProbabilities;
pub use model::{DynamicModel, OwnParts, SavedParts, SeenTexts};
pub use outputs::Outputs;
pub use prediction::{BatchPredictions, Prediction, Predictor};
pub use route::route::Route;
pub use router::router::Router;
pub use serving::{
    answer::Answer,
    engine::{Engine, Query},
};

pub use dht_transformer as transformer;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;

#[doc = include_str!("../docs/programs.md")]
#[cfg(doctest)]
struct Programs;
