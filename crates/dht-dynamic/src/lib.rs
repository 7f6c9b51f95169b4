//! Early exits for fine-tuned BERT-family classifiers: each text leaves at the first exit whose answer is confident.
//!
//! # How a text runs
//!
//! ```text
//!             ┌─ n-gram classifier ──────────┬──────────────┬─────────── … ──┐
//!   text ─────┤        │ sure?               ▼              ▼                ▼
//!             └────────┴─ layer 1 ─▶ exit ─(+)─ sure? ─▶ exit ─(+)─ … ─▶ classifier ─(+)─▶ class
//! ```
//!
//! An [`ExitModel`] is an encoder with exits. A [`DynamicModel`] adds a [`Router`], which decides at each exit which
//! texts stop there with its answer, and optionally an n-gram exit before the first layer.
//! [`accelerate`](fn@accelerate::accelerate) builds one from a fine-tuned
//! [`TextClassifier`](transformer::TextClassifier), whose weights do not change. This crate contains no bandits;
//! `dht-search` has routers that learn.
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
//! // A classifier from any training.
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
//! | trade quality for cost at run time | [`DynamicModel::with_speed`], [`SpeedCurve`], [`evaluation::calibrate`] for a budget of FLOPs |
//! | bound the accuracy that a speed may lose | [`DynamicModel::with_promise`], [`Promise::control`](evaluation::Promise::control) |
//! | give only answers that keep an accuracy | [`evaluation::AbstentionThreshold`], [`Engine::with_least_probability`] |
//! | predict and score | [`DynamicModel::predict_batch`], [`evaluate`](fn@evaluate), [`Evaluation`]; [`Predictor`] for a custom model |
//! | read every exit's answers in one pass | [`ExitModel::exit_log_probabilities`], [`evaluation::Stages`] |
//! | compare wall-clock times | [`evaluation::time_in_turns`] |
//! | answer from many threads | [`Engine`], [`Query`], [`Answer`]; [`serving::Service`] for common batches over a bounded queue |
//! | save a model | [`DynamicModel::save`] and [`load`](DynamicModel::load); with everything that serving needs, [`serving::TextModel`] |
//! | select another exit criterion | [`AccelerateSettings::rule`](accelerate::AccelerateSettings::rule): confidence, entropy, patience |
//! | write a custom exit criterion | [`router::ExitRule`], [`DynamicModel::with_router`], [`OwnParts`] to load it; [`router::ExitView`] for what it sees; a [`Router`] decides about heads, too |
//! | see how a batch goes through layers, exits and routers | [`passage::Walk`], the one loop over layers |
//! | name the layers and heads that a text ran | [`route::RouteSpec`] |
//! | write a custom exit | [`LayerExit`], [`ExitModel::with_exits`], [`OwnParts`] to load it |
//! | fine-tune an encoder only while it pays, as `dht train` does | [`ladder::climb`], [`ladder::NextStep`] for a custom stopping rule |
//! | see whether more labelled rows would help | [`ladder::learning_curve`] |
//! | train exits on a frozen encoder | [`training::FrozenExits`] |
//! | put an n-gram model before an encoder | [`exit::FrontExit`], [`exit::NgramClassifier`], [`exit::Stacker`] |
//! | use the encoder alone | [`transformer`] |
//!
//! # I have, I want
//!
//! | I have | I want | take |
//! |---|---|---|
//! | a fine-tuned classifier and its training texts | the same answers for less | [`accelerate()`](fn@accelerate::accelerate) |
//! | an accelerated model | its accuracy and cost on my texts | [`evaluate`](fn@evaluate) |
//! | a budget | the speed for it | [`evaluation::calibrate`] |
//! | a limit of the loss of accuracy | the speed that keeps it, with a proof | [`DynamicModel::with_promise`] |
//! | a model in memory | a directory, and it again | [`serving::TextModel`] |
//! | a directory of `dht train` | answers in a program | [`Engine::load`], [`Engine::predict`] |
//! | many threads that ask | common batches | [`serving::Service`] |
//! | an idea of when to stop | a rule | [`router::ExitRule`], [`DynamicModel::with_router`] |
//! | a classifier of hidden states | an exit | [`LayerExit`], [`ExitModel::with_exits`] |
//! | an own model | its score and time beside these | [`Predictor`] |
//!
//! # Adding it
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
//! Versions of candle, rand and rand_chacha must be the ones of this crate, since their types are in its functions.
//! Matrix products use as many threads as rayon has (`RAYON_NUM_THREADS`); their number changes no result. A program
//! that trains on a CPU gains from an allocator that keeps memory, such as mimalloc.
//!
//! # Classes, several labels, and numbers
//!
//! A classifier of several labels becomes dynamic like one of classes ([`Outputs`]). Each label is a decision between
//! "no" and "yes" with a probability of its own. Stacking adds log-odds, with the same two weights for all labels. The
//! probability of a set of labels is the product over the labels, so that a text leaves when every label is sure. Curves
//! have micro F1 in place of accuracy, and a promise bounds the mean F1 of a text's labels.
//!
//! A number has no probability: [`accelerate()`](fn@accelerate::accelerate) rejects a regression. Full, truncated and
//! pruned encoders handle numbers ([`transformer::Task`], [`transformer::pruning`]), and an [`Engine`] serves them.

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
