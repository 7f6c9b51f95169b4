//! Differentiable architecture search: which dimensions, neurons and heads of an encoder a task needs.
//!
//! A search trains a classifier through gates on its units and the gates with it, towards a target cost, and ends in a
//! physically smaller model.
//!
//! ```text
//!  NasSpace ──▶ Groups of units ──Relaxation──▶ gates z(α) ──▶ gated model ──▶ task loss ─┐
//!                                     └──degrees──▶ NasCost ──▶ E ──Control──▶ cost term ─┴─▶ gradient of w and α
//!  scores of α ──choose──▶ Architecture ──extract──▶ smaller TextClassifier
//! ```
//!
//! | to | take |
//! |---|---|
//! | say what is searched | [`NasSpace`], [`Minimum`] |
//! | keep units in degrees | [`RelaxationKind`]: σ(α) masks, softmax weights, Gumbel-softmax, hard-concrete, sampled widths; [`Relaxation`] for one of your own |
//! | reach a cost | [`Control`]: the cost term of TAS, or a Lagrangian; [`CostMeasure`], [`Latency`] |
//! | search | [`ArchitectureSearch`] with [`Trainer`](dht_transformer::Trainer) |
//! | distil while it searches | [`SoftLabelLoss`], [`IntermediateLoss`](dht_transformer::tasks::IntermediateLoss), [`ArchitectureSearch::next_stage`] |
//! | build the model | [`ArchitectureSearch::extracted`], [`extract()`] |
//! | choose without a search | [`magnitude_scores`], [`gradient_scores`], [`random_scores`], with [`Architecture::chosen`] |
//!
//! # When not to use it
//!
//! Where magnitude or gradient importance finds as good a model ([`dht_transformer::pruning`]): it costs no training of gates.
//!
//! # Source
//!
//! A report on differentiable search for BERT ("Study Neural Architecture Search"), which finished input dimensions alone and
//! found its search to run to all or nothing. [`NasSettings::report`] are its settings; the default differs where its own
//! results fall short: the multiplier of the cost adapts, and the threshold is bisected to the target.

mod architecture;
mod choose;
mod control;
mod cost;
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
pub use extract::{extract, extract_folded};
pub use importance::{gradient_scores, magnitude_scores, random_scores};
pub use latency::Latency;
pub use loss::{GatedRun, LabelLoss, SoftLabelLoss, TaskLoss};
pub use relaxation::{
    GumbelSoftmax, HardConcrete, Relaxation, RelaxationKind, Sigmoid, WeightedSoftmax, WidthSampling,
};
pub use search::{ArchitectureSearch, Found};
pub use settings::{Count, NasSettings, Selection, Update};
pub use space::{Group, Minimum, NasSpace, Part};
