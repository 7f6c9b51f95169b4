//! BERT-family encoder on candle: training, inference and pruning. Models are read from and written to Hugging Face
//! directories.
//!
//! A forward pass can run any subset of layers and heads for each sample. Programs use this to search for smaller
//! networks, and to stop after some of the layers ("early exit").
//!
//! # Data flow
//!
//! ```text
//!  file ──DatasetReader──▶ Dataset of Examples                         text and class
//!       ──TextTokenizer──▶ EncodedDataset of Samples                   token ids
//!       ───epoch_order───▶ PackedBatch                                 tokens of all samples, no padding
//!       ─Encoder::embed──▶ Hidden (tokens, hidden)
//!       ─Encoder::layer──▶ Hidden, once for each layer                 a HeadPlan a layer, any samples, any width
//!       ───Classifier────▶ logits (samples, classes)
//!       ──cross_entropy──▶ loss
//!       ─ForwardContext::backward──▶ Gradients                         of the parameters that are not frozen
//!       ──────AdamW──────▶ Parameters after one step
//! ```
//!
//! [`Trainer`] runs this loop for any [`Objective`]. [`TextClassifier`] is the simplest objective.
//!
//! # A complete program
//!
//! ```
//! use candle_core::Device;
//! use dht_transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Error, Example, Pooling, TextClassifier,
//!     TextTokenizer, TrainSettings, Trainer, train::{Predict, metrics::Confusion},
//! };
//! use rand::SeedableRng;
//!
//! let examples = vec![
//!     Example::new("A fine day", 1), Example::new("Fine food", 1),
//!     Example::new("The food was fine", 1), Example::new("A bad day", 0),
//!     Example::new("Bad food", 0), Example::new("The food was bad", 0),
//! ];
//! let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
//!
//! let texts = data.examples.iter().map(|example| &*example.text);
//! let tokenizer = TextTokenizer::train(texts, 100)?;
//! let encoded = tokenizer.encode_all(&data, 16)?;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let config = BertConfig::small(1, 2, 16, tokenizer.vocabulary_size())?;
//! let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
//! let mut model = TextClassifier::new(encoder, data.labels.len(), Pooling::Mean, &mut rng)?;
//!
//! let optimizer = AdamWSettings { learning_rate: 1e-2, ..AdamWSettings::default() };
//! let defaults = TrainSettings::default();
//! let settings = TrainSettings { epochs: 30, batch_size: 3, optimizer, ..defaults };
//! // A program that reports a number has a validation set for the third argument,
//! // and a test set for the score.
//! Trainer::new(settings).fit(&mut model, &encoded, &encoded, &mut ())?;
//! let predictions = model.predictions(&encoded, 6)?;
//! assert_eq!(Confusion::from_predictions(&encoded, &predictions)?.macro_f1(), 1.0);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Catalogue
//!
//! The root re-exports the most common names; everything else is in its module.
//!
//! | module | content |
//! |---|---|
//! | [`data`] | csv, tsv, jsonl, parquet (feature `parquet`) and plain files to [`Dataset`]s, [`TextTokenizer`], [`PackedBatch`], the order of batches, masks for pre-training |
//! | [`config`] | [`BertConfig`], [`Family`](config::Family), [`ModelSize`](config::ModelSize), [`Activation`](config::Activation), [`Pooling`] |
//! | [`model`] | [`Encoder`]: all or some layers, heads and samples; [`Classifier`], [`Linear`](model::Linear) |
//! | [`tensors`] | [`Hidden`], [`HeadSet`], [`HeadPlan`], [`SampleGroup`], [`Parameters`](tensors::Parameters), [`Gradients`](tensors::Gradients), losses |
//! | [`tasks`] | [`TextClassifier`] for classes, labels and values ([`Task`]); [`MaskedLanguageModel`] for pre-training |
//! | [`train`] | [`Trainer`], [`Objective`], [`Observer`](train::Observer); [`train::optim`]: AdamW, groups, schedules, clipping; [`train::metrics`]: F1, correlations; [`train::checkpoint`]: files from which a run resumes bit for bit |
//! | [`pretrained`] | reading and writing of Hugging Face directories, as [`Encoder::from_pretrained`], [`TextClassifier::load`] and [`save`](TextClassifier::save) use them |
//! | [`candle`] | interoperation with `candle_nn`: [`Encoder::from_var_builder`], `VarMap`s, modules, an optimiser |
//! | [`pruning`] | importance of heads and neurons, [`Encoder::prune`] and [`TextClassifier::prune`] |
//! | [`flops`] | FLOPs of matrix products, predicted for a run and counted in it |
//! | [`account`] | inspection report of a Hugging Face directory: whether each file, field and tensor is applied, ignored or refused |
//! | [`storage`] | atomic files; models and data sets on the hub (feature `hub`) |
//! | [`error`] | error types in detail |
//!
//! # From what you have to what you want
//!
//! | I have | I want | take |
//! |---|---|---|
//! | a csv, tsv or jsonl file | texts with classes | [`DatasetReader::read`] |
//! | texts in memory | a data set | [`Example::new`], [`Dataset::from_examples`] |
//! | one data set | training and validation texts, by class | [`Dataset::split_validation`] |
//! | a Hugging Face directory of an encoder | a classifier | [`TextClassifier::from_pretrained`], [`Trainer::fit`] |
//! | no encoder | an encoder with random weights | [`BertConfig::small`], [`Encoder::random`] |
//! | a fine-tuned directory | probabilities | [`TextClassifier::load`], [`TextClassifier::probabilities_of_all`] |
//! | an encoder and texts | sentence vectors | [`Encoder::embed_texts`] |
//! | an encoder | features of a linear model at any layer | [`Encoder::pooled_states`] |
//! | a loss of my own | to train with it | [`TextClassifier::with_loss`], or an [`Objective`] |
//! | a running training loop | its learning rate, gradients and scores, and a way to stop it | [`Observer`](train::Observer) |
//! | a large classifier | a smaller classifier | [`pruning`], [`tasks::Distillation`] |
//! | a program on `candle_nn` | this encoder in it | [`candle`] |
//!
//! # Installation
//!
//! ```toml
//! [dependencies]
//! dht-transformer = "0.1"
//! candle-core = "0.11.1"
//! rand = { version = "0.10", default-features = false }
//! rand_chacha = { version = "0.10", default-features = false }
//!
//! [profile.dev.package."*"] # matrix products that are not optimised are hundreds of times slower
//! opt-level = 3
//! ```
//!
//! Use the same versions of candle, rand and rand_chacha as this crate, since its functions take their types.
//! Matrix products use all threads of rayon (`RAYON_NUM_THREADS`). The number of threads does not affect results.
//!
//! # Invariants
//!
//! - **No padding.** A batch consists of rows of real tokens, and [`Spans`](tensors::Spans) that assign the rows to
//!   samples. A sample has the same hidden states in a batch as alone, up to rounding.
//! - **Skipped parts cost nothing.** Skipped heads, neurons and layers are not computed, and the [FLOPs](flops) report
//!   the saving.
//! - **Gradients of weights do not pass through candle's graph.** Fused operations store them in the
//!   [`ForwardContext`]. [`ForwardContext::backward`] and [`ForwardContext::grad_store`] return all gradients.
//!   `loss.backward()` alone would lose the gradients of the weights, and returns an error.
//! - **One seed, one result.** Every random number comes from the caller's generator, or is determined by the seed, the
//!   step, the place of the dropout in the model, the sample and the token. On one kind of processor, neither the
//!   number of threads nor a restart changes a bit of the trained model, and samples have the same dropout masks in any
//!   batch.
//! - **All or nothing.** Files and updates are atomic; NaN or infinite values are refused on input. Every failure is an
//!   [`Error`] that states the expected value.
//!
//! # Devices
//!
//! On the CPU a layer is one fused operation. On CUDA (feature `cuda`; it needs `nvcc`) it is two operations with
//! custom kernels, and on Metal (feature `metal`) it is composed of candle's operations. The Metal code has not been
//! run yet. candle allocates for every operation, so a program that trains on a CPU benefits from an allocator that
//! reuses memory, such as mimalloc.

