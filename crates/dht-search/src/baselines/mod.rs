//! Baselines: methods with which a dynamic model is compared. Each baseline has its own file. All baselines are trained
//! by the same loop on the same data, and scored by the same [`evaluate`](dht_dynamic::evaluate()).
//!
//! | baseline | description | objective |
//! |---|---|---|
//! | [`truncation`] | the first layers of an encoder, fine-tuned or distilled | [`FineTuning`](dht_transformer::tasks::FineTuning), [`Distillation`](dht_transformer::tasks::Distillation) |
//! | [`distilbert`] | a student that starts as some of its teacher's layers (Sanh et al. 2019) | [`Distillation`](dht_transformer::tasks::Distillation) |
//! | [`fastbert`] | exits distilled from a frozen classifier, an entropy threshold (Liu et al. 2020) | [`FrozenExits`](dht_dynamic::training::FrozenExits) |
//! | [`pabee`] | exits trained jointly, patience (Zhou et al. 2020) | [`SearchObjective`](crate::SearchObjective) |
//! | [`NgramClassifier`](dht_dynamic::exit::NgramClassifier) | logistic regression on tf-idf of n-grams and on the mean input embedding; alone, [before classifiers](Cascade), or [with one](Stacked) | none: a convex fit |

mod baseline;
mod cascade;
pub mod distilbert;
pub mod fastbert;
pub mod pabee;
mod stacking;
pub mod truncation;

pub use baseline::Baseline;
pub use cascade::Cascade;
pub use stacking::Stacked;
