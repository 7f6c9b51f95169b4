//! Differentiable architecture search for transformer encoders: selects the dimensions, neurons and heads that a task
//! needs.
//!
//! A search trains a classifier together with gates, factors in [0, 1] on its units (dimensions, neurons, heads). A
//! cost term drives the gates to a target cost. The selected units are then extracted as a smaller model.
//!
//! ```text
//!  NasSpace ──▶ Groups of units ──Relaxation──▶ gates z(α) ──▶ gated model ──▶ task loss ─┐
//!                                     └──degrees──▶ NasCost ──▶ E ──Control──▶ cost term ─┴─▶ gradient of w and α
//!  scores of α ──choose──▶ Architecture ──extract──▶ smaller TextClassifier
//! ```
//!
//! | task | items |
//! |---|---|
//! | define the search space | [`NasSpace`], [`Minimum`] |
//! | relax the selection of units to gates with trainable variables α | [`RelaxationKind`]: σ(α) masks, softmax weights, Gumbel-softmax, hard-concrete, sampled widths; [`Relaxation`] for a custom one |
//! | reach a target cost | [`Control`]: the cost term of TAS (transformable architecture search), or a Lagrangian; [`CostMeasure`], [`Latency`] |
//! | search | [`ArchitectureSearch`] with [`Trainer`](dht_transformer::Trainer) |
//! | train the variables α on the labels alone | [`GateLoss`] |
//! | distil during the search | [`SoftLabelLoss`], [`IntermediateLoss`](dht_transformer::tasks::IntermediateLoss), [`ArchitectureSearch::next_stage`] |
//! | build the model | [`ArchitectureSearch::extracted`], [`extract()`] |
//! | select without a search | [`magnitude_scores`], [`gradient_scores`], [`random_scores`], with [`Architecture::chosen`] |
//!
//! # A complete program
//!
//! This program selects half of the input dimensions of Q, K and V in a small classifier. Gates have a separate
//! learning rate, which the trainer takes from the search's [`parameter_groups`](ArchitectureSearch::parameter_groups).
//!
//! ```
//! use candle_core::Device;
//! use dht_nas::{ArchitectureSearch, NasSettings, NasSpace, Part};
//! use dht_nas::transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Example, Pooling, TextClassifier,
//!     TextTokenizer, TrainSettings, Trainer,
//! };
//! use rand::SeedableRng;
//!
//! let examples = vec![
//!     Example::new("A fine day", 1), Example::new("Fine food", 1),
//!     Example::new("The food was fine", 1), Example::new("A bad day", 0),
//!     Example::new("Bad food", 0), Example::new("The food was bad", 0),
//! ];
//! let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
//! let texts = data.examples.iter().map(|example| &*example.text);
//! let tokenizer = TextTokenizer::train(texts, 100)?;
//! let encoded = tokenizer.encode_all(&data, 16)?;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let config = BertConfig::small(2, 4, 24, tokenizer.vocabulary_size())?;
//! let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
//! // A real program loads a fine-tuned model instead.
//! let model = TextClassifier::new(encoder, data.labels.len(), Pooling::Mean, &mut rng)?;
//! let parameters = model.encoder().parameters().elements();
//!
//! let space = NasSpace::inputs();
//! let settings = NasSettings { space, target: 0.5, ..NasSettings::default() };
//! let mut search = ArchitectureSearch::new(model, settings, &mut rng)?;
//! let optimizer = AdamWSettings { learning_rate: 5e-3, ..AdamWSettings::default() };
//! let groups = search.parameter_groups(optimizer.learning_rate)?;
//! let defaults = TrainSettings::default();
//! let training = TrainSettings { epochs: 30, batch_size: 3, optimizer, ..defaults };
//! let trainer = Trainer { groups: Some(groups), ..Trainer::new(training) };
//! // A program that reports a score has a validation set for the third argument,
//! // and a test set for the score.
//! trainer.fit(&mut search, &encoded, &encoded, &mut ())?;
//!
//! let result = search.found()?;
//! assert!((result.reached - 0.5).abs() < 0.02);
//! for layer in 0..result.architecture.layers() {
//!     let (selected, all) = result.architecture.count(layer, Part::ValueInputs);
//!     println!("layer {layer}: V reads {selected} of {all} dimensions");
//! }
//! // The extracted model can be trained, saved and served like any other classifier.
//! let small = search.extracted()?;
//! assert!(small.encoder().parameters().elements() < parameters);
//! # Ok::<(), dht_nas::Error>(())
//! ```
//!
//! # I have, I want
//!
//! | I have | I want | take |
//! |---|---|---|
//! | a fine-tuned classifier and a target cost | layer sizes found by a search | [`ArchitectureSearch`] |
//! | importance scores | layer sizes without a search | [`Architecture::chosen`], [`gradient_scores`], [`magnitude_scores`] |
//! | an architecture | a classifier of its sizes | [`extract`] |
//!
//! # Adding it
//!
//! ```toml
//! [dependencies]
//! dht-nas = "0.1"
//! candle-core = "0.11.1"
//! rand = { version = "0.10", default-features = false }
//! rand_chacha = { version = "0.10", default-features = false }
//!
//! [profile.dev.package."*"] # matrix products that are not optimised are hundreds of times slower
//! opt-level = 3
//! ```
//!
//! Use the same versions of candle, rand and rand_chacha as this crate, because their types are arguments of its
//! functions. Matrix products use all threads of rayon (`RAYON_NUM_THREADS`). The number of threads does not change
//! results. Training on a CPU is faster with an allocator that reuses memory, such as mimalloc.
//!
//! # When not to use it
//!
//! Pruning by magnitude or gradient importance ([`dht_transformer::pruning`]) needs no training of gates. Prefer it if
//! it gives an equally good model.
//!
//! # Source
//!
//! The method follows a report on differentiable search for BERT ("Study Neural Architecture Search"), called *the
//! report* in this documentation. The report finished only a search of input dimensions. It observed that a search
//! tends to keep all units or none. [`NasSettings::report`] returns the settings of the report. The defaults of this
//! crate avoid this problem: the weight of the cost adapts during the search, and the final threshold is found by
//! bisection to meet the target.

mod architecture;
mod choose;
mod control;
mod cost;
mod error;
mod extract;
mod importance;
mod latency;
mod loss;
mod relaxation;
mod search;
mod settings;
mod space;
mod timed;
mod training;
mod unrolled;

pub use architecture::Architecture;
pub use choose::choose;
pub use control::Control;
pub use cost::{CostMeasure, NasCost};
pub use error::{Error, Result};
pub use extract::{extract, extract_folded};
pub use importance::{gradient_scores, magnitude_scores, random_scores};
pub use latency::Latency;
pub use loss::{GatedRun, LabelLoss, SoftLabelLoss, TaskLoss};
pub use relaxation::{
    GumbelSoftmax, HardConcrete, Relaxation, RelaxationKind, Sigmoid, WeightedSoftmax, WidthSampling,
};
pub use search::{ArchitectureSearch, Found};
pub use settings::{Count, GateLoss, NasSettings, Selection, Update};
pub use space::{Group, Minimum, NasSpace, Part};

pub use dht_transformer as transformer;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeSnippets;
