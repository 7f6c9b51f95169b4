//! Differentiable architecture search: the dimensions, neurons and heads of an encoder that a task needs.
//!
//! A search trains a classifier together with gates on its units, towards a target cost, and extracts a smaller model.
//!
//! ```text
//!  NasSpace ──▶ Groups of units ──Relaxation──▶ gates z(α) ──▶ gated model ──▶ task loss ─┐
//!                                     └──degrees──▶ NasCost ──▶ E ──Control──▶ cost term ─┴─▶ gradient of w and α
//!  scores of α ──choose──▶ Architecture ──extract──▶ smaller TextClassifier
//! ```
//!
//! | to | take |
//! |---|---|
//! | define the search space | [`NasSpace`], [`Minimum`] |
//! | relax the selection of units | [`RelaxationKind`]: σ(α) masks, softmax weights, Gumbel-softmax, hard-concrete, sampled widths; [`Relaxation`] for a custom one |
//! | reach a cost | [`Control`]: the cost term of TAS, or a Lagrangian; [`CostMeasure`], [`Latency`] |
//! | search | [`ArchitectureSearch`] with [`Trainer`](dht_transformer::Trainer) |
//! | train α by the labels alone | [`GateLoss`] |
//! | distil during the search | [`SoftLabelLoss`], [`IntermediateLoss`](dht_transformer::tasks::IntermediateLoss), [`ArchitectureSearch::next_stage`] |
//! | build the model | [`ArchitectureSearch::extracted`], [`extract()`] |
//! | select without a search | [`magnitude_scores`], [`gradient_scores`], [`random_scores`], with [`Architecture::chosen`] |
//!
//! # A complete program
//!
//! The program selects the half of the inputs of Q, K and V that a small classifier needs. Gates have a separate
//! learning rate: the trainer needs the search's [`parameter_groups`](ArchitectureSearch::parameter_groups).
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
//! // Or a fine-tuned one, loaded.
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
//! let found = search.found()?;
//! assert!((found.reached - 0.5).abs() < 0.02);
//! for layer in 0..found.architecture.layers() {
//!     let (kept, all) = found.architecture.count(layer, Part::ValueInputs);
//!     println!("layer {layer}: V reads {kept} of {all} dimensions");
//! }
//! // To be trained on, saved and served like any other classifier.
//! let small = search.extracted()?;
//! assert!(small.encoder().parameters().elements() < parameters);
//! # Ok::<(), dht_nas::Error>(())
//! ```
//!
//! # I have, I want
//!
//! | I have | I want | take |
//! |---|---|---|
//! | a fine-tuned classifier and a target cost | the sizes of its layers, searched | [`ArchitectureSearch`] |
//! | importance scores | the sizes of its layers, chosen at once | [`Architecture::chosen`], [`gradient_scores`], [`magnitude_scores`] |
//! | sizes of layers | a classifier of these sizes | [`extract`] |
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
//! Versions of candle, rand and rand_chacha must be the ones of this crate, since their types are in its functions.
//! Matrix products use as many threads as rayon has (`RAYON_NUM_THREADS`); their number changes no result. A program
//! that trains on a CPU gains from an allocator that keeps memory, such as mimalloc.
//!
//! # When not to use it
//!
//! If pruning by magnitude or gradient importance ([`dht_transformer::pruning`]) gives an equally good model: it needs
//! no training of gates.
//!
//! # Source
//!
//! The source, called *the report* on all pages of this crate, is a report on differentiable search for BERT ("Study
//! Neural Architecture Search"). Its only finished search is that of input dimensions, and it observed that a search
//! tends to keep all units or none. [`NasSettings::report`] returns its settings. The defaults differ where the
//! report's own results fall short: the multiplier of the cost adapts, and bisection finds the threshold that meets the
//! target.

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