#![doc(html_root_url = "https://docs.rs/dht-transformer/latest")]

pub mod account;
mod backend;
pub mod candle;
pub mod config;
pub mod data;
pub mod error;
pub mod flops;
pub mod model;
pub mod pretrained;
pub mod pruning;
pub mod storage;
pub mod tasks;
pub mod tensors;
pub mod train;

pub use backend::ForwardContext;
pub use config::{bert_config::BertConfig, pooling::Pooling};
pub use data::{
    batch::PackedBatch,
    dataset::{Dataset, Example},
    encoded::{EncodedDataset, Encoding, Sample},
    reader::DatasetReader,
    tokenizer::TextTokenizer,
};
pub use error::{
    error::{Error, Result},
    kind::ErrorKind,
};
pub use model::{classifier::Classifier, encoder::Encoder};
pub use tasks::{masked_language_model::MaskedLanguageModel, task::Task, text_classifier::TextClassifier};
pub use tensors::{
    head_plan::{HeadPlan, SampleGroup},
    heads::HeadSet,
    hidden::Hidden,
    precision::Precision,
};
pub use train::optim::settings::AdamWSettings;
pub use train::{
    objective::{Objective, Progress, StepLoss},
    settings::{CheckpointSettings, TrainSettings},
    trainer::Trainer,
};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;
